"""Where pages are written: a teacher that answers and, at the same time, a sandbox that runs what it wrote."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hornbook.core.context import Tools
from hornbook.core.records import Document
from hornbook.sandbox import Limits, Program, Sandbox, Verdict
from hornbook.stages.textbooks.blocks import Block, Ran, page_program, read_block, read_run
from hornbook.stages.textbooks.claims import Claim, check_claims
from hornbook.teachers import Answer, Ask, Failed
from hornbook.teachers.pool import Asking
from hornbook.text.markdown import Fence, fences

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the teacher draws its words."""

    max_answer_tokens: int
    temperature: float
    top_p: float

    def ask(self, messages: tuple[tuple[str, str], ...], seed: int, schema: str = "") -> Ask:
        return Ask(messages, self.max_answer_tokens, self.temperature, self.top_p, seed, schema=schema)


class Desk:
    """Writes pages: several asks are in flight, and pages that have come are judged meanwhile."""

    def __init__(self, asking: Asking, sandbox: Sandbox, judges: ThreadPoolExecutor) -> None:
        self.asking = asking
        self._sandbox = sandbox
        self._judges = judges

    async def write(self, ask: Ask, source: str, meta: Mapping[str, Any]) -> Judged:
        """One page, asked for and judged."""
        page = page_from(await self.asking.answer(ask), source, meta)
        return Judged(page) if page.failed else await self._judged(page)

    async def _judged(self, page: Page) -> Judged:
        return await asyncio.get_running_loop().run_in_executor(self._judges, judge, page, self._sandbox)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a piece of writing; its result waits in the future."""
        return self.asking.start(work)


@contextmanager
def open_desk(tools: Tools, page_cpu_seconds: float) -> Iterator[Desk]:
    """A desk with the stage's teacher and sandbox; both are closed at the end."""
    assert tools.teacher is not None
    assert tools.sandbox is not None
    limits = Limits(cpu_seconds=page_cpu_seconds)
    with tools.teacher() as teacher, tools.sandbox(mode="fast", limits=limits) as sandbox:
        judges = ThreadPoolExecutor(sandbox.workers, thread_name_prefix="judge")
        try:
            with Asking(teacher) as asking:
                yield Desk(asking, sandbox, judges)
        finally:
            judges.shutdown(cancel_futures=True)


FENCE_LINE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
SENTENCE_END = re.compile(r"[.!?:][\"')*_`]*(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Page:
    """What the teacher wrote, cut to whole sentences and blocks; `truncated`: it hit the limit."""

    source: str
    meta: Mapping[str, Any]
    text: str = ""
    trimmed_chars: int = 0
    truncated: bool = False
    failed: Failed | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A page with what became of its blocks and of what it says about them."""

    page: Page
    ran: Sequence[Ran] = ()
    claims: Sequence[Claim] = ()
    code: Sequence[str] = field(default=())
    """The text of its blocks of code."""

    def document(self, **more: Any) -> Document:
        """The page as a record: what it is about, its blocks' outcomes and its claims' verdicts."""
        meta = {
            **self.page.meta,
            "trimmed": self.page.trimmed_chars,
            "blocks": [{"outcome": ran.outcome, "reason": ran.reason} for ran in self.ran],
            "claims": [claim.record() for claim in self.claims],
            **more,
        }
        return Document(self.page.text, self.page.source, "textbook", meta)


def page_from(answer: Answer | Failed, source: str, meta: Mapping[str, Any]) -> Page:
    """The page that an answer holds."""
    if isinstance(answer, Failed):
        return Page(source, meta, failed=answer)
    text = trim(answer.text, answer.truncated)
    return Page(source, meta, text, len(answer.text) - len(text), answer.truncated)


def trim(text: str, truncated: bool) -> str:
    """A page that ends where it should: a cut-off answer loses its unfinished block and its unfinished sentence.

    An answer that came to its end inside a code block has the block closed.
    """
    text = text.strip()
    marks = list(FENCE_LINE.finditer(text))
    is_open = len(marks) % 2 == 1
    if not truncated:
        return f"{text}\n```" if is_open else text
    if is_open:
        text = text[: marks.pop().start()].rstrip()
    prose_start = marks[-1].end() if marks else 0
    ends = [match.end() for match in SENTENCE_END.finditer(text, prose_start)]
    return text[: ends[-1] if ends else prose_start].rstrip()


def judge(page: Page, sandbox: Sandbox) -> Judged:
    """Run the code of a page and check its claims.

    Where a claim is wrong the page is run again: what prints something else each time can hold to no claim.
    """
    marks = fences(page.text)
    blocks = [read_block(mark) for mark in marks if mark.kind in ("code", "session")]
    program = page_program(blocks)
    verdict = sandbox.verdict(program) if program else None
    ran = read_run(blocks, verdict)
    claims = _claims(page, marks, blocks, ran, _Again(sandbox.verdict, program, verdict))
    return Judged(page, ran, claims, [block.text for block in blocks])


@dataclass(frozen=True, slots=True)
class _Again:
    """A program that can be run once more, and how it ended."""

    run: Callable[[Program], Verdict]
    program: Program | None
    verdict: Verdict | None


def _claims(
    page: Page, marks: Sequence[Fence], blocks: Sequence[Block], ran: Sequence[Ran], again: _Again
) -> list[Claim]:
    claims = check_claims(page.text, marks, blocks, ran)
    if again.program is None or again.verdict is None or all(claim.verdict != "wrong" for claim in claims):
        return claims
    if again.run(again.program).output == again.verdict.output:
        return claims
    return [
        claim if claim.verdict == "holds" else Claim(claim.kind, claim.text, claim.block) for claim in claims
    ]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a page must fulfil."""

    max_answer_tokens: int
    must_print: bool
    drop_wrong_claims: bool
    min_compression: float


def refusal(judged: Judged, rules: Rules) -> tuple[str, str]:
    """Why a page is dropped, whatever the others are like, as reason and detail; two empty strings to keep it."""
    page, ran = judged.page, judged.ran
    if page.failed:
        return f"teacher_{page.failed.reason}", page.failed.detail
    if not ran:
        hit = f"no whole block within {rules.max_answer_tokens} tokens"
        return ("truncated", hit) if page.truncated else ("no_code", "no Python code block")
    failed = next((block for block in ran if block.outcome != "passed"), None)
    if failed:
        return "block_failed", f"{failed.outcome}: {failed.reason}"
    if rules.must_print and not any(block.output.strip() for block in ran):
        return "prints_nothing", "its code ran and showed nothing"
    wrong = next((claim for claim in judged.claims if claim.verdict == "wrong"), None)
    if wrong and rules.drop_wrong_claims:
        found = wrong.record()
        return "wrong_claim", f"says {found['says']!r}, prints {found['prints']!r}"
    missing = page.meta.get("function", {}).get("name", "")
    if missing and not any(f"def {missing}(" in code for code in judged.code):
        return "function_missing", f"it was to explain {missing}, and defines none"
    data = page.text.encode()
    share = len(zlib.compress(data, 9)) / len(data)
    if share < rules.min_compression:
        return "repetitive", f"compresses to {share:.2f} of its bytes"
    return "", ""
