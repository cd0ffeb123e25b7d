"""textbooks: a teacher writes pages from a curriculum, and only pages whose code runs are kept."""

from __future__ import annotations

import ast
import random
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydantic import Field

from hornbook.core.config import Config
from hornbook.core.errors import StageError
from hornbook.core.records import Document, Drop
from hornbook.core.shards import KEPT, Counts, add_counts, read_json, read_table, shard_name, write_shard
from hornbook.core.tools import Tools
from hornbook.curriculum import Cell, load_curriculum
from hornbook.sandbox import Limits, Program, Verdict
from hornbook.teachers import Ask, Failed, FailureCap, Forecast, Prompt, Teacher, answer_all, load_prompt

PAGES_A_SHARD = 500
MAIN = '__name__ = "__main__"\n'

FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
FENCE_LINE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
PYTHON = {"python", "python3", "py"}
SENTENCE_END = re.compile(r"[.!?:][\"')*_`]*(?=\s|$)")
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


class TextbooksConfig(Config):
    """How many pages, about what, how they are asked for, and what a page must fulfil."""

    pages: int = Field(40, ge=1)
    """Pages asked for; fewer survive."""
    curriculum: str = ""
    """Your folder of topics/*.toml, audiences.toml and styles.toml; empty: the one that comes with hornbook."""
    areas: tuple[str, ...] = Field((), strict=False)
    """Only topics of these areas, as in "algorithms"; empty: all."""
    prompt: str = "textbook"
    """A prompt that comes with hornbook, or a text file with $topic, $audience and $style in it."""
    max_answer_tokens: int = Field(350, ge=32, le=32_768)
    temperature: float = Field(0.3, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)
    page_cpu_seconds: float = Field(2.0, gt=0, le=600)
    """Processor time for all code on a page."""
    must_print: bool = True
    """A page whose code prints nothing is dropped: code that is only defined has shown nothing."""
    min_compression: float = Field(0.3, ge=0, lt=1)
    """A page is repetitive when zlib shrinks it below this share of its bytes."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """The stage stops when the teacher fails on more than this share of the pages."""


def identity(config: TextbooksConfig, _cache: Path) -> Mapping[str, str]:
    """The hashes of the prompt's text and of the curriculum's files."""
    return {
        "prompt": _prompt(config).sha256,
        "curriculum": load_curriculum(config.curriculum, config.areas).sha256,
    }


def asks(config: TextbooksConfig, inputs: Mapping[str, Path], seed: int) -> Forecast:
    """What will be asked: one ask a page."""
    cells = load_curriculum(config.curriculum, config.areas).draw(range(config.pages), seed)
    return Forecast(_asks(config, dict(enumerate(cells)), seed))


def _asks(config: TextbooksConfig, cells: Mapping[int, Cell], seed: int) -> list[Ask]:
    prompt = _prompt(config)
    return [
        Ask(
            prompt.fill(topic=cell.topic.name, audience=cell.audience.text, style=cell.style.text),
            max_answer_tokens=config.max_answer_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            seed=random.Random(f"{seed}:ask:{number}").getrandbits(32),
        )
        for number, cell in cells.items()
    ]


@dataclass(frozen=True, slots=True)
class Page:
    """What the teacher wrote for one cell, cut to whole sentences and blocks; `truncated`: it hit the limit."""

    number: int
    cell: Cell
    text: str
    trimmed_chars: int = 0
    truncated: bool = False
    failed: Failed | None = None

    def document(self, blocks: Sequence[Mapping[str, str]] = ()) -> Document:
        topic = self.cell.topic
        meta = {
            "area": topic.area,
            "chapter": topic.chapter,
            "topic": topic.name,
            "audience": self.cell.audience.name,
            "style": self.cell.style.name,
            "trimmed": self.trimmed_chars,
            "blocks": list(blocks),
        }
        return Document(self.text, f"textbooks/{topic.area}/{topic.chapter}/{self.number}", "textbook", meta)


def run(config: TextbooksConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Ask for the pages shard by shard, run their code, keep the pages on which every block runs.

    A page's meta holds its topic, audience and style, the characters trimmed from a cut-off end, and `blocks`: the
    outcome of every code block, run after those before it. The reasons of dropped pages are no_code, truncated,
    block_failed, prints_nothing, repetitive, duplicate, and teacher_<why it failed>.
    """
    assert tools.teacher is not None
    assert tools.sandbox is not None
    cells = list(load_curriculum(config.curriculum, config.areas).draw(range(config.pages), tools.seed))
    cap = FailureCap("textbooks", config.pages, config.max_failed_share)
    seen: set[str] = set()
    done: list[Path] = []
    with tools.teacher() as teacher:
        for start in range(0, config.pages, PAGES_A_SHARD):
            name = shard_name(start // PAGES_A_SHARD)
            done.append(out / "counts" / f"{name}.json")
            if not done[-1].exists():
                of_shard = dict(list(enumerate(cells))[start : start + PAGES_A_SHARD])
                _write(config, tools, out, name, list(_ask(config, tools, teacher, of_shard, cap)), seen)
            seen.update(read_table(out / KEPT / name, ["id"])["id"].to_pylist())
    if not seen:
        raise StageError(_nothing_left(config, add_counts(map(read_json, done))))
    return add_counts(map(read_json, done))


def _prompt(config: TextbooksConfig) -> Prompt:
    return load_prompt(config.prompt, ("topic",), ("audience", "style"))


def _ask(
    config: TextbooksConfig, tools: Tools, teacher: Teacher, cells: Mapping[int, Cell], cap: FailureCap
) -> Iterator[Page]:
    """The pages with these numbers, in order, as the teacher wrote them."""
    asked = _asks(config, cells, tools.seed)
    with tools.progress.bar("writing", len(asked), "pages") as bar:
        answers = answer_all(teacher, asked, on_done=lambda _: bar.advance())
        for (number, cell), answer in zip(cells.items(), answers, strict=True):
            if isinstance(answer, Failed):
                cap.count(answer)
                yield Page(number, cell, "", failed=answer)
            else:
                text = trim(answer.text, answer.truncated)
                yield Page(number, cell, text, len(answer.text) - len(text), answer.truncated)


def trim(text: str, truncated: bool) -> str:
    """A page that ends where it should: a cut-off answer loses its unfinished block and its unfinished sentence.

    An answer that came to its end inside a code block has the block closed.
    """
    text = text.strip()
    fences = list(FENCE_LINE.finditer(text))
    is_open = len(fences) % 2 == 1
    if not truncated:
        return f"{text}\n```" if is_open else text
    if is_open:
        text = text[: fences.pop().start()].rstrip()
    prose_start = fences[-1].end() if fences else 0
    ends = [match.end() for match in SENTENCE_END.finditer(text, prose_start)]
    return text[: ends[-1] if ends else prose_start].rstrip()


def code_blocks(text: str) -> list[str]:
    """The Python in a page: fenced blocks that say so, and those that say nothing but parse as statements."""
    return [
        code
        for language, code in FENCE.findall(text)
        if language.lower() in PYTHON or (not language and _is_program(code))
    ]


def _is_program(code: str) -> bool:
    try:
        statements = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not isinstance(s, ast.Expr) or isinstance(s.value, ast.Call) for s in statements)


