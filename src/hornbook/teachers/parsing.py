"""Reading JSON out of an answer: the usual breakages are mended and said, the rest is asked once more."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from hornbook.teachers.request import Answer, Ask, Failed, Front, Teacher

FENCE = re.compile(r"```[a-zA-Z0-9]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
OPENERS = re.compile(r"[{\[]")
MAX_STARTS = 50
REASK = "That could not be used: {error}. Answer again with the corrected JSON alone."


@dataclass(frozen=True, slots=True)
class Parsed:
    """A value read from an answer, the raw text, and what was mended: prose, fences, quotes, commas, truncated, ..."""

    value: Any
    raw: str
    mended: tuple[str, ...] = ()


def parse_json_answer(text: str) -> Parsed | Failed:
    """The JSON in an answer; Failed with no_json or broken_json, whose detail ends with the raw text.

    An object or array is looked for as it stands, in code fences, then in prose: the longest, as a rule the one that
    was asked for. Where the text broke off inside one, it is closed there ("truncated" is then among what was mended).
    """
    try:
        return Parsed(orjson.loads(text), text)
    except ValueError:
        pass
    places = [(block[1], ("fences",)) for block in FENCE.finditer(text)] + [(text, ())]
    problem: Broken | None = None
    for truncated in (False, True):
        for place, mended in places:
            try:
                found = _find(place, text, mended, truncated)
            except Broken as error:
                problem = problem or error
                continue
            if found:
                return found
    if problem is None:
        return Failed("no_json", f"no JSON object or array in it: {text}")
    return Failed("broken_json", f"{problem}: {text}")


def _find(place: str, raw: str, mended: tuple[str, ...], truncated: bool) -> Parsed | None:
    """The longest object or array in `place`; None where there is none, Broken where one cannot be read."""
    found: list[tuple[int, Any, set[str]]] = []
    problem: Broken | None = None
    at = 0
    for _ in range(MAX_STARTS):
        start = OPENERS.search(place, at)
        if start is None:
            break
        try:
            value, at, notes = read_lenient(place, start.start(), truncated)
        except Broken as error:
            if error.meant:
                raise
            problem, at = problem or error, max(error.at, start.end())
            continue
        prose = place[: start.start()].strip() or place[at:].strip()
        found.append((at - start.start(), value, {*mended, *notes, *(("prose",) if prose else ())}))
    if not found and problem:
        raise problem
    if not found:
        return None
    _, value, notes = max(found, key=lambda one: one[0])
    return Parsed(value, raw, tuple(sorted(notes)))


Check = Callable[[Any], Any]


def read_json(text: str, check: Check = lambda value: value) -> Parsed | Failed:
    """The JSON in an answer as `check` makes it, which raises ValueError saying what is wrong: reason "wrong_json"."""
    parsed = parse_json_answer(text)
    if isinstance(parsed, Failed):
        return parsed
    try:
        return replace(parsed, value=check(parsed.value))
    except ValueError as error:
        return Failed("wrong_json", f"{error}: {text}")


class Reasking(Front):
    """A teacher whose JSON can be used: what cannot is asked for once more, with the error, and given up after that.

    The answer that comes back is the raw one, which `read_json` reads; a failure's detail ends with the raw text.
    """

    def __init__(self, teacher: Teacher, check: Check = lambda value: value) -> None:
        super().__init__(teacher)
        self.check = check

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The first of two answers that can be used."""
        first = await self.teacher.answer(ask)
        problem = first if isinstance(first, Failed) else self._problem(first)
        if isinstance(first, Failed) or problem is None:
            return first
        error = problem.detail.removesuffix(first.text).rstrip(": ")
        again = (*ask.messages, ("assistant", first.text), ("user", REASK.format(error=error)))
        second = await self.teacher.answer(replace(ask, messages=again))
        problem = second if isinstance(second, Failed) else self._problem(second)
        return replace(problem, tries=2) if problem else second

    def _problem(self, answer: Answer) -> Failed | None:
        read = read_json(answer.text, self.check)
        return read if isinstance(read, Failed) else None


async def ask_parsed(teacher: Teacher, ask: Ask, check: Check = lambda value: value) -> Parsed | Failed:
    """The JSON of the first of two answers that can be used."""
    answer = await Reasking(teacher, check).answer(ask)
    return answer if isinstance(answer, Failed) else read_json(answer.text, check)


SPACE = re.compile(r"(?:\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)+", re.DOTALL)
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
WORD = re.compile(r"[A-Za-z_$][\w$-]*")
WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None, "NaN": None}
QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "`": "`"}
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", "\n": ""}
MAX_DEPTH = 100


class Broken(ValueError):
    """It cannot be read from `at` on; `meant` where it was surely meant to be JSON."""

    def __init__(self, message: str, at: int, meant: bool) -> None:
        super().__init__(message)
        self.at, self.meant = at, meant


class _CutOff(Exception):
    """The text ended inside a value."""


def read_lenient(text: str, start: int, truncated: bool) -> tuple[Any, int, set[str]]:
    """The value at `start`, where it ends, and what was wrong with it.

    Where the text ends too early: Broken, or with `truncated` what was there, without the value that was cut
    (a cut string is kept as far as it goes).
    """
    reader = _Reader(text, start, truncated)
    value = reader.value(0, "")
    return value, reader.at, reader.notes


