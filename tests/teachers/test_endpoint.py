"""Against a server on loopback that misbehaves: every answer arrives once, and none is paid for twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from scripts import ask
from server import Server, completion, serving

from hornbook.core.errors import TeacherError
from hornbook.core.machine import EndpointPlace
from hornbook.core.progress import Silent
from hornbook.teachers import Answer, Errand, Failed, answer_all, open_teacher

ONE_OF_THREE = (
    "429_hint",
    "429_hint_ms",
    "429_words",
    "429_bare",
    "500",
    "503",
    "cut_first",
    "cut_half",
    "slow_bytes",
    "malformed",
    "empty_object",
    "duplicate_id",
    "wrong_model",
)


def every_third(word: str, attempt: int) -> str:
    """A third of the asks meets each fault in turn, half of these twice."""
    number = int(word.rsplit(maxsplit=1)[-1])
    fault = ONE_OF_THREE[number // 3 % len(ONE_OF_THREE)]
    return fault if number % 3 == 1 and attempt <= 1 + number % 2 else ""


def words(count: int) -> list[Any]:
    return [ask(f"word {number}") for number in range(count)]


def answers(server: Server, asks: Sequence[Any], folder: Path, **settings: Any) -> list[Answer | Failed]:
    with open_teacher("small-model", server.place(**settings), folder, Silent()) as teacher:
        return list(answer_all(teacher, asks))


def texts(said: Sequence[Answer | Failed]) -> list[str]:
    return [a.text if isinstance(a, Answer) else a.reason for a in said]


def ask_all(place: EndpointPlace, folder: str, count: int) -> None:
    """All the words, through the cache in `folder`; run in a process that may be killed."""
    with open_teacher("small-model", place, Path(folder), Silent()) as teacher:
        assert texts(list(answer_all(teacher, words(count)))) == [str(number) for number in range(count)]


def test_faults_and_three_kills_and_every_answer_is_there_and_paid_once(tmp_path: Path) -> None:
    count = 1000
    with serving(Server(every_third)) as server:
        place = server.place(tries=8)
        context = multiprocessing.get_context("spawn")
        for kill in (1, 2, 3, None):
            process = context.Process(target=ask_all, args=(place, str(tmp_path), count))
            process.start()
            while kill and process.is_alive() and len(server.paid) < count * kill // 4:
                time.sleep(0.002)
            if kill:
                assert process.is_alive()
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
            process.join()
        assert process.exitcode == 0
        assert Counter(server.paid) == {f"word {number}": 1 for number in range(count)}
        assert set(server.faults) == {"", *ONE_OF_THREE}
        attempts = sum(server.attempts.values())
        assert texts(answers(server, words(count), tmp_path)) == [str(number) for number in range(count)]
        assert sum(server.attempts.values()) == attempts


def test_a_server_that_knows_no_idempotency_is_paid_twice_only_for_what_was_in_flight(tmp_path: Path) -> None:
    with serving(Server(idempotent=False, seconds=0.05)) as server:
        context = multiprocessing.get_context("spawn")
        place = server.place(concurrency=8)
        process = context.Process(target=ask_all, args=(place, str(tmp_path), 120))
        process.start()
        while len(server.paid) < 60:
            time.sleep(0.002)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        ask_all(place, str(tmp_path), 120)
        assert set(server.paid) == {f"word {number}" for number in range(120)}
        assert len(server.paid) <= 120 + place.concurrency


@pytest.mark.parametrize("fault", ["cut_first", "cut_half", "slow_bytes"])
def test_a_reply_that_was_lost_on_the_way_is_fetched_and_not_paid_for_again(
    tmp_path: Path, fault: str
) -> None:
    with serving(Server(lambda word, attempt: fault if attempt == 1 else "")) as server:
        assert texts(answers(server, words(3), tmp_path, call_seconds=0.3)) == ["0", "1", "2"]
        assert sorted(server.paid) == ["word 0", "word 1", "word 2"]
        assert sum(server.attempts.values()) == 6


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("500", "server_error"),
        ("cut_half", "connection"),
        ("slow_bytes", "timeout"),
        ("malformed", "malformed"),
        ("empty_object", "malformed"),
        ("400_context", "too_long"),
        ("400_filter", "refused"),
    ],
)
def test_what_never_gets_better_is_a_failure_with_its_reason(tmp_path: Path, fault: str, reason: str) -> None:
    def only_word_1(word: str, attempt: int) -> str:
        return fault if word == "word 1" else ""

    with serving(Server(only_word_1)) as server:
        said = answers(server, words(3), tmp_path, tries=3, call_seconds=0.3)
        assert texts(said) == ["0", reason, "2"]
        assert isinstance(said[1], Failed)
        assert said[1].tries == (1 if fault.startswith("400") else 3)
        assert said[1].detail
        assert "\n" not in said[1].detail


def test_being_rate_limited_for_ever_ends_at_the_deadline_of_the_ask(tmp_path: Path) -> None:
    with serving(Server(lambda word, attempt: "429_bare")) as server:
        [said] = answers(server, words(1), tmp_path, ask_seconds=0.5, tries=2)
    assert isinstance(said, Failed)
    assert said.reason == "deadline"
    assert "rate_limited" in said.detail
    assert 3 <= said.tries < 30


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("429_quota", "has no quota left for this key"),
        ("403", "does not let this key use small-model"),
        ("404_model", "knows no model small-model; mend the recipe's teacher, or served_as"),
        ("html", "answers with a web page; url should end just before /chat/completions"),
        ("wrong_model", "is another model: asked small-model, another-model answered; .* set served_as"),
    ],
)
def test_what_no_ask_can_survive_is_one_line_that_says_what_to_do(
    tmp_path: Path, fault: str, said: str
) -> None:
    with serving(Server(lambda word, attempt: fault)) as server:
        with pytest.raises(TeacherError, match=said) as raised:
            answers(server, words(20), tmp_path, concurrency=2)
        assert "\n" not in str(raised.value)
        assert len(server.spoiled) <= 4


def test_a_wrong_address_says_where_the_url_should_end(tmp_path: Path) -> None:
    with serving(Server()) as server:
        place = EndpointPlace(url=server.url.replace("/v1", "/v2"))
        with (
            open_teacher("m", place, tmp_path, Silent()) as teacher,
            pytest.raises(TeacherError, match="often in /v1"),
        ):
            list(answer_all(teacher, words(1)))


def test_a_server_that_is_not_there_says_so_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        begun = time.monotonic()
        with (
            open_teacher("m", EndpointPlace(url=url), tmp_path, Silent()) as teacher,
            pytest.raises(TeacherError, match=r"cannot be reached.*mend url in the machine file"),
        ):
            list(answer_all(teacher, words(3)))
        assert time.monotonic() - begun < 5


def test_a_key_is_sent_and_never_shown(tmp_path: Path) -> None:
    secret = "sk-very-secret-1234"
    with serving(Server(key=secret)) as server:
        place = server.place(key_variable="THE_KEY")
        errand = Errand(key=SecretStr(secret))
        assert secret not in repr(errand)
        with open_teacher("small-model", place, tmp_path, Silent(), errand=errand) as teacher:
            assert texts(list(answer_all(teacher, words(1)))) == ["0"]
        wrong = Errand(key=SecretStr("sk-wrong-5678"))
        with (
            open_teacher("small-model", place, tmp_path / "b", Silent(), errand=wrong) as teacher,
            pytest.raises(TeacherError, match="does not accept the key in THE_KEY") as raised,
        ):
            list(answer_all(teacher, words(1)))
        assert "sk-wrong" not in str(raised.value)
        with (
            open_teacher("small-model", server.place(), tmp_path / "c", Silent()) as teacher,
            pytest.raises(TeacherError, match=r"asks without a key; .*key_variable"),
        ):
            list(answer_all(teacher, words(1)))
    files = (path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(secret.encode() in data for data in files)


def test_a_missing_key_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    place = EndpointPlace(url="http://127.0.0.1:9/v1", key_variable="NO_SUCH_KEY")
    with (
        pytest.raises(TeacherError, match="environment variable NO_SUCH_KEY is not set"),
        open_teacher("m", place, tmp_path, Silent()),
    ):
        pass


def test_the_server_is_kept_busy_but_not_busier_than_allowed(tmp_path: Path) -> None:
    with serving(Server(seconds=0.3)) as server:
        answers(server, words(48), tmp_path, concurrency=16)
        assert server.most_in_flight == 16


def test_a_stated_pace_is_kept(tmp_path: Path) -> None:
    with serving(Server()) as server:
        begun = time.monotonic()
        answers(server, words(11), tmp_path, requests_per_minute=600)
        assert time.monotonic() - begun > 0.95


class Picky(Server):
    """Refuses settings one after the other, as servers do, and answers once they are gone."""

    def _answer(self, once: str, body: dict[str, Any]) -> Any:
        from server import Reply

        if body.get("response_format", {}).get("type") == "json_schema":
            return Reply.error(400, "response_format json_schema is not supported")
        if "max_tokens" in body:
            return Reply.error(
                400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            )
        if "seed" in body:
            return Reply.error(400, "seed is not supported")
        if body.get("temperature", 1) != 1:
            return Reply.error(400, "Unsupported value: 'temperature' does not support 0.0")
        return Reply.json(completion('{"n": 1}'))


def test_a_setting_that_the_server_refuses_is_put_in_another_way(tmp_path: Path) -> None:
    said: list[str] = []

    class Says(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    with serving(Picky()) as server:
        asks = [ask(f"word {n}", schema='{"type": "object"}', max_answer_tokens=9) for n in range(4)]
        with open_teacher("small-model", server.place(concurrency=2), tmp_path, Says()) as teacher:
            assert texts(list(answer_all(teacher, asks))) == ['{"n": 1}'] * 4
        last = server.bodies[-1]
    assert last["response_format"] == {"type": "json_object"}
    assert '{"type": "object"}' in last["messages"][-1]["content"]
    assert last["max_completion_tokens"] == 9
    assert not {"max_tokens", "seed", "temperature"} & set(last)
    assert len(said) == 4
    assert all("takes no" in line for line in said)


class Judging(Server):
    """Gives log-probabilities where they are asked for, unless the word is "mute"."""

    def _answer(self, once: str, body: dict[str, Any]) -> Any:
        from server import Reply

        reply = completion("Yes")
        if body.get("logprobs") and "mute" not in body["messages"][-1]["content"]:
            top = [{"token": " Yes", "logprob": -0.5}, {"token": "No", "logprob": -1.5}]
            reply["choices"][0]["logprobs"] = {"content": [{"token": "Yes", "top_logprobs": top}]}
        return Reply.json(reply)


def test_choices_come_with_their_log_probabilities(tmp_path: Path) -> None:
    with serving(Judging()) as server:
        asks = [ask("good?", choices=("Yes", "No")), ask("mute", choices=("Yes", "No"))]
        said = answers(server, asks, tmp_path)
        assert server.bodies[0]["max_tokens"] == 1
    assert isinstance(said[0], Answer)
    assert said[0].logprobs == pytest.approx({"Yes": -0.5, "No": -1.5})
    assert isinstance(said[1], Failed)
    assert said[1].reason == "no_logprobs"


@pytest.fixture
def half_minute() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < 30


@pytest.mark.usefixtures("half_minute")
def test_when_asking_is_broken_off_answers_under_way_are_kept(tmp_path: Path) -> None:
    with serving(Server(seconds=0.3)) as server:
        with open_teacher("small-model", server.place(concurrency=4), tmp_path, Silent()) as teacher:
            asking = answer_all(teacher, words(40))
            next(asking)
            while server.most_in_flight < 4 or len(server.paid) < 4:
                time.sleep(0.01)
            asking.close()
        paid = list(server.paid)
        assert len(paid) <= 12
        texts(answers(server, [ask(word) for word in paid], tmp_path))
        assert server.paid == paid
