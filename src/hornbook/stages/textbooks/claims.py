"""What a page says that its code prints, beside what it printed.

A claim is a fenced output, the wanted output of a >>> session, a comment such as `# prints 3` or `print(x)  # 3`, or a
sentence such as "It prints `[1, 2]`". What only describes ("prints the sum") claims nothing, nor does a sentence
about what would happen or goes wrong.
"""

from __future__ import annotations

import ast
import doctest
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hornbook.stages.textbooks.blocks import RAISED, Block, Ran, stable
from hornbook.text.code import parse
from hornbook.text.markdown import Fence

SHOWN_CHARS = 300
TELLS = re.compile(
    r"^(?:(?:expected\s+)?output|prints?|displays?|outputs?|->|=>|→|⇒|this\s+(?:prints?|outputs?))\s*(:?)\s*(.*)$",
    re.I | re.S,
)
DESCRIBES = re.compile(r"^(?:the|a|an|all|each|every|its?|both|one|this|that|what|as|in|to)\b", re.I)
VERB = (
    r"\b(?:prints?|printed|outputs?|outputted|displays?|displayed"
    r"|(?:output|result)\s+(?:\w+\s+){0,4}?(?:is|will\s+be|would\s+be|should\s+be))"
    r"(?:\s+(?:out|be|is|the\s+(?:result|value|number|string|text|list|message|word|output)|following))*\s*:?\s*"
)
VALUE = (
    r"(?:`(?P<code>[^`\n]+)`|[\"“](?P<quote>[^\"“”\n]+)[\"”]"
    r"|(?P<bare>-?\d+(?:,\d{3})*(?:\.\d+)?|\[[^\[\]\n]*\]|True\b|False\b|None\b))"
    r"(?=\s*(?:[.,;:!?)]|$)|\s+(?:and|because|since|as|when|for|on|after|which)\b)"
)
SAID = re.compile(VERB + VALUE, re.I)
HYPOTHETICAL = re.compile(
    r"n[o']t\b|n’t\b|\b(?:never|would|could|might|may|if|unless|instead|wrong|incorrect|mistakes?|misconception|think"
    r"|thought|expect\w*|suppose\w*|errors?|rather|without|guess|hoped?|suggests?|until|change|try|exercise)\b",
    re.I,
)
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
PARTS = re.compile(r"[^\s,]+")


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said to be printed, by which kind of words, about which block, and what was printed there.

    verdict: "holds", "wrong", or "open" where it cannot be told (the code did not come so far, or is not called).
    """

    kind: str
    text: str
    block: int
    printed: str = ""
    verdict: str = "open"

    def record(self) -> dict[str, Any]:
        """As a page's meta keeps it; what was printed only where the claim is wrong."""
        found = {"kind": self.kind, "says": stable(self.text, SHOWN_CHARS), "block": self.block}
        if self.verdict == "wrong":
            found["prints"] = stable(self.printed, SHOWN_CHARS)
        return {**found, "verdict": self.verdict}


def check_claims(
    page: str, marks: Sequence[Fence], blocks: Sequence[Block], ran: Sequence[Ran]
) -> list[Claim]:
    """Every claim of a page with its verdict; `marks` are its fences, `blocks` and `ran` those of code, in order."""
    numbers = {mark.start: n for n, mark in enumerate(m for m in marks if m.kind in ("code", "session"))}
    claims: list[Claim] = []
    last = -1
    for place, mark in enumerate(marks):
        before = page[marks[place - 1].end if place else 0 : mark.start]
        about = max(last, 0)
        if mark.start in numbers:
            last = numbers[mark.start]
            about = last if place == 0 or before.rstrip().endswith(":") else about
            claims += _prose(before, about, blocks, ran)
            claims += _of_block(last, blocks[last], ran[last])
        else:
            claims += _prose(before, about, blocks, ran)
            if mark.kind == "output" and last >= 0:
                claims.append(_whole_output(mark.text, last, blocks[last], ran[last]))
    claims += _prose(page[marks[-1].end :] if marks else "", max(last, 0), blocks, ran)
    return claims


def agrees(says: str, printed: str) -> bool:
    """Whether two texts show the same, up to blanks, quotes and commas; `...` stands for what is left out."""
    one, other = _lines(says), _lines(printed)
    if one == other or PARTS.findall(one) == PARTS.findall(other):
        return True
    value, real = _literal(one), _literal(other)
    if value is not None and (value[0] == other or (value == real and type(value[0]) is type(real[0]))):
        return True
    return "..." in one and _elided(one, other)


