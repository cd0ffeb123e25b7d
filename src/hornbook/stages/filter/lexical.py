"""Lexical features of a document: bytes, words and lines of its whole text, counted without a parser."""

from __future__ import annotations

import math
import re
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from keyword import kwlist

PACKED_BYTES = 20_000
"""Compression is measured on this much of a text."""
_PART = re.compile(
    r'("""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|#[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')'
)
"""A string or a comment, whichever begins first, so that neither is found inside the other."""
_BEFORE_DOCSTRING = frozenset({"", "r", "R", "u", "U"})
_WORD = re.compile(r"[^\W\d]\w*")
_CAMEL = re.compile(r"[a-z0-9][A-Z]")
_PROSE = re.compile(r"\b[a-z]{2,}\b")
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.M)
_DEF = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.M)
_HEADER = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*")
_KEYWORDS = frozenset(kwlist)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


COUNTED_WORDS = (
    *("def", "class", "return", "if", "else", "for", "while", "try", "raise", "assert", "None", "self"),
    *("in", "not", "import"),
)
STOP_WORDS = _set("the a an of is to and in that it for this are be by with as on if not or from we each")
TEACHING_WORDS = _set(
    "example note complexity algorithm returns given number list string element input output steps find "
    "calculate compute print explanation time space sorted array index value values following first last"
)
TEST_WORDS = _set(
    "unittest pytest mock patch MagicMock Mock TestCase setUp tearDown fixture parametrize monkeypatch "
    "assertEqual assertTrue assertFalse assertRaises assertIn assertIsNone"
)
BASIC_WORDS = _set(
    "print input range len int str list dict sum max min sorted append abs enumerate zip float"
)
DYNAMIC_WORDS = _set(
    "getattr setattr hasattr isinstance issubclass type super property classmethod staticmethod args kwargs "
    "__dict__ __class__ __new__ __getattr__ cast TYPE_CHECKING overload NotImplementedError weakref"
)
FRAMEWORKS = _set(
    "django flask sqlalchemy celery twisted scrapy tornado aiohttp fastapi pydantic boto3 botocore requests "
    "httpx zope wtforms alembic rest_framework"
)
SCIENCE = _set("numpy pandas matplotlib scipy sklearn torch turtle random math")
TEST_MODULES = frozenset({"unittest", "pytest", "mock", "nose", "test"})
LEXICAL: dict[str, str] = {
    "log_chars": "logarithm of the length in characters",
    "log_lines": "logarithm of the number of lines that are not blank",
    "blank_line_share": "share of lines that are blank",
    "duplicate_line_share": "share of lines that repeat another line",
    "line_chars_mean": "mean length of a line without its indent",
    "line_chars_max": "length of the longest line",
    "long_line_share": "share of lines over 79 characters",
    "indent_mean": "mean indent of a line",
    "indent_max": "deepest indent",
    "top_level_line_share": "share of lines without indent",
    "data_line_share": "share of lines that begin with a quote, digit or bracket, as rows of tables do",
    "packed_share": "compressed size over size of the first 20,000 bytes; low if the text repeats itself",
    "not_ascii_share": "share of bytes beyond one per character",
    "digit_share": "share of characters that are digits",
    "comment_share": "share of characters in comments",
    "comment_line_share": "share of lines that are comments",
    "trailing_comment_share": "comments after code, per line",
    "comment_chars_mean": "mean length of a comment",
    "comment_code_share": "share of comments with ( or =, as commented-out code has",
    "docstring_share": "share of characters in docstrings",
    "docstrings_per_line": "docstrings per line",
    "docstring_words_mean": "mean number of words in a docstring",
    "string_share": "share of characters in strings that are not docstrings",
    "header_share": "share of characters in the comments before the first code, where licences stand",
    "opening_words": "words of the docstring that the text opens with",
    "prose_words_share": "words of prose in comments and docstrings, per character",
    "stop_word_share": "share of prose words that are articles, prepositions and the like: whole sentences",
    "teaching_word_share": "share of prose words that explanations use: example, given, returns, complexity",
    "licence_words": "the words license, copyright and warranties, five at most",
    "generated": "1 if the prose says generated or do not edit",
    "doctests_per_line": "interactive examples (>>>) per line",
    "urls_per_line": "URLs per line",
    "todo_per_line": "marks for maintainers per line: TODO, FIXME, noqa, type: ignore",
    "escapes_share": "share of characters in escapes such as \\x00, as tables of bytes have",
    "code_share": "share of characters outside strings and comments",
    "word_share": "share of the code's characters in words",
    "name_kinds_share": "different names over uses of names",
    "name_chars_mean": "mean length of a different name",
    "snake_share": "share of names in snake_case",
    "camel_share": "share of names in camelCase",
    "upper_share": "share of names in capitals",
    "letter_share": "share of names that are one letter",
    "private_name_share": "share of names with one leading underscore",
    "magic_share": "share of names with two leading underscores",
    "log_names": "logarithm of the number of different names",
    **{f"word_{word}": f"share of the code's words that are {word}" for word in COUNTED_WORDS},
    "test_words": "share of words that tests use: unittest, mock, assertEqual",
    "basic_words": "share of words that beginners use: print, range, len, append",
    "dynamic_words": "share of words that libraries use: getattr, isinstance, super, kwargs",
    "print_words": "share of words that are print",
    "attribute_share": "attributes per word",
    "self_attribute_share": "attributes of self per word",
    "call_share": "calls per word",
    "subscript_share": "subscripts per word",
    "arithmetic_share": "arithmetic operators per word",
    "comparison_share": "comparisons per word",
    "augmented_share": "augmented assignments per word",
    "annotation_share": "type annotations per word",
    "keyword_argument_share": "keyword arguments and defaults per word",
    "bracket_share": "share of the code's characters that are brackets",
    "number_share": "numbers per word",
    "decorator_share": "decorators per word",
    "main_guard": "1 if the text asks whether it is run as a program",
    "exports": "1 if the text sets __all__",
    "imports": "modules imported",
    "standard_import_share": "share of imported modules that the standard library has",
    "foreign_imports": "imported modules that neither the standard library has nor the package itself",
    "relative_imports": "imports from the package itself",
    "framework_imports": "imported web, database and network frameworks",
    "science_imports": "imported modules for numbers, plots and learning",
    "test_imports": "1 if a test framework is imported",
    "imports_per_line": "imported modules per line",
    "star_imports": "1 if everything of a module is imported",
    "functions": "logarithm of the number of functions",
    "lines_per_function": "lines per function",
    "test_function_share": "share of functions called test...",
    "private_function_share": "share of functions with one leading underscore",
    "magic_function_share": "share of functions with two leading underscores",
    "function_name_words_mean": "mean number of words in a function's name",
}
"""Name of each lexical feature -> what it is."""