def _write(
    config: TextbooksConfig, tools: Tools, out: Path, name: str, pages: Sequence[Page], seen: set[str]
) -> None:
    """Run the code of these pages and write their shard; `seen` holds the ids of the pages kept before."""
    assert tools.sandbox is not None
    blocks = [code_blocks(page.text) for page in pages]
    limits = Limits(cpu_seconds=config.page_cpu_seconds)
    with tools.sandbox(mode="fast", limits=limits) as sandbox:
        verdicts = sandbox.verdicts(program for codes in blocks for program in _programs(codes))
        ran = [list(islice(verdicts, len(codes))) for codes in blocks]
    kept: list[Document] = []
    dropped: list[Drop] = []
    for page, verdicts_of_page in zip(pages, ran, strict=True):
        document = page.document(block_records(verdicts_of_page))
        reason, detail = _refusal(config, page, verdicts_of_page, document.id in seen)
        if reason:
            dropped.append(Drop(document, reason, detail))
        else:
            kept.append(document)
            seen.add(document.id)
    counts = {"blocks": sum(map(len, ran)), "trimmed": sum(page.trimmed_chars > 0 for page in pages)}
    write_shard(out, name, kept, dropped, counts)


def _programs(codes: Sequence[str]) -> Iterator[Program]:
    """Each block after the blocks before it, run as the main program that a reader would run."""
    for number in range(1, len(codes) + 1):
        yield Program(MAIN + "\n".join(codes[:number]))


def block_records(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """The outcome of every block of a page; what comes after the first that failed was not judged on its own."""
    failed = next((n for n, verdict in enumerate(verdicts) if not verdict.passed), len(verdicts))
    judged = [{"outcome": v.outcome, "reason": _stable(v.reason)} for v in verdicts[: failed + 1]]
    return judged + [{"outcome": "not_run", "reason": "a block before it failed"}] * (
        len(verdicts) - len(judged)
    )


def _stable(reason: str) -> str:
    """The same reason in every run: without addresses, and short."""
    return ADDRESS.sub("0x...", reason)[:200]


def _refusal(
    config: TextbooksConfig, page: Page, verdicts: Sequence[Verdict], is_seen: bool
) -> tuple[str, str]:
    """Why a page is dropped, as reason and detail; two empty strings for a page that is kept."""
    if page.failed:
        return f"teacher_{page.failed.reason}", page.failed.detail
    if not verdicts:
        hit = f"no whole block within {config.max_answer_tokens} tokens"
        return ("truncated", hit) if page.truncated else ("no_code", "no Python code block")
    failed = next((verdict for verdict in verdicts if not verdict.passed), None)
    if failed:
        return "block_failed", f"{failed.outcome}: {_stable(failed.reason)}"
    if config.must_print and not verdicts[-1].output.strip():
        return "prints_nothing", "its code ran and showed nothing"
    data = page.text.encode()
    share = len(zlib.compress(data, 9)) / len(data)
    if share < config.min_compression:
        return "repetitive", f"compresses to {share:.2f} of its bytes"
    return ("duplicate", "the same text as an earlier page") if is_seen else ("", "")


def _nothing_left(config: TextbooksConfig, counts: Counts) -> str:
    reasons = ", ".join(
        f"{n} {key.removeprefix('dropped.')}" for key, n in counts.items() if "dropped." in key
    )
    return (
        f"textbooks: none of {config.pages} pages survived ({reasons}); read them with `hornbook show`, "
        "then ask for more pages, simpler areas or another prompt"
    )
