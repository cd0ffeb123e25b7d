"""The batch interface of a server on loopback: what is wrong with its outputs, and being killed at any point."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from scripts import ask
from server import Server, output_line, serving

from hornbook.core.errors import BudgetError, StoreError, TeacherError
from hornbook.core.machine import Budget, EndpointPlace, Prices
from hornbook.core.progress import Silent
from hornbook.teachers import Account, Answer, Errand, Failed, answer_all, open_teacher
from hornbook.teachers.batch import BatchEndpoint
from hornbook.teachers.chat import Server as Place

COUNT = 30


def batch_place(server: Server, **settings: Any) -> EndpointPlace:
    return server.place(**{"batch": True, "poll_seconds": 0.05, "gather_seconds": 1.0, **settings})


def words(count: int) -> list[Any]:
    return [ask(f"word {number}") for number in range(count)]


def ask_all(place: EndpointPlace, folder: str, errand: Errand | None = None) -> list[Answer | Failed]:
    with open_teacher("small-model", place, Path(folder), Silent(), errand=errand) as teacher:
        return list(answer_all(teacher, words(COUNT)))


def texts(said: list[Answer | Failed]) -> list[str]:
    return [a.text if isinstance(a, Answer) else a.reason for a in said]


ALL = [str(number) for number in range(COUNT)]


def test_asks_are_gathered_into_jobs_and_answered_in_order(tmp_path: Path) -> None:
    with serving(Server()) as server:
        assert texts(ask_all(batch_place(server, batch_asks=12), str(tmp_path))) == ALL
        sent = [data for name, data in server.files.values() if name != "output.jsonl"]
        sizes = [len(data.splitlines()) for data in sent]
        assert sum(sizes) == COUNT
        assert max(sizes) == 12
        jobs = len(server.batches)
        assert texts(ask_all(batch_place(server), str(tmp_path))) == ALL
        assert len(server.batches) == jobs


UPLOADED: Callable[[Server], bool] = lambda server: len(server.files) == 1  # noqa: E731
CREATED: Callable[[Server], bool] = lambda server: len(server.batches) == 1  # noqa: E731
OVER: Callable[[Server], bool] = lambda server: len(server.files) == 2  # noqa: E731


@pytest.mark.parametrize(
    ("held", "moment"),
    [
        ({"upload": 60.0}, UPLOADED),
        ({"create": 60.0}, CREATED),
        ({}, OVER),
    ],
    ids=["uploaded", "created", "over"],
)
def test_killed_while_nobody_knows_whether_the_server_got_it_nothing_is_sent_twice(
    tmp_path: Path, held: dict[str, float], moment: Callable[[Server], bool]
) -> None:
    with serving(Server()) as server:
        server.held, server.looks_needed = held, 3
        process = multiprocessing.get_context("spawn").Process(
            target=ask_all, args=(batch_place(server, call_seconds=60.0), str(tmp_path))
        )
        process.start()
        while not moment(server) and process.is_alive():
            time.sleep(0.002)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        server.held = {}
        assert texts(ask_all(batch_place(server), str(tmp_path))) == ALL
        assert Counter(server.paid) == {f"word {number}": 1 for number in range(COUNT)}
        assert len(server.batches) == 1
        assert len(server.files) == 2


def test_an_output_with_everything_wrong_gives_each_answer_once_or_says_why_not(tmp_path: Path) -> None:
    def wrong(lines: list[dict[str, Any]]) -> tuple[str, bytes]:
        good = [output_line(line) for line in lines]
        unknown = output_line({**lines[0], "custom_id": "nobody"})
        strange = output_line({**lines[0], "custom_id": ["a list"]})
        refused = {"status_code": 400, "body": {"error": {"message": "no"}}}
        good[3] = output_line(lines[3], response=refused)
        expired = {"response": None, "error": {"code": "batch_expired", "message": "too late"}}
        good[4] = output_line(lines[4], **expired)
        return "completed", b"\n".join(
            [*good[:2], *good[3:], good[5], b'{"custom_id": ', strange, unknown, b""]
        )

    with serving(Server()) as server:
        server.end = wrong
        place = Place(batch_place(server), "small-model", SecretStr(""))
        teacher = BatchEndpoint("small-model", place, tmp_path)
        said = list(answer_all(teacher, words(COUNT)))
        teacher.close()
        expected = [*ALL]
        expected[2:5] = ["missing_answer", "bad_request", "batch_expired"]
        assert texts(said) == expected
        assert teacher.counts == {"malformed_line": 1, "unknown_id": 2, "duplicate_id": 1, "missing_id": 1}


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_a_job_that_ends_badly_keeps_its_answers_and_the_rest_is_sent_again(
    tmp_path: Path, status: str
) -> None:
    with serving(Server()) as server:
        server.end = lambda lines: (status, b"\n".join(output_line(line) for line in lines[:10]))
        said = texts(ask_all(batch_place(server), str(tmp_path)))
        assert said == [*ALL[:10], *[f"batch_{status}"] * 20]
        server.end = lambda lines: ("completed", b"\n".join(map(output_line, lines)))
        assert texts(ask_all(batch_place(server), str(tmp_path))) == ALL
        sizes = [batch["request_counts"]["total"] for batch in server.batches.values()]
        assert sizes == [30, 20]


def test_a_budget_is_kept_at_the_worst_case_and_what_is_saved_is_spent_on_the_rest(tmp_path: Path) -> None:
    prices = Prices(tokens_out=2_000_000.0)  # two for a token, one in a batch
    with serving(Server()) as server:
        place = batch_place(server, prices=prices)
        enough = Errand(accounts=(Account("run", "run", Budget(money=COUNT * 5 + 256.0)),))
        assert texts(ask_all(place, str(tmp_path), enough)) == ALL  # 5 tokens an answer, 256 feared
        assert len(server.batches) > 3
        little = Errand(accounts=(Account("run", "run", Budget(money=COUNT * 5 + 255.0)),))
        with (
            pytest.raises(BudgetError, match=r"raise \[budgets\.run\]"),
            open_teacher("small-model", place, tmp_path, Silent(), errand=little) as teacher,
        ):
            list(answer_all(teacher, [ask("word 99")]))
        assert "word 99" not in server.paid


def test_two_runs_cannot_use_the_same_journal(tmp_path: Path) -> None:
    place = EndpointPlace(url="http://127.0.0.1:9/v1", batch=True)
    with (
        open_teacher("m", place, tmp_path, Silent()),
        pytest.raises(StoreError, match="in use by another run"),
        open_teacher("m", place, tmp_path, Silent()),
    ):
        pass


def test_a_server_without_batches_says_so(tmp_path: Path) -> None:
    with serving(Server()) as server:
        place = batch_place(server).model_copy(update={"url": server.url.replace("v1", "v2")})
        with pytest.raises(TeacherError, match="has no batch interface"):
            ask_all(place, str(tmp_path))


def test_the_lines_of_a_job_are_what_the_interface_wants(tmp_path: Path) -> None:
    with serving(Server()) as server:
        ask_all(batch_place(server, without=("seed",)), str(tmp_path))
        name, data = server.files["file-0"]
        line = orjson.loads(data.splitlines()[0])
        [batch] = server.batches.values()
    assert name.endswith(".jsonl")
    assert set(line) == {"custom_id", "method", "url", "body"}
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    assert line["body"]["model"] == "small-model"
    assert "seed" not in line["body"]
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
