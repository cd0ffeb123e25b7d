"""Breakages as models make them: what is mended says so, and what cannot be read is a failure with its raw text."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from scripts import Slow, ask

from hornbook.teachers import (
    Answer,
    Ask,
    Failed,
    Parsed,
    Reasking,
    ask_parsed,
    parse_json_answer,
    read_json,
)

VALUE = {"name": "mean", "tests": ["assert mean([1, 2]) == 1.5"], "level": 2}
WHOLE = orjson.dumps(VALUE).decode()

MENDED: dict[str, tuple[str, Any, set[str]]] = {
    "as it should be": (WHOLE, VALUE, set()),
    "blanks around": (f"\n  {WHOLE}\n", VALUE, set()),
    "a fence": (f"```json\n{WHOLE}\n```", VALUE, {"fences"}),
    "a fence without a language": (f"```\n{WHOLE}\n```\n", VALUE, {"fences"}),
    "a fence never closed": (f"```json\n{WHOLE}", VALUE, {"fences"}),
    "prose before": (f"Sure! Here is the JSON you asked for:\n\n{WHOLE}", VALUE, {"prose"}),
    "prose after": (f"{WHOLE}\n\nI hope that helps!", VALUE, {"prose"}),
    "prose with braces before": (f"A set like {{1, 2}} is no list.\n{WHOLE}", VALUE, {"prose"}),
    "a thought before": (f"<think>the user wants {{json}}</think>\n{WHOLE}", VALUE, {"prose"}),
    "prose and a fence": (f"Here:\n```json\n{WHOLE}\n```\nDone.", VALUE, {"fences"}),
    "another fence first": (f"```python\nx = 1\n```\n```json\n{WHOLE}\n```", VALUE, {"fences"}),
    "a comma after the last entry": ('{"a": [1, 2,], "b": 3,}', {"a": [1, 2], "b": 3}, {"commas"}),
    "a comma missing between entries": ('{"a": 1\n "b": 2}', {"a": 1, "b": 2}, {"commas"}),
    "a comma missing in a list": ('["a" "b"]', ["a", "b"], {"commas"}),
    "single quotes": ("{'a': 'it', 'b': ['x']}", {"a": "it", "b": ["x"]}, {"quotes"}),
    "an apostrophe in single quotes": ("{'a': 'it's so'}", {"a": "it's so"}, {"quotes"}),
    "curly quotes": ("{\u201ca\u201d: \u201cb\u201d}", {"a": "b"}, {"quotes"}),
    "unescaped quotes inside": ('{"a": "he said "no" to it"}', {"a": 'he said "no" to it'}, {"quotes"}),
    "keys without quotes": ('{name: "x", level: 2}', {"name": "x", "level": 2}, {"keys"}),
    "python's words": ('{"a": True, "b": None, "c": False}', {"a": True, "b": None, "c": False}, {"words"}),
    "comments": ('{"a": 1, // one\n"b": 2 /* two */}', {"a": 1, "b": 2}, {"comments"}),
    "python's comments": ('{"a": 1, # one\n"b": 2}', {"a": 1, "b": 2}, {"comments"}),
    "a line break in a string": ('{"a": "one\ntwo"}', {"a": "one\ntwo"}, {"controls"}),
    "a tab in a string": ('{"a": "x\ty"}', {"a": "x\ty"}, {"controls"}),
    "an escape that is none": (r'{"a": "\d+ \s"}', {"a": r"\d+ \s"}, {"escapes"}),
    "a comment sign in a string": (
        '{"a": "# no comment // at all",}',
        {"a": "# no comment // at all"},
        {"commas"},
    ),
    "a brace in a string": ('text {"a": "}{", "b": [1]} text', {"a": "}{", "b": [1]}, {"prose"}),
    "cut in a string": ('{"a": 1, "b": "half a sen', {"a": 1, "b": "half a sen"}, {"truncated"}),
    "cut after a key": ('{"a": 1, "b": ', {"a": 1}, {"truncated"}),
    "cut in a number": ('{"a": [1, 2, 34', {"a": [1, 2]}, {"truncated"}),
    "cut in a word": ('[{"ok": true}, {"ok": fal', [{"ok": True}, {}], {"truncated"}),
    "cut in a fence": ('```json\n{"a": [1, 2', {"a": [1]}, {"fences", "truncated"}),
    "numbers of all kinds": ("[1, -2.5, +3, .5, 1e3, 7.]", [1, -2.5, 3, 0.5, 1000.0, 7.0], set()),
    "NaN": ('{"a": NaN}', {"a": None}, {"words"}),
    "an interval and a citation before": (f"For i in [0, n) see [1].\n{WHOLE}", VALUE, {"prose"}),
    "two objects": (f'{WHOLE}\n{{"b": 2}}', VALUE, {"prose"}),
    "an empty object": ("{}", {}, set()),
    "a pair of surrogates": (r'{"a": "\ud83d\ude00",}', {"a": "\U0001f600"}, {"commas"}),
    "half a pair": (r'{"a": "\ud83d",}', {"a": "\ufffd"}, {"commas"}),
    "a python literal in backticks": ("`{'a': 1}`", {"a": 1}, {"prose", "quotes"}),
    "code in a string": (
        '{"code": "def f(x):\n    return {"a": x}\n", "n": 1}',
        {"code": 'def f(x):\n    return {"a": x}\n', "n": 1},
        {"controls", "quotes"},
    ),
}


@pytest.mark.parametrize("name", MENDED)
def test_a_breakage_is_mended_and_named(name: str) -> None:
    text, value, mended = MENDED[name]
    assert parse_json_answer(text) == Parsed(value, text, tuple(sorted(mended)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_json"),
        ("I would rather not.", "no_json"),
        ("def f(x):\n    return x + 1", "no_json"),
        ("{what is this}", "broken_json"),
        ('{"a": }', "broken_json"),
        ('{"a": , "b": [1, 2]}', "broken_json"),
        ('[{"a": 1}, {"a": }]', "broken_json"),
        ("[1, 2}", "broken_json"),
        ("[" * 500, "broken_json"),
    ],
)
def test_what_cannot_be_read_is_a_failure_that_ends_with_the_raw_text(text: str, reason: str) -> None:
    said = parse_json_answer(text)
    assert isinstance(said, Failed)
    assert said.reason == reason
    assert said.detail.endswith(text)


def test_whatever_is_cut_off_a_good_answer_the_rest_is_read_or_refused_but_never_wrong() -> None:
    value = {"name": "f", "tests": ["a == 1", "b"], "more": {"n": 12, "ok": True}}
    text = orjson.dumps(value).decode()
    for end in range(1, len(text)):
        said = parse_json_answer(text[:end])
        assert isinstance(said, Parsed)
        assert "truncated" in said.mended
        for key, got in said.value.items():
            whole = value[key]
            if isinstance(whole, str):
                assert whole.startswith(got)
            elif isinstance(whole, list):
                assert all(w.startswith(g) for w, g in zip(whole, got, strict=False))  # type: ignore[attr-defined]
            else:
                assert got.items() <= whole.items()  # type: ignore[attr-defined]


def test_no_text_makes_it_crash_or_hang() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        text = "".join(rng.choice("{}[]\"',:\\`\n tu1-#/") for _ in range(rng.randrange(40)))
        said = parse_json_answer(text)
        assert isinstance(said, Parsed | Failed)
    assert isinstance(parse_json_answer('{"a": "' + "x" * 200_000), Parsed)
    assert isinstance(parse_json_answer("{ " * 20_000), Failed)


class Scripted(Slow):
    """Says one thing after the other."""

    def __init__(self, log: Path, *said: str) -> None:
        super().__init__(log)
        self.said = list(said)
        self.asks: list[Ask] = []

    async def answer(self, ask: Ask) -> Answer | Failed:
        self.asks.append(ask)
        text = self.said.pop(0)
        return Failed("timeout") if text == "timeout" else Answer(text)


def level(value: Any) -> int:
    if not isinstance(value, dict) or not isinstance(value.get("level"), int):
        raise ValueError("level is missing")
    return int(value["level"])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (('{"level": 3}',), Answer('{"level": 3}')),
        (("no idea", '{"level": 3}'), Answer('{"level": 3}')),
        (('{"a": 1}', "{'level': 4}"), Answer("{'level': 4}")),
        (("no idea", "still none"), Failed("no_json", "no JSON object or array in it: still none", tries=2)),
        (('{"a": 1}', '{"b": 1}'), Failed("wrong_json", 'level is missing: {"b": 1}', tries=2)),
        (("timeout",), Failed("timeout")),
        (("no idea", "timeout"), Failed("timeout", tries=2)),
    ],
)
def test_what_cannot_be_used_is_asked_once_more_with_the_error(
    tmp_path: Path, said: tuple[str, ...], expected: Answer | Failed
) -> None:
    teacher = Scripted(tmp_path / "log", *said)
    got = asyncio.run(Reasking(teacher, level).answer(ask("give me a level")))
    assert got == expected
    assert teacher.said == []
    if isinstance(got, Answer):
        assert read_json(got.text, level) in (Parsed(3, got.text), Parsed(4, got.text, ("quotes",)))
    if len(said) == 2:
        first, second = teacher.asks
        assert second.messages[:2] == (*first.messages, ("assistant", said[0]))
        assert ("level is missing" if "a" in said[0][:3] else "no JSON") in second.messages[2][1]


def test_asking_and_reading_in_one(tmp_path: Path) -> None:
    said = asyncio.run(ask_parsed(Scripted(tmp_path / "log", "none", '{"level": 5}'), ask("level?"), level))
    assert said == Parsed(5, '{"level": 5}')