@dataclass(frozen=True)
class Text:
    """A document's text, cut once into code, strings and comments; `text` has no carriage returns."""

    text: str

    @cached_property
    def parts(self) -> list[str]:
        """Code and, in odd places, a string or comment, in turn."""
        return _PART.split(self.text)

    @cached_property
    def code(self) -> str:
        """The text with empty strings for its strings and comments."""
        return '""'.join(self.parts[::2])

    @cached_property
    def words(self) -> Counter[str]:
        """Keywords and names in the code -> how often each occurs."""
        return Counter(_WORD.findall(self.code))


def lexical_features(text: Text) -> dict[str, float]:
    """The features that LEXICAL lists, in its order, all finite, of any text."""
    return {
        **_lines(text.text),
        **_explanation(text),
        **_words(text),
        **_imports(text.code),
        **_functions(text.code),
    }


def share(part: float, whole: float) -> float:
    """part / whole, 0 if there is no whole."""
    return part / whole if whole else 0.0


def _lines(text: str) -> dict[str, float]:
    raw = text.split("\n")
    filled = [line for line in map(str.strip, raw) if line]
    lengths = list(map(len, filled))
    indents = [len(line) - len(line.lstrip()) for line in raw if line and not line.isspace()]
    data = text.encode("utf-8", "surrogatepass")
    count = len(filled)
    return {
        "log_chars": math.log1p(len(text)),
        "log_lines": math.log1p(count),
        "blank_line_share": 1 - count / len(raw),
        "duplicate_line_share": share(count - len(set(filled)), count),
        "line_chars_mean": share(sum(lengths), count),
        "line_chars_max": float(max(lengths, default=0)),
        "long_line_share": share(sum(length > 79 for length in lengths), count),
        "indent_mean": share(sum(indents), count),
        "indent_max": float(max(indents, default=0)),
        "top_level_line_share": share(indents.count(0), count),
        "data_line_share": share(sum(line[0] in "\"'0123456789[{(-" for line in filled), count),
        "packed_share": len(zlib.compress(data[:PACKED_BYTES], 1)) / max(len(data[:PACKED_BYTES]), 1),
        "not_ascii_share": share(len(data) - len(text), len(data)),
        "digit_share": share(sum(map(text.count, "0123456789")), len(text)),
    }


