"""The faults in a textbook page: code that does something else, prose about something else, code that lacks a part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hornbook.core.records import Document, text_id
from hornbook.sandbox import Program
from hornbook.stages.corrupt.corruption import TRIES, Candidate, Donors
from hornbook.text.markdown import Fence, fences
from hornbook.text.mutants import mutants

MAIN = '__name__ = "__main__"\n'


def wrong_code(document: Document, donors: Donors) -> Iterator[Candidate]:
    """A page in whose code one small mistake changes what it prints."""
    blocks = _blocks(document.text)
    before = _program(document.text)
    per_block = max(1, TRIES // max(1, len(blocks)))
    for block in blocks:
        for mutant in mutants(block.text, donors.seed, per_block):
            fenced = f"```python\n{mutant.source}```"
            text = document.text[: block.start] + fenced + document.text[block.end :]
            change = f"{mutant.kind}, {mutant.change} of a block"
            yield Candidate(_page(document, text), change, _program(text), before)


def misleading_prose(document: Document, donors: Donors) -> Iterator[Candidate]:
    """A page whose words before the first code are those of a page on another topic."""
    blocks = _blocks(document.text)
    others = donors.of(document, lambda other: other.meta.get("topic") != document.meta.get("topic"))
    for donor in others:
        theirs = _blocks(donor.text)
        if blocks and theirs and theirs[0].start and blocks[0].start:
            text = donor.text[: theirs[0].start] + document.text[blocks[0].start :]
            topic = donor.meta.get("topic", donor.source)
            yield Candidate(_page(document, text), f"the prose before the code is about {topic} ({donor.id})")


def missing_block(document: Document, donors: Donors) -> Iterator[Candidate]:
    """A page without a block of code that a later one needs."""
    for number, block in enumerate(_blocks(document.text)[:-1][:TRIES], 1):
        text = document.text[: block.start] + document.text[block.end :].lstrip("\n")
        change = f"block {number} is gone, and a later one needs it"
        yield Candidate(_page(document, text), change, _program(text))


def _blocks(text: str) -> list[Fence]:
    return [fence for fence in fences(text) if fence.kind == "code"]


def _program(text: str) -> Program:
    """All code of a page as one program."""
    return Program(MAIN + "\n".join(block.text for block in _blocks(text)))


def _page(document: Document, text: str) -> Document:
    return replace(document, text=text, id=text_id(text))
