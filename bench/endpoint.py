"""What hornbook adds to a server's own time, and how fast answers come back from the cache.

    python bench/endpoint.py [--asks 320] [--concurrency 32] [--rounds 4] [--cached 1000000]

The server is llama.cpp's own with the embedded model, in a process of its own on loopback. Every round sends the
same asks twice, once by a bare HTTP client that only posts and reads, once through hornbook (limits, budget, cache,
answer on disk before it is used); which goes first changes from round to round. All share the processors with the
server.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2
import orjson
from pydantic import SecretStr

from hornbook.core.machine import Budget, CannedPlace, EndpointPlace
from hornbook.core.progress import Silent
from hornbook.teachers import (
    Account,
    Answer,
    Answers,
    Ask,
    Errand,
    answer_all,
    open_teacher,
)
from hornbook.teachers import (
    open as embedded,
)
from hornbook.teachers.chat import chat_body
from hornbook.teachers.local import llama_server
from hornbook.teachers.open import ANSWERS, revision

KEY = "loopback"
IMPORTED_AT_ONCE = 100_000
SUBJECTS = (
    "lists",
    "sets",
    "loops",
    "text",
    "dates",
    "files",
    "graphs",
    "queues",
    "prime numbers",
    "recursion",
)


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--asks", type=int, default=320)
    arguments.add_argument("--concurrency", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=4)
    arguments.add_argument("--answer-tokens", type=int, default=16)
    arguments.add_argument("--cached", type=int, default=1_000_000)
    chosen = arguments.parse_args()
    if chosen.rounds:
        with tempfile.TemporaryDirectory() as folder:
            over_the_server(chosen, Path(folder))
    if chosen.cached:
        with tempfile.TemporaryDirectory() as folder:
            out_of_the_cache(chosen.cached, Path(folder))


def asks_of_round(number: int, chosen: argparse.Namespace) -> list[Ask]:
    """Different asks in every round; the answers are cut at the same length, so that both ways do the same work."""
    return [
        Ask(
            (
                (
                    "user",
                    f"Part {number}.{n}: tell me about {SUBJECTS[n % len(SUBJECTS)]} in Python, at length.",
                ),
            ),
            max_answer_tokens=chosen.answer_tokens,
        )
        for n in range(chosen.asks)
    ]


def over_the_server(chosen: argparse.Namespace, folder: Path) -> None:
    """Seconds of each way and round, by the clock and of processors, and what one way takes over the other.

    Where others use the processors too the clock says little; processor time says what a client costs beside what the
    server needs.
    """
    with server(chosen.concurrency) as (url, pid):
        place = EndpointPlace(url=url, key_variable="KEY", concurrency=chosen.concurrency, call_seconds=600)
        few = asks_of_round(-1, chosen)[: chosen.concurrency // 4]
        bare(url, few, chosen.concurrency)
        ours(place, few, folder)
        ways: dict[str, list[Used]] = {"bare": [], "hornbook": []}
        for number in range(chosen.rounds):
            asks = asks_of_round(number, chosen)
            for way in sorted(ways, reverse=bool(number % 2)):
                before = used(pid)
                tokens = bare(url, asks, chosen.concurrency) if way == "bare" else ours(place, asks, folder)
                ways[way].append(used(pid) - before)
                print(f"round {number} {way:>8}: {ways[way][-1]}; {tokens} tokens", flush=True)
    theirs, mine = sum(ways["bare"], Used()), sum(ways["hornbook"], Used())
    print(f"{chosen.asks} asks at {chosen.concurrency} in flight, {chosen.rounds} rounds:")
    print(f"  by the clock {mine.clock / theirs.clock - 1:+.1%} over the bare client")
    print(
        f"  in processor time {(mine.client - theirs.client) / theirs.server:+.1%} of what the server needs"
    )


@dataclass(frozen=True)
class Used:
    """Seconds by the clock, and of processors by this process and by the server."""

    clock: float = 0.0
    client: float = 0.0
    server: float = 0.0

    def __add__(self, other: Used) -> Used:
        return Used(self.clock + other.clock, self.client + other.client, self.server + other.server)

    def __sub__(self, other: Used) -> Used:
        return Used(self.clock - other.clock, self.client - other.client, self.server - other.server)

    def __str__(self) -> str:
        return (
            f"{self.clock:.2f} s; of processors {self.client:.2f} s here, {self.server:.2f} s at the server"
        )


def used(pid: int) -> Used:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return Used(time.perf_counter(), time.process_time(), sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))


def bare(url: str, asks: Sequence[Ask], concurrency: int) -> int:
    """The asks by a client that does nothing else; returns the tokens of the answers."""

    async def everything() -> int:
        limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        headers = {"Authorization": f"Bearer {KEY}"}
        numbers = iter(asks)
        tokens = 0

        async def keep_asking(client: httpx2.AsyncClient) -> None:
            nonlocal tokens
            for ask in numbers:
                body = chat_body(ask, embedded.MODEL, "json_schema", frozenset())
                reply = await client.post(f"{url}/chat/completions", json=body)
                tokens += reply.json()["usage"]["completion_tokens"]

        async with httpx2.AsyncClient(limits=limits, headers=headers, timeout=600) as client:
            await asyncio.gather(*(keep_asking(client) for _ in range(concurrency)))
        return tokens

    return asyncio.run(everything())


def ours(place: EndpointPlace, asks: Sequence[Ask], folder: Path) -> int:
    """The asks as a stage asks them; returns the tokens of the answers."""
    errand = Errand("bench", (Account("bench", "run", Budget(asks=10**9)),), SecretStr(KEY))
    with open_teacher(embedded.MODEL, place, folder, Silent(), errand=errand) as teacher:
        answers = list(answer_all(teacher, asks))
    assert all(isinstance(answer, Answer) and not answer.cached for answer in answers)
    return sum(answer.tokens_out for answer in answers if isinstance(answer, Answer))


@contextmanager
def server(parallel: int) -> Iterator[tuple[str, int]]:
    """The address of a server in a process of its own, and the process."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, parallel), daemon=True)
    process.start()
    try:
        yield f"{here.recv()}/v1", process.pid or 0
    finally:
        process.kill()
        process.join()