def _docstrings(parts: Sequence[str]) -> list[str]:
    """The triple-quoted strings that begin a line."""
    return [
        part
        for before, part in zip(parts[::2], parts[1::2], strict=False)
        if part[:3] in ('"""', "'''") and before[before.rfind("\n") + 1 :].strip() in _BEFORE_DOCSTRING
    ]


def _explanation(held: Text) -> dict[str, float]:
    text, parts = held.text, held.parts
    chars, lines = max(len(text), 1), text.count("\n") + 1
    comments = [part for part in parts[1::2] if part[0] == "#"]
    docstrings = _docstrings(parts)
    comment_chars, docstring_chars = sum(map(len, comments)), sum(map(len, docstrings))
    strings = sum(map(len, parts[1::2])) - comment_chars - docstring_chars
    own_line = sum(line.lstrip().startswith("#") for line in text.split("\n"))
    header = _HEADER.match(text)
    head = header.end() if header else 0
    opening = docstrings[0] if docstrings and text.find(docstrings[0]) <= head + 4 else ""
    return {
        "comment_share": comment_chars / chars,
        "comment_line_share": own_line / lines,
        "trailing_comment_share": (len(comments) - own_line) / lines,
        "comment_chars_mean": share(comment_chars, len(comments)),
        "comment_code_share": share(sum("(" in c or "=" in c for c in comments), len(comments)),
        "docstring_share": docstring_chars / chars,
        "docstrings_per_line": len(docstrings) / lines,
        "docstring_words_mean": share(sum(len(d.split()) for d in docstrings), len(docstrings)),
        "string_share": strings / chars,
        "header_share": head / chars,
        "opening_words": float(len(opening.split())),
        **_prose(" ".join([*docstrings, *comments]).lower(), chars),
        "doctests_per_line": text.count(">>>") / lines,
        "urls_per_line": text.count("://") / lines,
        "todo_per_line": sum(map(text.count, ("TODO", "FIXME", "XXX", "noqa", "type: ignore"))) / lines,
        "escapes_share": 4 * sum(map(text.count, ("\\x", "\\u", "\\0"))) / chars,
    }


def _prose(prose: str, chars: int) -> dict[str, float]:
    said = Counter(_PROSE.findall(prose))
    total = said.total()
    return {
        "prose_words_share": total / chars,
        "stop_word_share": share(sum(said[word] for word in STOP_WORDS), total),
        "teaching_word_share": share(sum(said[word] for word in TEACHING_WORDS), total),
        "licence_words": float(min(said["license"] + said["copyright"] + said["warranties"], 5)),
        "generated": float("generated" in prose[:2000] or "do not edit" in prose[:2000]),
    }


