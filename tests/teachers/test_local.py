from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from scripts import ask

from hornbook.core.errors import TeacherError
from hornbook.teachers import Answer, Failed, answer_all
from hornbook.teachers import open as embedded
from hornbook.teachers.local import LocalModel, file_revision, read


@pytest.fixture(scope="module")
def teacher() -> Iterator[LocalModel]:
    """The embedded model itself, fetched where it is not there yet."""
    try:
        path = embedded.embedded_file(embedded.model_folder())
    except TeacherError as error:
        pytest.skip(str(error))
    model = LocalModel(embedded.MODEL, "", lambda: path, concurrency=4)
    yield model
    model.close()


def test_it_answers_and_the_same_ask_gets_the_same_answer_alone_or_among_others(teacher: LocalModel) -> None:
    asks = [ask(f"Say the number {n}.", max_answer_tokens=24, temperature=0.8, seed=n) for n in range(6)]
    together = list(answer_all(teacher, asks, concurrency=4))
    alone = list(answer_all(teacher, asks[2:3], concurrency=1))
    assert all(isinstance(a, Answer) and 0 < a.tokens_out <= 24 for a in together)
    assert alone[0] == together[2]


def test_a_long_prompt_is_judged_alike_alone_and_among_others(teacher: LocalModel) -> None:
    asks = [
        ask(f"{n} " + "some words to read " * (20 + n) + "Good?", choices=("Yes", "No")) for n in range(8)
    ]
    together = list(answer_all(teacher, asks, concurrency=4))
    assert together == [answer for one in asks for answer in answer_all(teacher, [one])]


def test_choices_carry_log_probabilities_of_the_first_token(teacher: LocalModel) -> None:
    question = "Is water wet? Answer Yes or No."
    [answer] = answer_all(teacher, [ask(question, choices=("Yes", "No", "Zyzzyva"))])
    assert isinstance(answer, Answer)
    assert set(answer.logprobs) == {"Yes", "No"}
    assert all(-12 < value < 0 for value in answer.logprobs.values())


def test_a_prompt_beyond_the_context_is_a_failure_with_its_reason(teacher: LocalModel) -> None:
    [answer] = answer_all(teacher, [ask("word " * 5000)])
    assert isinstance(answer, Failed)
    assert answer.reason == "too_long"
    assert "exceeds the available context" in answer.detail


def test_an_answer_cut_at_the_limit_says_so(teacher: LocalModel) -> None:
    [answer] = answer_all(teacher, [ask("Count from one to one hundred.", max_answer_tokens=8)])
    assert isinstance(answer, Answer)
    assert (answer.tokens_out, answer.truncated) == (8, True)


def test_a_schema_is_followed(teacher: LocalModel) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "maximum": 99}},
        "required": ["age"],
    }
    [answer] = answer_all(
        teacher, [ask("Anna is 7. Her age?", schema=orjson.dumps(schema).decode(), max_answer_tokens=40)]
    )
    assert isinstance(answer, Answer)
    assert isinstance(orjson.loads(answer.text)["age"], int)


def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"not a model")
    model = LocalModel("m", file_revision(path), lambda: path, concurrency=1)
    with pytest.raises(TeacherError, match=r"model\.gguf cannot be loaded as the teacher m"):
        list(answer_all(model, [ask("hello")]))
    model.close()


def test_the_revision_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    revisions = set()
    for data in (b"", b"a", b"b", b"a" * 1_000_000, b"a" * 999_999 + b"b"):
        path.write_bytes(data)
        revisions.add(file_revision(path))
    assert len(revisions) == 5


def test_an_unknown_error_object_and_an_empty_answer_are_failures() -> None:
    assert read({"error": {"type": "odd", "message": "boom"}}, ()) == Failed("teacher_error", "boom")
    said = {"finish_reason": "stop", "message": {"content": " \n"}}
    assert read({"choices": [said], "usage": {}}, ()) == Failed("empty", "finish_reason stop")
