"""Does a curriculum make pages more different than one plain prompt does, and does running their code cost time?

    python bench/diversity.py [--pages 60] [--speed-pages 12] [--temperature 0.3] [--folder FOLDER]

Diversity: the embedded teacher writes as many pages about cells of the curriculum as by one and the same plain
prompt, with nano's settings; both sets are cut to the same number of tokens and measured. Speed: the same asks with
and without judging the pages, in turns (ask, judge, judge, ask), first by the embedded teacher and then by a
pretended server that takes two seconds for a page, 32 at a time: about 10,000 tokens a second. Run it on an idle
machine: about 8 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hornbook.core.context import Tools
from hornbook.core.machine import LocalPlace
from hornbook.core.progress import Silent
from hornbook.core.shards import read_json
from hornbook.sandbox import Sandbox
from hornbook.stages.textbooks import step as textbooks
from hornbook.stages.textbooks.step import TextbooksConfig
from hornbook.teachers import Answer, Ask, answer_all, open_teacher
from hornbook.teachers import open as embedded

NANO: dict[str, Any] = {
    "prompt": "textbook-small",
    "areas": ("basics", "functions", "numbers", "text"),
    "max_answer_tokens": 256,
}
MEASURES = ("distinct_1", "distinct_2", "distinct_3", "compression", "near_duplicates", "new_per_thousand")
Opener = Callable[[], AbstractContextManager[Any]]


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--pages", type=int, default=60)
    arguments.add_argument("--speed-pages", type=int, default=12)
    arguments.add_argument("--served-pages", type=int, default=320)
    arguments.add_argument("--temperature", type=float, default=0.3)
    arguments.add_argument("--folder", type=Path, default=None)
    chosen = arguments.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="hornbook-bench-"))
    if chosen.pages:
        compare(folder, chosen.pages, chosen.temperature)
    if chosen.speed_pages:
        config = TextbooksConfig(pages=chosen.speed_pages, **NANO)
        speed("embedded teacher", config, folder, lambda: _embedded(Path(tempfile.mkdtemp())))
    if chosen.served_pages:
        config = TextbooksConfig(pages=chosen.served_pages, max_answer_tokens=600)
        speed("pretended server, 32 at a time", config, folder, lambda: _pretended)


def compare(folder: Path, pages: int, temperature: float) -> None:
    """Pages of the curriculum beside pages of the plain prompt, at the same number of tokens."""
    config = TextbooksConfig(pages=pages, plain_pages=pages, temperature=temperature, **NANO)
    out = folder / f"pages-{pages}-{temperature}"
    counts = textbooks.run(config, {}, out, _tools(_embedded(folder / "cache")))
    told = read_json(out / "diversity.json")
    written, plain = told["written"], told["plain"]
    print(f"{pages} pages each, temperature {temperature}, cut to {written['tokens']:,} words and marks")
    print(f"{'':18}{'curriculum':>12}{'plain':>12}")
    for name in ("texts", *MEASURES):
        print(f"{name:18}{written[name]:12.3f}{plain[name]:12.3f}")
    print(f"{'pages kept':18}{written['kept']:12}{plain['kept']:12}")
    reasons = ", ".join(
        f"{key.removeprefix('dropped.')} {n}" for key, n in counts.items() if "dropped." in key
    )
    print(f"curriculum, dropped: {reasons}")
    claims = told["claims"]
    print(
        f"pages with a claim that could be checked {claims['pages']}, of them wrong {claims['pages_wrong']}"
    )


def speed(name: str, config: TextbooksConfig, folder: Path, opener: Callable[[], Opener]) -> None:
    """Seconds from the first ask to the last answer, alone and while pages are judged, each twice; and of it all."""
    asks = list(textbooks.asks(config, {}, 1).asks)
    asking: dict[str, float] = {"ask": 0.0, "judge": 0.0}
    whole = 0.0
    for number, turn in enumerate(("ask", "judge", "judge", "ask")):
        with opener()() as opened:  # a fresh one: nothing is cached
            next(answer_all(opened, [Ask((("user", "Say yes."),), max_answer_tokens=1)]))  # loads the model
            teacher = Timed(opened)
            begun = time.perf_counter()
            if turn == "ask":
                assert len(list(answer_all(teacher, asks))) == len(asks)
            else:
                out = folder / f"speed-{number}-{time.time_ns()}"
                textbooks.run(config, {}, out, _tools(teacher.opened))
                whole += time.perf_counter() - begun
            asking[turn] += teacher.last - teacher.first
    print(
        f"{name}: {len(asks)} pages, asked {asking['ask'] / 2:.1f} s; asked while they are judged "
        f"{asking['judge'] / 2:.1f} s, ratio {asking['judge'] / asking['ask']:.3f}; the whole stage {whole / 2:.1f} s"
    )


class Timed:
    """Another teacher, and when it was first asked and last answered."""

    def __init__(self, teacher: Any) -> None:
        self.teacher = teacher
        self.first = self.last = 0.0

    async def answer(self, ask: Ask) -> Any:
        self.first = self.first or time.perf_counter()
        answer = await self.teacher.answer(ask)
        self.last = time.perf_counter()
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.teacher, name)

    @contextmanager
    def opened(self) -> Iterator[Timed]:
        yield self


def _tools(teacher: Opener) -> Tools:
    return Tools(seed=1, progress=Silent(), teacher=teacher, sandbox=Sandbox)


def _embedded(cache: Path) -> Opener:
    return partial(open_teacher, embedded.MODEL, LocalPlace(), cache, Silent())


class Pretended:
    """Answers after two seconds, more or less, with a page of prose and two blocks of code."""

    model, revision, concurrency, grace_seconds = "pretended", "1", 32, 0.0

    async def answer(self, ask: Ask) -> Answer:
        chance = random.Random(ask.seed)
        await asyncio.sleep(chance.uniform(1, 3))
        number = chance.randrange(10**6)
        letters = "aaabcdeeefghiiijklmnooopqrstuuuvwxyz"
        prose = " ".join("".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(300))
        first = f"values = [n * {number} for n in range(50)]\nprint(sum(values))"
        second = f"def largest(items):\n    return max(items)\n\nprint(largest(values))  # {49 * number}"
        return Answer(f"{prose}.\n\n```python\n{first}\n```\n\n{prose}.\n\n```python\n{second}\n```\n")

    def close(self) -> None:
        pass


@contextmanager
def _pretended() -> Iterator[Pretended]:
    yield Pretended()


if __name__ == "__main__":
    main()