def _words(held: Text) -> dict[str, float]:
    code, counts = held.code, held.words
    total = max(counts.total(), 1)
    names = [word for word in counts if word not in _KEYWORDS]
    kinds, size = len(names), max(len(code), 1)

    def found(pattern: str) -> float:
        return len(re.findall(pattern, code, re.M)) / total

    def used(words: frozenset[str]) -> float:
        return sum(counts[word] for word in words) / total

    return {
        "code_share": len(code) / max(len(held.text), 1),
        "word_share": sum(len(word) * count for word, count in counts.items()) / size,
        "name_kinds_share": share(kinds, sum(counts[name] for name in names)),
        "name_chars_mean": share(sum(map(len, names)), kinds),
        "snake_share": share(sum("_" in name.strip("_") for name in names), kinds),
        "camel_share": share(sum(bool(_CAMEL.search(name)) for name in names), kinds),
        "upper_share": share(sum(name.isupper() and len(name) > 1 for name in names), kinds),
        "letter_share": share(sum(len(name) == 1 for name in names), kinds),
        "private_name_share": share(sum(name[0] == "_" and name[:2] != "__" for name in names), kinds),
        "magic_share": share(sum(name[:2] == "__" for name in names), kinds),
        "log_names": math.log1p(kinds),
        **{f"word_{word}": counts[word] / total for word in COUNTED_WORDS},
        "test_words": used(TEST_WORDS),
        "basic_words": used(BASIC_WORDS),
        "dynamic_words": used(DYNAMIC_WORDS),
        "print_words": counts["print"] / total,
        "attribute_share": found(r"\.[A-Za-z_]"),
        "self_attribute_share": code.count("self.") / total,
        "call_share": found(r"\w\("),
        "subscript_share": found(r"\w\["),
        "arithmetic_share": found(r"[+*/%-]|<<|>>"),
        "comparison_share": found(r"==|!=|<=|>=|[<>]"),
        "augmented_share": found(r"[+*/-]="),
        "annotation_share": found(r"->|\w: ?[A-Za-z]"),
        "keyword_argument_share": found(r"[(,]\s*\w+=[^=]"),
        "bracket_share": sum(map(code.count, "()[]{}")) / size,
        "number_share": found(r"\b\d"),
        "decorator_share": found(r"^[ \t]*@"),
        "main_guard": float("if __name__" in code),
        "exports": float("__all__" in counts),
    }


def _imports(code: str) -> dict[str, float]:
    names = [
        name.strip()
        for source, listed in _IMPORT.findall(code)
        for name in ([source] if source else listed.split(","))
    ]
    relative = sum(name.startswith(".") for name in names)
    roots = {name.partition(".")[0].partition(" ")[0] for name in names} - {"", "__future__"}
    standard = len(roots & sys.stdlib_module_names)
    every = len(roots) + relative
    return {
        "imports": float(every),
        "standard_import_share": share(standard, every),
        "foreign_imports": float(len(roots) - standard),
        "relative_imports": float(relative),
        "framework_imports": float(len(roots & FRAMEWORKS)),
        "science_imports": float(len(roots & SCIENCE)),
        "test_imports": float(bool(roots & TEST_MODULES)),
        "imports_per_line": every / (code.count("\n") + 1),
        "star_imports": float("import *" in code),
    }


def _functions(code: str) -> dict[str, float]:
    names = _DEF.findall(code)
    count = len(names)
    return {
        "functions": math.log1p(count),
        "lines_per_function": (code.count("\n") + 1) / max(count, 1),
        "test_function_share": share(sum(name.startswith("test") for name in names), count),
        "private_function_share": share(sum(n[0] == "_" and n[:2] != "__" for n in names), count),
        "magic_function_share": share(sum(name[:2] == "__" for name in names), count),
        "function_name_words_mean": share(sum(n.strip("_").count("_") + 1 for n in names), count),
    }