def serve(pipe: Connection, parallel: int) -> None:
    path = embedded.embedded_file(embedded.model_folder())
    running = llama_server(path, parallel, KEY, ubatch_tokens=512, context_tokens=256)
    pipe.send(running.listening_address)
    while True:
        time.sleep(3600)


def out_of_the_cache(count: int, folder: Path) -> None:
    """Import answers of about 1,000 characters, then read them all again as a stage would."""
    (folder / "script.jsonl").touch()
    place = CannedPlace(path=str(folder / "script.jsonl"), concurrency=32)
    with timed("imported", count):
        take_in(count, folder, revision("m", place))
    with (
        timed("read again", count),
        open_teacher("m", place, folder, Silent(), errand=Errand("bench")) as teacher,
    ):
        for answer in answer_all(teacher, Many(range(count))):
            assert isinstance(answer, Answer)
            assert answer.cached
    print(f"the file holds {(folder / ANSWERS).stat().st_size / 1e6:,.0f} MB")


def take_in(count: int, folder: Path, answered_as: str) -> None:
    text = "A page says what a list is, shows it in code, and asks the reader to try. " * 14
    head = {
        "model": "m",
        "revision": answered_as,
        "answer": {"text": text, "tokens_in": 90, "tokens_out": 230},
    }
    answers, file = Answers(folder / ANSWERS), folder / "exported.jsonl"
    for first in range(0, count, IMPORTED_AT_ONCE):
        asks = Many(range(first, min(first + IMPORTED_AT_ONCE, count)))
        file.write_bytes(b"".join(orjson.dumps({**head, "ask": ask}) + b"\n" for ask in asks))
        answers.take_in(file)
    answers.close()


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    begun, busy = time.perf_counter(), time.process_time()
    yield
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    print(f"{count:,} answers {what} in {seconds:.1f} s ({busy:.1f} s of processor time)", flush=True)


class Many(Sequence[Ask]):
    """Asks that are made when they are looked at: a million of them need no memory."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, at: Any) -> Any:
        text = f"Write page {self.numbers[at]} about lists. " * 8
        return Ask((("system", "You write textbooks."), ("user", text)))


if __name__ == "__main__":
    main()
