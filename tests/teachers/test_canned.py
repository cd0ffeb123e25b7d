import asyncio
from pathlib import Path

import pytest
from scripts import ask, script

from hornbook.core.errors import TeacherError
from hornbook.teachers import Answer, Canned, Failed


def say(teacher: Canned, text: str, **settings: object) -> Answer | Failed:
    return asyncio.run(teacher.answer(ask(text, **settings)))


def test_the_first_matching_line_answers(tmp_path: Path) -> None:
    teacher = Canned("m", script(tmp_path / "s", {"match": "a+b", "text": "first"}, {"text": "second"}))
    assert [say(teacher, t).text for t in ("xaab", "ab", "b")] == ["first", "first", "second"]  # type: ignore[union-attr]


def test_no_match_and_a_scripted_failure_are_failures(tmp_path: Path) -> None:
    teacher = Canned(
        "m", script(tmp_path / "s", {"match": "rate", "failed": "rate_limited", "detail": "slow down"})
    )
    assert say(teacher, "rate") == Failed("rate_limited", "slow down")
    assert say(teacher, "else") == Failed("no_script", "no line of the script matches 'else'")


def test_several_texts_vary_with_the_seed_but_never_for_the_same_ask(tmp_path: Path) -> None:
    teacher = Canned(
        "m", script(tmp_path / "s", {"texts": ["a", "b", "c"], "logprobs": [{"Yes": -0.1}, {"Yes": -2.0}]})
    )
    said = [say(teacher, "q", seed=seed) for seed in range(20)]
    assert {a.text for a in said} == {"a", "b", "c"}  # type: ignore[union-attr]
    assert {a.logprobs["Yes"] for a in said} == {-0.1, -2.0}  # type: ignore[union-attr]
    assert said == [say(teacher, "q", seed=seed) for seed in range(20)]


def test_a_long_text_is_cut_at_the_limit_and_says_so(tmp_path: Path) -> None:
    teacher = Canned("m", script(tmp_path / "s", {"text": "one two three"}))
    assert say(teacher, "q", max_answer_tokens=2) == Answer("one two", 1, 2, truncated=True)


def test_the_revision_is_the_script(tmp_path: Path) -> None:
    one = Canned("m", script(tmp_path / "1", {"text": "a"}))
    other = Canned("m", script(tmp_path / "2", {"text": "b"}))
    assert one.revision != other.revision


@pytest.mark.parametrize(
    ("line", "said"),
    [(b"{", ":1 is not a line"), (b'{"match": "("}', ":1 is"), (b'{"txt": "a"}', "unknown key txt")],
)
def test_a_broken_script_names_the_line(tmp_path: Path, line: bytes, said: str) -> None:
    (tmp_path / "s").write_bytes(line)
    with pytest.raises(TeacherError, match=said):
        Canned("m", tmp_path / "s")
