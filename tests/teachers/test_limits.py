"""What servers say about their limits, and keeping them before they have to refuse."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from scripts import ask
from server import Reply, Server, completion, serving

from hornbook.core.progress import Silent
from hornbook.teachers import Answer, answer_all, open_teacher
from hornbook.teachers.limits import Limits, hinted_seconds, span_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("1.5s", 1.5),
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("2d", 172800.0),
        ("7", 7.0),
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("3 apples", None),
        ("-4", None),
        ("nan", None),
    ],
)
def test_spans_of_time_as_servers_write_them(text: str, seconds: float | None) -> None:
    assert span_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "3"}, "", 3.0),
        ({"retry-after": "3", "retry-after-ms": "250"}, "", 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, "", 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, "", 0.0),
        ({"retry-after": "next week"}, "", None),
        ({"retry-after": "999999999"}, "", 86400.0),
        ({}, "Rate limit reached for m. Please try again in 1.2s. Visit us.", 1.2),
        ({}, "Please retry after 6m0s", 360.0),
        ({}, "Try again in 20 seconds.", 20.0),
        ({}, "retry in 1 minute 30 seconds", 90.0),
        ({}, "Slow down", None),
    ],
)
def test_hints_of_refusals(headers: dict[str, str], message: str, seconds: float | None) -> None:
    assert hinted_seconds(headers, message, now_epoch=60.0) == pytest.approx(seconds)


def test_what_the_server_grants_is_kept_and_asks_go_in_their_order() -> None:
    """Ten a window are granted; with what is in flight counted, none is sent that would be refused."""

    async def everything() -> list[tuple[int, float]]:
        limits = Limits()
        sent: list[tuple[int, float]] = []
        left = 10

        async def one(number: int) -> None:
            nonlocal left
            await limits.admit(1)
            sent.append((number, time.monotonic()))
            left -= 1
            await asyncio.sleep(0.005)
            headers = {"limit": "10", "remaining": str(max(left, 0)), "reset": "200ms"}
            limits.settle(1, {f"x-ratelimit-{k}-requests": v for k, v in headers.items()})

        await one(0)
        await asyncio.gather(*(one(number) for number in range(1, 16)))
        return sent

    sent = asyncio.run(everything())
    assert [number for number, _ in sent] == list(range(16))
    begun = sent[0][1]
    assert 1 <= sum(moment - begun < 0.19 for _, moment in sent) <= 10


def test_a_large_ask_may_try_when_nothing_else_is_under_way() -> None:
    async def everything() -> None:
        limits = Limits()
        await limits.admit(1)
        headers = {"limit": "100", "remaining": "100", "reset": "1ms"}
        limits.settle(1, {f"x-ratelimit-{k}-tokens": v for k, v in headers.items()})
        await asyncio.wait_for(limits.admit(5000), timeout=2)

    asyncio.run(everything())


class Granting(Server):
    """Grants so many requests a window, says so in headers, and refuses what is above."""

    granted, window_seconds = 12, 0.4

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.used, self.refused = time.monotonic(), 0, 0

    def _answer(self, once: str, body: dict[str, Any]) -> Reply:
        now = time.monotonic()
        if now - self.begun >= self.window_seconds:
            self.begun, self.used = now, 0
        self.used += 1
        reset = max(0.0, self.begun + self.window_seconds - now)
        if self.used > self.granted:
            self.refused += 1
            return Reply.error(429, "too many", retry_after_ms=f"{reset * 1000 + 1:.0f}")
        told = {
            "limit": self.granted,
            "remaining": self.granted - self.used,
            "reset": f"{reset * 1000 + 1:.0f}ms",
        }
        reply = Reply.json(completion(body["messages"][-1]["content"].split()[-1]))
        reply.headers |= {f"x-ratelimit-{name}-requests": str(value) for name, value in told.items()}
        return reply


def test_a_server_with_headers_is_used_to_its_limit_and_hardly_ever_refuses(tmp_path: Path) -> None:
    asks = [ask(f"word {n}") for n in range(60)]
    with serving(Granting()) as server:
        begun = time.monotonic()
        with open_teacher("small-model", server.place(concurrency=8), tmp_path, Silent()) as teacher:
            said = list(answer_all(teacher, asks))
        seconds = time.monotonic() - begun
    assert all(isinstance(a, Answer) for a in said)
    assert server.refused <= 8
    assert seconds < 3 * 60 / Granting.granted * Granting.window_seconds
