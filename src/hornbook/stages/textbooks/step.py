"""textbooks: a teacher writes pages from a curriculum; kept are those that run, tell the truth, and add something."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.progress import Bar
from hornbook.core.settings import Config
from hornbook.core.shards import Counts, add_counts, count_rows, read_json, shard_name, write_json
from hornbook.core.workers import Workers
from hornbook.stages.textbooks.books import Book, Plan, subjects
from hornbook.stages.textbooks.coverage import Coverage, filled
from hornbook.stages.textbooks.curriculum import Cell, Curriculum, Topic, Trait, load_curriculum
from hornbook.stages.textbooks.grounding import Draw, Real, draw_functions
from hornbook.stages.textbooks.select import Distance, Shelf
from hornbook.stages.textbooks.stats import account
from hornbook.stages.textbooks.writer import Desk, Judged, Rules, Sampling, open_desk
from hornbook.teachers import Ask, FailureCap, Forecast, Part, Prompt, load_prompt
from hornbook.teachers.budget import EXACT_ASKS

PLAIN = "plain"
"""Folder of the control: pages asked for without topic and reader. No mix reads it."""
TRAITS = ("area", "chapter", "audience", "style", "length", "words")
FUNCTION_CHARS = (250, 1_800)
QUICK_DOCUMENTS = 20_000
"""Of more, a plan does not look for functions."""
GROUNDED = "grounded"
"""Area of the pages that explain a real function."""
Writing = Coroutine[Any, Any, list[Judged]]
Started = Sequence[Future[list[Judged]]] | None


class BooksConfig(Config):
    """Longer books: an outline, then chapters, then pages that go on from one another."""

    count: int = Field(0, ge=0)
    """Books asked for, each about a chapter of the curriculum; their pages come beside `pages`."""
    chapters: int = Field(4, ge=1, le=50)
    """Chapters of a book at most."""
    pages: int = Field(3, ge=1, le=50)
    """Pages of a chapter at most."""
    outline_tokens: int = Field(1_000, ge=32, le=32_768)
    context_chars: int = Field(1_200, ge=0, le=100_000)
    """The end of a page that the teacher sees when it writes the next."""
    outline_prompt: str = "book-outline"
    """A prompt that comes with hornbook, or a text file with $subject and $count in it."""
    chapter_prompt: str = "book-chapter"
    """The same with $chapter and $count."""
    page_prompt: str = "book-page"
    """The same with $chapter and $page."""


class TextbooksConfig(Config):
    """How many pages, about what, how they are asked for, and what a page must fulfil."""

    pages: int = Field(40, ge=1)
    """Pages asked for; fewer survive."""
    curriculum: str = ""
    """A TOML file that adds to the shipped curriculum, or a folder in its place; empty: the shipped one."""
    areas: tuple[str, ...] = Field((), strict=False)
    """Only topics of these areas, as in "algorithms"; empty: all."""
    prompt: str = "textbook"
    """A prompt that comes with hornbook, or a text file with $topic in it, and $area, $chapter, $audience, $style,
    $length, $words as you like."""
    grounded_share: float = Field(0.0, ge=0, le=1)
    """Share of the pages that explain a real function out of the filtered corpus."""
    grounded_prompt: str = "textbook-grounded"
    """The prompt for these: $function, and $audience, $style, $length, $words as you like."""
    plain_pages: int = Field(0, ge=0)
    """A control for the report, in no mix: pages asked for by one and the same prompt, to compare diversity with."""
    plain_prompt: str = "textbook-plain"
    """The prompt for these; it names nothing."""
    pages_a_round: int = Field(100, ge=1, le=10_000)
    """The cells of a round are chosen by what the rounds up to the one before the last yielded; large rounds suit a
    teacher that answers by batches."""
    stop_after: int = Field(4, ge=1)
    """A cell is left after this many pages in a row that yield nothing new, and so is a topic over its cells."""
    max_answer_tokens: int = Field(350, ge=32, le=32_768)
    temperature: float = Field(0.3, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)
    page_cpu_seconds: float = Field(2.0, gt=0, le=600)
    """Processor time for all code on a page."""
    must_print: bool = True
    """A page whose code prints nothing is dropped: code that is only defined has shown nothing."""
    wrong_claims: Literal["drop", "keep"] = "drop"
    """What becomes of a page that says its code prints something else than it prints; its meta says so either way."""
    min_compression: float = Field(0.3, ge=0, lt=1)
    """A page is repetitive when zlib shrinks it below this share of its bytes."""
    near_duplicate: float = Field(0.7, gt=0, le=1)
    """A page is dropped when an earlier one is this similar to it (Jaccard, word 5-grams)."""
    min_new_share: float = Field(0.1, ge=0, le=1)
    """A page yields nothing new, and is dropped, when fewer of its word 5-grams than this are new."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """The stage stops when the teacher fails on more than this share of the asks."""
    books: BooksConfig = BooksConfig()


def identity(config: TextbooksConfig, _cache: Path) -> Mapping[str, str]:
    """The hashes of the texts of the prompts that are used and of the curriculum's files."""
    prompts = {f"prompt.{name}": prompt.sha256 for name, prompt in _prompts(config).items()}
    return {**prompts, "curriculum": load_curriculum(config.curriculum, config.areas).sha256}


