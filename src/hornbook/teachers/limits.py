"""A server's limits on requests and tokens: learnt from its headers and its hints, kept before it has to refuse."""

from __future__ import annotations

import asyncio
import email.utils
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SAID = re.compile(r"(?:try again|retry)\D{0,20}?((?:\d+(?:\.\d+)?(?:ms|s|m|h)\s?)+)(?![a-z])", re.IGNORECASE)
WORDS = re.compile(r"(\d)\s*(mil|sec|min|hour)[a-z]+", re.IGNORECASE)
SHORT = {"mil": "ms", "sec": "s", "min": "m", "hour": "h"}
MAX_HINT_SECONDS = 86400.0
LOOK_AGAIN_SECONDS = 1.0


def span_seconds(text: str) -> float | None:
    """Seconds in `6m0s`, `20ms`, `1.5s` or a bare number of seconds; None where it is none of them."""
    text = text.strip().lower()
    try:
        seconds = float(text)
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    except ValueError:
        parts = SPAN.findall(text)
    whole = "".join(number + unit for number, unit in parts) == text.replace(" ", "")
    return sum(float(number) * UNITS[unit] for number, unit in parts) if parts and whole else None


def hinted_seconds(headers: Mapping[str, str], message: str = "", now_epoch: float = 0.0) -> float | None:
    """How long a refusal asks to wait: retry-after-ms, Retry-After (seconds or a date), or its own words."""
    milliseconds = span_seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, MAX_HINT_SECONDS)
    after = headers.get("retry-after", "")
    seconds = span_seconds(after)
    if seconds is None and after:
        seconds = _until(after, now_epoch or time.time())
    message = WORDS.sub(lambda found: found[1] + SHORT[found[2].lower()], message)
    if seconds is None and (said := SAID.search(message)):
        seconds = span_seconds(said[1])
    return None if seconds is None else min(seconds, MAX_HINT_SECONDS)


def _until(date: str, now_epoch: float) -> float | None:
    try:
        return max(0.0, email.utils.parsedate_to_datetime(date).timestamp() - now_epoch)
    except (TypeError, ValueError):
        return None


@dataclass
class Window:
    """What the server still grants of one thing until `reset_at`; then it grants the whole limit again.

    Where a server refills steadily its reset is the time until the limit is whole: waiting for that loses
    nothing on average, and needs no guess about which of the two it does.
    """

    limit: float = math.inf
    left: float = math.inf
    reset_at: float = 0.0

    def wait_seconds(self, need: float, in_flight: float, now: float) -> float:
        """0 when `need` more may be sent; with nothing in flight an ask larger than the limit may try."""
        if now >= self.reset_at:
            self.left = self.limit - in_flight
        if self.left >= min(need, self.limit) or (not in_flight and now >= self.reset_at):
            return 0.0
        return max(self.reset_at - now, 0.01)

    def learn(self, name: str, headers: Mapping[str, str], in_flight: float, now: float) -> None:
        """Take over limit, remainder and reset; the server may not yet have counted what is in flight."""
        try:
            limit = float(headers[f"x-ratelimit-limit-{name}"])
            left = float(headers[f"x-ratelimit-remaining-{name}"])
        except (KeyError, ValueError):
            return
        reset = span_seconds(headers.get(f"x-ratelimit-reset-{name}", ""))
        if limit > 0:
            self.limit, self.left = limit, left - in_flight
            self.reset_at = now + (60.0 if reset is None else reset)


@dataclass
class Pace:
    """A stated limit a minute, kept by spreading evenly; 0 is no limit."""

    per_minute: float
    next_at: float = 0.0

    def wait_seconds(self, now: float) -> float:
        return max(0.0, self.next_at - now) if self.per_minute else 0.0

    def take(self, need: float, now: float) -> None:
        if self.per_minute:
            self.next_at = max(self.next_at, now) + need * 60 / self.per_minute


@dataclass
class Limits:
    """Admits asks in their order, as fast as what is stated and what the server said allow.

    `requests_per_minute` and `tokens_per_minute` of 0 leave it to the server's headers. Use in one event loop.
    """

    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    clock: Callable[[], float] = time.monotonic
    in_flight_requests: int = 0
    in_flight_tokens: float = 0.0
    paused_until: float = 0.0
    requests: Window = field(default_factory=Window)
    tokens: Window = field(default_factory=Window)

    def __post_init__(self) -> None:
        self._paces = (Pace(self.requests_per_minute), Pace(self.tokens_per_minute))
        self._turn = asyncio.Lock()

    async def admit(self, tokens: float) -> None:
        """Return when an ask of so many tokens may be sent; `settle` must follow."""
        async with self._turn:
            while (wait := self._wait_seconds(tokens)) > 0:
                await asyncio.sleep(min(wait, LOOK_AGAIN_SECONDS))
            now = self.clock()
            for pace, need in zip(self._paces, (1.0, tokens), strict=True):
                pace.take(need, now)
            self.requests.left -= 1
            self.tokens.left -= tokens
            self.in_flight_requests += 1
            self.in_flight_tokens += tokens

    def settle(self, tokens: float, headers: Mapping[str, str]) -> None:
        """An admitted ask is over; learn from what the server said about its limits."""
        self.in_flight_requests -= 1
        self.in_flight_tokens -= tokens
        now = self.clock()
        self.requests.learn("requests", headers, self.in_flight_requests, now)
        self.tokens.learn("tokens", headers, self.in_flight_tokens, now)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: the server said so."""
        self.paused_until = max(self.paused_until, self.clock() + seconds)

    def _wait_seconds(self, tokens: float) -> float:
        now = self.clock()
        return max(
            self.paused_until - now,
            self.requests.wait_seconds(1, self.in_flight_requests, now),
            self.tokens.wait_seconds(tokens, self.in_flight_tokens, now),
            *(pace.wait_seconds(now) for pace in self._paces),
        )
