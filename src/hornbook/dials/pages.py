"""The faults in a textbook page: code that does something else, prose about something else, code that lacks a part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from hornbook.core.records import Document, text_id
from hornbook.dials.dial import TRIES, Candidate, Donors
from hornbook.sandbox import Program
from hornbook.text.code import parse
from hornbook.text.mutants import mutants

BLOCK = re.compile(r"^```[ \t]*(?:python3?|py)?[ \t]*\n(.*?)^```[ \t]*\n?", re.MULTILINE | re.DOTALL)
MAIN = '__name__ = "__main__"\n'


def wrong_code(document: Document, donors: Donors) -> Iterator[Candidate]:
    """A page in whose code one small mistake changes what it prints."""
    blocks = _blocks(document.text)
    before = _program(document.text)
    per_block = max(1, TRIES // max(1, len(blocks)))
    for block in blocks:
        for mutant in mutants(block[1], donors.seed, per_block):
            text = document.text[: block.start(1)] + mutant.source + document.text[block.end(1) :]
            change = f"{mutant.kind}, {mutant.change} of a block"
            yield Candidate(_page(document, text), change, _program(text), before)


def misleading_prose(document: Document, donors: Donors) -> Iterator[Candidate]:
    """A page whose words before the first code are those of a page on another topic."""
    blocks = _blocks(document.text)
    others = donors.of(document, lambda other: other.meta.get("topic") != document.meta.get("topic"))
    for donor in islice(others, TRIES):
        theirs = _blocks(donor.text)
        if blocks and theirs and theirs[0].start() and blocks[0].start():
            text = donor.text[: theirs[0].start()] + document.text[blocks[0].start() :]
            topic = donor.meta.get("topic", donor.source)
            yield Candidate(_page(document, text), f"the prose before the code is about {topic} ({donor.id})")


def missing_block(document: Document, donors: Donors) -> Iterator[Candidate]:
    """A page without a block of code that a later one needs."""
    blocks = _blocks(document.text)
    for number, block in enumerate(blocks[:-1][:TRIES], 1):
        text = document.text[: block.start()] + document.text[block.end() :]
        yield Candidate(
            _page(document, text), f"block {number} is gone, and a later one needs it", _program(text)
        )


def _blocks(text: str) -> list[re.Match[str]]:
    return [block for block in BLOCK.finditer(text) if parse(block[1]) is not None]


def _program(text: str) -> Program:
    """All code of a page as one program."""
    return Program(MAIN + "\n".join(block[1] for block in _blocks(text)))


def _page(document: Document, text: str) -> Document:
    return replace(document, text=text, id=text_id(text))