def _prompts(config: TextbooksConfig) -> dict[str, Prompt]:
    found = {"page": load_prompt(config.prompt, ("topic",), TRAITS)}
    if config.grounded_share:
        found["grounded"] = load_prompt(config.grounded_prompt, ("function",), TRAITS)
    if config.plain_pages:
        found["plain"] = load_prompt(config.plain_prompt, ())
    if config.books.count:
        about = ("subject", "topics", "audience", "style", "count")
        within = (*about, "book", "outline", "chapter", "goal", "number")
        books = config.books
        found["books.outline"] = load_prompt(books.outline_prompt, ("subject", "count"), about)
        found["books.chapter"] = load_prompt(books.chapter_prompt, ("chapter", "count"), within)
        page = (*within, "page", "point", "before")
        found["books.page"] = load_prompt(books.page_prompt, ("chapter", "page"), page)
    return found


def asks(config: TextbooksConfig, inputs: Mapping[str, Path], seed: int) -> Forecast:
    """What will be asked if every page yields something; stand-ins where that depends on answers or documents."""
    questions = _Questions(config, seed)
    coverage = Coverage(questions.curriculum, seed, config.stop_after)
    folder = inputs.get("documents")
    is_quick = config.pages <= EXACT_ASKS and folder is not None and count_rows(folder) <= QUICK_DOCUMENTS

    def found() -> Iterator[Ask]:
        real = questions.functions(folder) if is_quick else questions.stand_ins()
        for _, numbers in _parts(config.pages, config.pages_a_round):
            cells = questions.plan(coverage, numbers, real)
            yield from (questions.page(number, cell, real.get(number))[0] for number, cell in cells.items())

    of_books = [ask for book in questions.books() for ask in book.stand_ins()]
    parts = (
        Part(config.pages, questions.page_like, found),
        *Forecast.of(of_books).parts,
        Part(config.plain_pages, questions.plain),
    )
    reasons = {
        "cells are chosen by what earlier rounds yield": config.pages > 2 * config.pages_a_round,
        "there are no documents yet": config.grounded_share > 0 and folder is None,
        "drawing functions of so many documents takes long": config.grounded_share > 0
        and folder is not None
        and not is_quick,
        "what books ask depends on their outlines": config.books.count > 0,
    }
    return Forecast(parts, "; ".join(reason for reason, holds in reasons.items() if holds))


