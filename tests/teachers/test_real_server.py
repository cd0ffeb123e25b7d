"""Against llama.cpp's own server on loopback, with the embedded model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from scripts import ask

from hornbook.core.errors import TeacherError
from hornbook.core.machine import Budget, EndpointPlace
from hornbook.core.progress import Silent
from hornbook.teachers import (
    Account,
    Answer,
    Ask,
    Errand,
    Failed,
    answer_all,
    open_teacher,
)
from hornbook.teachers import (
    open as embedded,
)
from hornbook.teachers.local import UBATCH_TOKENS, llama_server

pytestmark = pytest.mark.slow
KEY = "loopback"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    try:
        path = embedded.embedded_file(embedded.model_folder())
    except TeacherError as error:
        pytest.skip(str(error))
    server = llama_server(path, 4, KEY, UBATCH_TOKENS, context_tokens=512)
    yield f"{server.listening_address}/v1"
    del server


def say(url: str, folder: Path, *asks: Ask, key: str = KEY, **settings: Any) -> list[Answer | Failed]:
    errand = Errand("step", (Account("run", "run", Budget(asks=1000)),), SecretStr(key))
    place = EndpointPlace(url=url, key_variable="KEY", concurrency=4, **settings)
    with open_teacher(embedded.MODEL, place, folder, Silent(), errand=errand) as teacher:
        return list(answer_all(teacher, asks))


def test_it_answers_and_the_second_time_the_cache_does(url: str, tmp_path: Path) -> None:
    asks = [ask(f"Say the number {n}.", max_answer_tokens=12, seed=n, temperature=0.8) for n in range(12)]
    first = say(url, tmp_path, *asks)
    assert all(isinstance(a, Answer) and not a.cached and 0 < a.tokens_out <= 12 for a in first)
    again = say("http://127.0.0.1:9/v1", tmp_path, *asks)
    assert all(isinstance(a, Answer) and a.cached for a in again)
    assert [a.text for a in again] == [a.text for a in first]  # type: ignore[union-attr]


def test_choices_come_with_log_probabilities(url: str, tmp_path: Path) -> None:
    [said] = say(url, tmp_path, ask("Is water wet? Answer Yes or No.", choices=("Yes", "No")))
    assert isinstance(said, Answer)
    assert set(said.logprobs) == {"Yes", "No"}
    assert all(-15 < value < 0 for value in said.logprobs.values())
    assert said.tokens_out == 1


def test_a_schema_is_followed(url: str, tmp_path: Path) -> None:
    properties = {"age": {"type": "integer", "minimum": 0, "maximum": 99}}
    schema = {"type": "object", "properties": properties, "required": ["age"], "additionalProperties": False}
    question = ask("Anna is 7. Her age?", schema=orjson.dumps(schema).decode(), max_answer_tokens=40)
    [said] = say(url, tmp_path, question)
    assert isinstance(said, Answer)
    assert isinstance(orjson.loads(said.text)["age"], int)


def test_what_the_server_refuses_is_named(url: str, tmp_path: Path) -> None:
    [said] = say(url, tmp_path, ask("word " * 3000))
    assert isinstance(said, Failed)
    assert said.reason == "too_long"
    with pytest.raises(TeacherError, match="does not accept the key in KEY"):
        say(url, tmp_path, ask("hello"), key="wrong")
    with pytest.raises(TeacherError, match="often in /v1"):
        say(url.replace("/v1", "/v7"), tmp_path, ask("hello"))