@dataclass
class _Reader:
    text: str
    at: int
    truncated: bool
    meant: bool = False
    """An object has a key and a colon: that is no prose in braces."""
    notes: set[str] = field(default_factory=set)

    def value(self, depth: int, closer: str) -> Any:
        """The value here, inside something that `closer` ends."""
        if depth > MAX_DEPTH:
            self.meant = True
            raise self.broken(f"nested deeper than {MAX_DEPTH}")
        sign = self.peek()
        if sign == "{":
            return self.object(depth)
        if sign == "[":
            return self.array(depth)
        if sign in QUOTES:
            return self.string(f",{closer}")
        if number := NUMBER.match(self.text, self.at):
            return self.number(number)
        word = WORD.match(self.text, self.at)
        if word is None or word[0] not in WORDS:
            if word is not None and word.end() == len(self.text):
                raise self.cut()
            raise self.broken("expected a value")
        self.at = word.end()
        if word[0] not in ("true", "false", "null"):
            self.notes.add("words")
        return WORDS[word[0]]

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        try:
            while self.peek() != "}":
                key = self.key()
                if self.peek() != ":":
                    raise self.broken(f"expected ':' after {key!r}")
                self.at += 1
                self.meant = True
                found[key] = self.value(depth + 1, "}")
                self.comma("}")
            self.at += 1
        except _CutOff:
            self.closed_for_it()
        return found

    def array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        try:
            while self.peek() != "]":
                found.append(self.value(depth + 1, "]"))
                self.comma("]")
            self.at += 1
        except _CutOff:
            self.closed_for_it()
        return found

    def closed_for_it(self) -> None:
        self.at = len(self.text)
        self.notes.add("truncated")

    def key(self) -> str:
        if self.peek() in QUOTES:
            return self.string(":")
        word = WORD.match(self.text, self.at)
        if word is None:
            raise self.broken("expected a key")
        self.at = word.end()
        self.notes.add("keys")
        return word[0]

    def comma(self, closer: str) -> None:
        """Step over one comma; one before the end, or a missing one, is mended."""
        sign = self.peek()
        if sign == ",":
            self.at += 1
            if self.peek() == closer:
                self.notes.add("commas")
        elif sign != closer:
            if sign in "]}":
                raise self.broken(f"expected {closer!r}")
            self.notes.add("commas")

    def number(self, found: re.Match[str]) -> int | float:
        if found.end() == len(self.text):
            raise self.cut()
        self.at = found.end()
        digits = found[0]
        return int(digits) if re.fullmatch(r"[-+]?\d+", digits) else float(digits)

    def string(self, after: str) -> str:
        """The text up to a quote that is followed by one of `after`, by another quote, or by a new line."""
        opener = self.text[self.at]
        closer = QUOTES[opener]
        if opener != '"':
            self.notes.add("quotes")
        self.at += 1
        parts: list[str] = []
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign == closer and not self.inside(after):
                self.at += 1
                return "".join(parts)
            parts.append(self.escape() if sign == "\\" else self.plain(sign))
        if not self.truncated:
            raise Broken("it breaks off inside a string", len(self.text), meant=True)
        self.notes.add("truncated")
        return "".join(parts)

    def inside(self, after: str) -> bool:
        """Whether this quote stands in the middle of a text, as apostrophes and unescaped quotes do."""
        blanks = SPACE.match(self.text, self.at + 1)
        next_at = blanks.end() if blanks else self.at + 1
        sign = self.text[next_at : next_at + 1]
        if sign in after or sign in QUOTES or (blanks and "\n" in blanks[0]):
            return False
        self.notes.add("quotes")
        return True

    def plain(self, sign: str) -> str:
        self.at += 1
        if sign < " ":
            self.notes.add("controls")
        return sign

    def escape(self) -> str:
        code = self.text[self.at + 1 : self.at + 2]
        if code == "u":
            digits = self.text[self.at + 2 : self.at + 6]
            if re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                self.at += 6
                return self.paired(int(digits, 16))
        self.at += 2
        if code in ESCAPES:
            return ESCAPES[code]
        if code not in ('"', "'"):
            self.notes.add("escapes")
            return "\\" + code
        return code

    def paired(self, high: int) -> str:
        low = re.match(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})", self.text[self.at : self.at + 6])
        if 0xD800 <= high < 0xDC00 and low:
            self.at += 6
            return chr(0x10000 + ((high - 0xD800) << 10) + int(low[1], 16) - 0xDC00)
        return "\ufffd" if 0xD800 <= high < 0xE000 else chr(high)

    def peek(self) -> str:
        """The next sign after blanks and comments; at the end of the text the value was cut."""
        if space := SPACE.match(self.text, self.at):
            if space[0].strip():
                self.notes.add("comments")
            self.at = space.end()
        if self.at >= len(self.text):
            raise self.cut()
        return self.text[self.at]

    def cut(self) -> Exception:
        return _CutOff() if self.truncated else Broken("it breaks off", len(self.text), meant=True)

    def broken(self, what: str) -> Broken:
        line = self.text.count("\n", 0, self.at) + 1
        return Broken(f"{what} in line {line} at {self.text[self.at : self.at + 20]!r}", self.at, self.meant)