def run(config: TextbooksConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Ask for the pages round by round, run their code and check their claims, keep what is sound and new.

    A page's meta holds what it is about, the characters trimmed from a cut-off end, `blocks`: the outcome of every
    code block in the order of the page, `claims`: what it says they print and whether that holds, and `new_share`.
    Reasons of drops: no_code, truncated, block_failed, prints_nothing, wrong_claim, function_missing, repetitive,
    duplicate, near_duplicate, nothing_new, and teacher_<why it failed>. diversity.json says what was covered.
    """
    if tools.teacher is None or tools.sandbox is None:
        raise StageError("textbooks: a teacher and a sandbox are needed; name a teacher in the recipe")
    work = _Work(config, out, tools.seed)
    pages = config.pages + config.plain_pages + config.books.count
    real = work.questions.functions(inputs.get("documents"), tools.workers)
    with (
        open_desk(tools, config.page_cpu_seconds) as desk,
        tools.progress.bar("writing", pages, "pages") as bar,
    ):
        work.write_pages(desk, bar, real)
        work.write_books(desk, bar)
        work.write_plain(desk, bar)
    counts = add_counts(map(read_json, sorted((out / "counts").glob("shard-*.json"))))
    if not counts.get("kept"):
        raise StageError(_nothing_left(config, counts))
    write_json(
        out / "diversity.json", account(out, out / PLAIN, work.questions.curriculum, work.coverage.left)
    )
    return {**counts, "topics_left": len(work.coverage.left)}


class _Questions:
    """What is asked: the same config and seed, the same asks."""

    def __init__(self, config: TextbooksConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.prompts = _prompts(config)
        self.whole = load_curriculum(config.curriculum, config.areas)
        self.curriculum = _named(self.whole, self.prompts["page"])
        self.sampling = Sampling(config.max_answer_tokens, config.temperature, config.top_p)

    def plan(self, coverage: Coverage, numbers: Sequence[int], real: Mapping[int, Real]) -> dict[int, Cell]:
        """The cells of a round; fewer than asked for where all topics are left."""
        free = [n for n in numbers if n not in real]
        cells = dict(zip(free, coverage.plan(free), strict=False))
        for number in real.keys() & set(numbers):
            chance = random.Random(f"{self.seed}:traits:{number}")
            traits = chance.choice(self.curriculum.audiences), chance.choice(self.curriculum.styles)
            topic = Topic(GROUNDED, real[number].source, real[number].name)
            cells[number] = filled(self.curriculum, topic, traits, f"{self.seed}:page:{number}")
        return dict(sorted(cells.items()))

    def page(self, number: int, cell: Cell, real: Real | None) -> tuple[Ask, dict[str, Any]]:
        """The ask for a page, and what its record says that it is about."""
        prompt = self.prompts["grounded" if real else "page"]
        topic = cell.topic
        meta: dict[str, Any] = {"area": topic.area, "chapter": topic.chapter, "topic": topic.name}
        traits = {"audience": cell.audience.name, "style": cell.style.name, "length": cell.length.name}
        meta |= {name: text for name, text in traits.items() if name in prompt.names}
        if "words" in prompt.names:
            meta["words"] = list(cell.words)
        if real:
            meta["function"] = {"name": real.name, "source": real.source}
        messages = prompt.fill(**cell.values(), function=real.code.rstrip() if real else "")
        return self.sampling.ask(messages, self._seed(f"ask:{number}")), meta

    def page_like(self, number: int) -> Ask:
        """An ask as long as that for a page may be, without the plan of all the pages before it."""
        chance, whole = random.Random(f"{self.seed}:like:{number}"), self.curriculum
        if self._is_grounded(number):
            real = self.stand_in(number)
            topic = Topic(GROUNDED, real.source, real.name)
        else:
            real, topic = None, chance.choice(whole.topics)
        traits = chance.choice(whole.audiences), chance.choice(whole.styles)
        return self.page(number, filled(whole, topic, traits, f"{self.seed}:page:{number}"), real)[0]

    def plain(self, number: int) -> Ask:
        return self.sampling.ask(self.prompts["plain"].fill(), self._seed(f"plain:{number}"))

    def books(self) -> list[Book]:
        books = self.config.books
        if not books.count:
            return []
        prompts = {name: self.prompts[f"books.{name}"] for name in ("outline", "chapter", "page")}
        outlining = replace(self.sampling, max_answer_tokens=books.outline_tokens)
        plan = Plan(books.chapters, books.pages, books.context_chars, prompts, self.sampling, outlining)
        wanted = enumerate(subjects(self.whole, books.count, self.seed))
        return [Book(plan, subject, number, self.seed) for number, subject in wanted]

    def functions(self, folder: Path | None, workers: Workers | None = None) -> dict[int, Real]:
        """The number of each grounded page, and the function of the corpus that it explains."""
        numbers = self._grounded()
        if not numbers or folder is None:
            return {}
        found = draw_functions(folder, Draw(len(numbers), self.seed, FUNCTION_CHARS), workers)
        if not found:
            raise StageError(
                "textbooks: no documented function of the filtered corpus stands on its own, so no page can be "
                "grounded; set textbooks.grounded_share to 0 or read more"
            )
        return dict(zip(numbers, found, strict=False))

    def stand_ins(self) -> dict[int, Real]:
        """Functions of the greatest length in place of those that nobody knows yet."""
        return {n: self.stand_in(n) for n in self._grounded()}

    def stand_in(self, number: int) -> Real:
        return Real(f"function_{number}", "x = 1\n" * (FUNCTION_CHARS[1] // 6), "")

    def _grounded(self) -> list[int]:
        """The numbers of the pages that are to explain a function."""
        return [n for n in range(self.config.pages) if self._is_grounded(n)]

    def _is_grounded(self, number: int) -> bool:
        share = self.config.grounded_share
        return share > 0 and random.Random(f"{self.seed}:real:{number}").random() < share

    def _seed(self, place: str) -> int:
        return random.Random(f"{self.seed}:{place}").getrandbits(32)


class _Work:
    """One run of the stage: what is asked for, written and kept."""

    def __init__(self, config: TextbooksConfig, out: Path, seed: int) -> None:
        self.config, self.out = config, out
        self.questions = _Questions(config, seed)
        self.coverage = Coverage(self.questions.curriculum, seed, config.stop_after)
        books = config.books.count * (1 + config.books.chapters * (1 + config.books.pages))
        asks = config.pages + config.plain_pages + books
        self.cap = FailureCap("textbooks", asks, config.max_failed_share)
        self.shelf = self._shelf(out, config.pages + books)

    def _shelf(self, out: Path, pages: int) -> Shelf:
        config = self.config
        is_strict = config.wrong_claims == "drop"
        rules = Rules(config.max_answer_tokens, config.must_print, is_strict, config.min_compression)
        distance = Distance(config.near_duplicate, config.min_new_share)
        return Shelf(out, rules, distance, pages * config.max_answer_tokens)

    def write_pages(self, desk: Desk, bar: Bar, real: Mapping[int, Real]) -> None:
        """The pages, round by round; a round is planned when the one before the last is settled."""
        rounds: deque[tuple[str, Mapping[int, Cell], Started]] = deque()
        for name, numbers in _parts(self.config.pages, self.config.pages_a_round):
            if len(rounds) > 1:
                self._settle(*rounds.popleft(), bar)
            cells = self.questions.plan(self.coverage, numbers, real)
            work = (self._page(desk, number, cell, real.get(number)) for number, cell in cells.items())
            if cells:
                rounds.append((name, cells, _start(self.shelf, name, desk, work)))
        for item in rounds:
            self._settle(*item, bar)

    async def _page(self, desk: Desk, number: int, cell: Cell, real: Real | None) -> list[Judged]:
        ask, meta = self.questions.page(number, cell, real)
        return [await desk.write(ask, _source(number, cell), meta)]

    def _settle(self, name: str, cells: Mapping[int, Cell], started: Started, bar: Bar) -> None:
        """Keep or drop the pages of a round, and learn which cells yielded something."""
        kept = self._kept(self.shelf, name, started, bar)
        planned = {n: cell for n, cell in cells.items() if cell.topic.area != GROUNDED}
        self.coverage.learn(list(planned.values()), [_source(n, cell) in kept for n, cell in planned.items()])

    def _kept(self, shelf: Shelf, name: str, started: Started, bar: Bar) -> set[str]:
        """The sources of the kept pages of a shard, once all of it is there."""
        if started is None:
            return shelf.recall(name)
        pages: list[Judged] = []
        for future in started:
            pages += future.result()
            bar.advance(1)
        return shelf.put(name, pages, self.cap)

    def write_books(self, desk: Desk, bar: Bar) -> None:
        """The books, a shard each after those of the single pages, several at a time."""
        first = len(_parts(self.config.pages, self.config.pages_a_round))
        names = {shard_name(first + book.number): book for book in self.questions.books()}
        started = {n: _start(self.shelf, n, desk, map(Book.write, [b], [desk])) for n, b in names.items()}
        for name, futures in started.items():
            self._kept(self.shelf, name, futures, bar)

    def write_plain(self, desk: Desk, bar: Bar) -> None:
        """The control: one and the same prompt, again and again, judged like the others among themselves."""
        shelf = self._shelf(self.out / PLAIN, self.config.plain_pages)
        started = {
            name: _start(shelf, name, desk, (self._plain(desk, number) for number in numbers))
            for name, numbers in _parts(self.config.plain_pages, self.config.pages_a_round)
        }
        for name, futures in started.items():
            self._kept(shelf, name, futures, bar)

    async def _plain(self, desk: Desk, number: int) -> list[Judged]:
        return [await desk.write(self.questions.plain(number), f"textbooks/plain/{number}", {})]


def _start(shelf: Shelf, name: str, desk: Desk, work: Iterable[Writing]) -> Started:
    """The work of a shard under way; None where the shard is finished."""
    return None if shelf.has(name) else [desk.start(coroutine) for coroutine in work]


def _named(curriculum: Curriculum, prompt: Prompt) -> Curriculum:
    """The curriculum, with one nameless trait in place of those that the prompt does not speak of."""
    parts = {"audience": "audiences", "style": "styles", "length": "lengths"}
    unused = {part: (Trait("", ""),) for name, part in parts.items() if name not in prompt.names}
    return replace(curriculum, **unused)  # type: ignore[arg-type]


def _parts(count: int, size: int) -> list[tuple[str, range]]:
    """The names of shards, and the numbers of the pages in each."""
    firsts = range(0, count, size)
    return [(shard_name(n), range(first, min(first + size, count))) for n, first in enumerate(firsts)]


def _source(number: int, cell: Cell) -> str:
    return f"textbooks/{cell.topic.area}/{cell.topic.chapter}/{number}"


def _nothing_left(config: TextbooksConfig, counts: Counts) -> str:
    reasons = ", ".join(
        f"{n} {key.removeprefix('dropped.')}" for key, n in counts.items() if "dropped." in key
    )
    return (
        f"textbooks: none of {config.pages} pages survived ({reasons}); read them with `hornbook show`, "
        "then ask for more pages, simpler areas or another prompt"
    )