def _elided(says: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(f"{says}\n", f"{printed}\n", doctest.ELLIPSIS)


def _whole_output(says: str, number: int, block: Block, ran: Ran) -> Claim:
    """A shown output is that of all its block; where that only defines, it is of a call that is not shown."""
    claim = Claim("output", says.strip(), number, ran.output)
    is_called = not all(statement.is_definition for statement in block.statements)
    return _judged(claim, agrees(says, ran.output), is_called and ran.outcome == "passed")


def _judged(claim: Claim, holds: bool, can_be_wrong: bool) -> Claim:
    return replace(claim, verdict="holds" if holds else "wrong" if can_be_wrong else "open")


# ---- inside a block


def _of_block(number: int, block: Block, ran: Ran) -> Iterator[Claim]:
    for place, statement in enumerate(block.statements):
        if statement.want:
            printed = _printed(ran, place)
            claim = Claim("session", statement.want.strip(), number, printed or "")
            yield _judged(claim, _session_agrees(statement.want, printed or ""), printed is not None)
    for says, line in _comments(block.text):
        yield _comment(Claim("comment", says, number), line, block, ran)


def _printed(ran: Ran, place: int) -> str | None:
    """What a statement printed, if it came to its end."""
    ended = len(ran.printed) - (ran.outcome != "passed")
    return ran.printed[place] if place < ended else None


def _session_agrees(want: str, printed: str) -> bool:
    if want.startswith(RAISED):
        return _exception(want) == _exception(printed)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(want, printed, flags) or agrees(want, printed)


def _exception(text: str) -> str:
    """The name of an exception and what it says, without the module that its class is from."""
    return re.sub(r"^[\w.]*\.(?=\w+)", "", text.removeprefix(RAISED).strip())


def _comment(claim: Claim, line: int, block: Block, ran: Ran) -> Claim:
    """A comment beside a statement speaks of what that printed, some lines of it where the statement has several.

    One on a line of its own may speak of the statement before it or of the one after it.
    """
    within = [n for n, s in enumerate(block.statements) if s.first <= line <= s.last]
    after = next((n for n, s in enumerate(block.statements) if s.first > line), len(block.statements))
    near = within or [n for n in (after - 1, after) if 0 <= n < len(block.statements)]
    texts = [_printed(ran, n) for n in near]
    told = [text for text in texts if text is not None]
    is_part = bool(within) and block.statements[within[0]].last > block.statements[within[0]].first
    holds = any(agrees(claim.text, text) or (is_part and _in_lines(claim.text, text)) for text in told)
    is_called = not (within and block.statements[within[0]].is_definition)
    printed = next((text for text in told if text), "")
    return _judged(replace(claim, printed=printed), holds, is_called and None not in texts and bool(texts))


def _in_lines(says: str, printed: str) -> bool:
    lines, count = printed.strip().split("\n"), says.count("\n") + 1
    return any(agrees(says, "\n".join(lines[n : n + count])) for n in range(len(lines)))


def _comments(source: str) -> Iterator[tuple[str, int]]:
    """The claims in comments: what is said, and in which line."""
    comments, lines = _comment_lines(source), source.split("\n")
    for number in sorted(comments):
        text, line = comments[number], lines[number - 1].strip()
        told = TELLS.match(text)
        if told is None:
            if line.startswith("print(") and _is_values(text):
                yield text, number
        elif told[2]:
            is_marked = told[1] or not text[0].isalpha()
            if _is_values(told[2]) or (is_marked and not DESCRIBES.match(told[2])):
                yield told[2], number
        elif told[1] and line.startswith("#"):
            below: list[str] = []
            while (at := number + len(below) + 1) in comments and lines[at - 1].strip().startswith("#"):
                below.append(comments[at])
            if below:
                yield "\n".join(below), number


def _comment_lines(source: str) -> dict[int, str]:
    """Line number -> comment without its sign, of a source that compiles."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return {}
    return {t.start[0]: t.string.lstrip("# ").rstrip() for t in tokens if t.type == tokenize.COMMENT}


def _is_values(text: str) -> bool:
    """Whether a text is something that Python prints as it stands: literals, or several of them in a row."""
    plain = text.strip("` ")
    return bool(plain) and (
        _literal(plain) is not None or all(_literal(p) is not None for p in PARTS.findall(plain))
    )


# ---- in sentences


def _prose(text: str, about: int, blocks: Sequence[Block], ran: Sequence[Ran]) -> Iterator[Claim]:
    """What sentences say is printed; it is wrong only where no block of the page printed it and all ran."""
    if not ran:
        return
    everything = "".join(r.output for r in ran)
    for sentence in SENTENCE.split(text):
        if HYPOTHETICAL.search(sentence):
            continue
        for found in SAID.finditer(sentence):
            says = (found["code"] or found["quote"] or found["bare"]).strip()
            if says and not (found["code"] and _is_code(says, blocks)):
                claim = Claim("prose", says, about, ran[about].output)
                yield _judged(claim, _is_in(says, everything), all(r.outcome == "passed" for r in ran))


def _is_code(text: str, blocks: Sequence[Block]) -> bool:
    """Whether words in code type name a thing of the program rather than show what is printed."""
    tree = parse(text)
    if tree is None or not tree.body or not isinstance(tree.body[0], ast.Expr):
        return tree is not None
    found = list(ast.walk(tree))
    said = {node.id for node in found if isinstance(node, ast.Name)}
    is_used = any(isinstance(node, ast.Name) and node.id in said for node in _nodes(blocks))
    return is_used or any(isinstance(node, ast.Call | ast.Attribute) for node in found)


def _nodes(blocks: Sequence[Block]) -> Iterator[ast.AST]:
    for block in blocks:
        yield from ast.walk(parse(block.text) or ast.Module([], []))


def _is_in(says: str, printed: str) -> bool:
    """Whether what is said stands in what was printed, not as a part of a longer word or number."""
    says = says.replace("\\n", "\n")
    for text in (says, says.strip("'\""), says.replace(",", "")):
        if text and re.search(rf"(?<![\w.]){re.escape(text)}(?!\.?\w)", printed):
            return True
    return any(agrees(says, line) for line in printed.split("\n")) or agrees(says, printed)


def _lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n")).strip().strip("`")


def _literal(text: str) -> Any:
    """The value that a text spells, in a tuple; None where it is no literal."""
    try:
        return (ast.literal_eval(text),)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
