"""Any OpenAI-compatible server answers: hosted, vLLM, llama.cpp's server, Ollama."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hornbook.core.progress import Progress, Silent
from hornbook.core.records import to_json
from hornbook.teachers.ask import Answer, Ask, Failed
from hornbook.teachers.budget import Ledger, afford, answer_tokens, prompt_tokens
from hornbook.teachers.calls import SCHEMA_FORMS, Server, Trouble, backoff_seconds, chat_body, trouble
from hornbook.teachers.forecast import TYPICAL_TOKENS_PER_BYTE
from hornbook.teachers.limits import Limits
from hornbook.teachers.ownloop import OwnLoop
from hornbook.teachers.replies import read_reply, used_tokens

NO_HEADERS: Mapping[str, str] = {}
GRACE_SECONDS = 30.0
WRONG_MODELS = 3
"""So many replies of another model, and none of the right one: it is called something else there."""


@dataclass(frozen=True)
class _Offer:
    """What the server turned out to offer, learnt from its refusals."""

    schema_as: str
    without: frozenset[str] = frozenset()


@dataclass
class _Course:
    """How one ask is faring."""

    draw: random.Random
    ends_at: float
    offer: _Offer
    calls: int = 0
    tries: int = 0
    refusals: int = 0
    spoiled: int = 0
    last: str = "still waiting for a first reply"


class Endpoint:
    """Answers through a server's chat interface, with at most `place.concurrency` asks in flight.

    Every call is counted, and reserved in the `ledger` before it is sent. A call whose reply did not arrive is
    repeated under the same Idempotency-Key, even by a later process: a server that knows this header charges once.
    TeacherError where no ask can succeed (wrong key, wrong address, unknown model, no quota), BudgetError where
    the next call could break a budget.
    """

    grace_seconds = GRACE_SECONDS

    def __init__(
        self,
        model: str,
        server: Server,
        ledger: Ledger | None = None,
        progress: Progress | None = None,
    ) -> None:
        place = server.place
        self.model = model
        self.revision = place.revision
        self.concurrency = place.concurrency
        self.place = place
        self._server = server
        self._ledger = ledger
        self._progress = progress or Silent()
        self._offer = _Offer(place.schema_as, frozenset(place.without))
        self._limits = Limits(place.requests_per_minute, place.tokens_per_minute)
        self._slots = asyncio.Semaphore(place.concurrency)
        self._client: Any = None
        self._reached = False
        self._right_models = self._wrong_models = 0
        self._loop = OwnLoop()

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The server's answer, or Failed with the last trouble's reason and the number of calls.

        Reasons: rate_limited, server_error, connection, timeout, deadline, malformed, wrong_model, refused,
        too_long, bad_request, empty, no_logprobs.
        """
        return await self._loop.run(self._ask(ask))

    async def _ask(self, ask: Ask) -> Answer | Failed:
        async with self._slots:
            now = asyncio.get_running_loop().time()
            draw = random.Random(f"{ask.seed}:{to_json(ask.messages)}")
            course = _Course(draw, now + self.place.ask_seconds, self._offer)
            try:
                async with asyncio.timeout_at(course.ends_at):
                    return await self._persist(ask, course)
            except TimeoutError:
                return self._too_late(course)

    async def _persist(self, ask: Ask, course: _Course) -> Answer | Failed:
        """Call until there is an answer, or another call is of no use or not allowed."""
        while True:
            said = await self._call(ask, course)
            if not isinstance(said, Trouble):
                return said
            if self._adapted(said, ask, course.offer):
                continue
            course.last = f"{said.reason}: {said.detail}"
            course.refusals += said.reason == "rate_limited"
            course.tries += said.reason != "rate_limited"
            if not said.again or course.tries >= self.place.tries:
                return Failed(said.reason, said.detail, course.calls)
            wait = backoff_seconds(
                course.tries + course.refusals, self.place.first_backoff_seconds, course.draw
            )
            if said.wait_seconds is not None:
                self._limits.pause(said.wait_seconds)
                wait = said.wait_seconds + wait * 0.1  # not all at once when the pause ends
            if asyncio.get_running_loop().time() + wait > course.ends_at:
                return self._too_late(course)
            await asyncio.sleep(wait)

    def _too_late(self, course: _Course) -> Failed:
        detail = f"no answer within ask_seconds = {self.place.ask_seconds:g}; last {course.last}"
        return Failed("deadline", detail, course.calls)

    async def _call(self, ask: Ask, course: _Course) -> Answer | Trouble:
        """One call within the limits and the budget."""
        tokens = prompt_tokens(ask) * TYPICAL_TOKENS_PER_BYTE + answer_tokens(ask)
        call = secrets.token_hex(8)
        if self._ledger:
            await afford(self._ledger, call, ask)
        said: Answer | Trouble = Trouble("not_sent", "", free=True)
        headers, used = NO_HEADERS, None
        try:
            await self._limits.admit(tokens)
            try:
                course.calls += 1
                said = Trouble("broken_off", "", free=False)
                said, headers, used = await self._exchange(ask, course)
            finally:
                self._limits.settle(tokens, headers)
        finally:
            self._settle(call, said, used)
        course.spoiled += isinstance(said, Trouble) and said.whole
        return said

    def _settle(self, call: str, said: Answer | Trouble, used: tuple[int, int] | None) -> None:
        if self._ledger is None:
            return
        if isinstance(said, Trouble) and said.free:
            self._ledger.release(call)
        elif used is not None:
            self._ledger.settle(call, *used)
        else:
            self._ledger.leave(call)

    async def _exchange(
        self, ask: Ask, course: _Course
    ) -> tuple[Answer | Trouble, Mapping[str, str], tuple[int, int] | None]:
        """Send an ask and read the reply: what it says, its headers, and the tokens it used."""
        if self._client is None:
            self._client = self._server.client()
        course.offer = self._offer
        body = chat_body(ask, self._server.model, course.offer.schema_as, course.offer.without)
        same = hashlib.sha256(to_json([self.revision, ask.seed, body]).encode()).hexdigest()[:32]
        try:
            async with asyncio.timeout(self.place.call_seconds):
                raw = await self._client.chat.completions.with_raw_response.create(
                    **body, extra_headers={"Idempotency-Key": f"{same}-{course.spoiled}"}
                )
        except Exception as error:
            wrong = trouble(error, self._server)
            return self._first_contact(wrong), wrong.headers or NO_HEADERS, None
        self._reached = True
        if "text/html" in raw.headers.get("content-type", ""):
            self._server.stop("answers with a web page; url should end just before /chat/completions")
        said = read_reply(raw.content, ask, self._server)
        self._know_the_model(said)
        return said, raw.headers, used_tokens(raw.content)

    def _know_the_model(self, said: Answer | Trouble) -> None:
        """A model that always answers under another name costs money for nothing: that is an error in the settings."""
        if isinstance(said, Answer):
            self._right_models += 1
        elif said.reason == "wrong_model":
            self._wrong_models += 1
            if not self._right_models and self._wrong_models >= WRONG_MODELS:
                self._server.stop(
                    f"is another model: {said.detail}; if it is the one you mean, set served_as"
                )

    def _first_contact(self, said: Trouble) -> Trouble:
        """A server that was never reached is an error in the settings; one that was is waited for."""
        if said.reason != "no_connection":
            self._reached |= said.headers is not None
            return said
        if not self._reached:
            self._server.stop(f"cannot be reached ({said.detail}); start it, or mend url in the machine file")
        return replace(said, reason="connection")

    def _adapted(self, said: Trouble, ask: Ask, offered: _Offer) -> bool:
        """Whether the refusal names a setting of ours that can be put in another way; then that is done."""
        if said.reason != "bad_request":
            return False
        if offered != self._offer:
            return True  # another ask was refused first
        if ask.schema and SCHEMA_REFUSED.search(said.detail):
            later = FORMS[FORMS.index(offered.schema_as) + 1 :]
            return bool(later) and self._settle_for(replace(offered, schema_as=later[0]), offered.schema_as)
        for name, pattern in REFUSED_SETTINGS.items():
            if pattern.search(said.detail) and name not in offered.without:
                return self._settle_for(replace(offered, without=offered.without | {name}), name)
        return False

    def _settle_for(self, offer: _Offer, refused: str) -> bool:
        instead = f"with {offer.schema_as}" if refused in FORMS else "without it"
        self._progress.say(f"{self.place.url} takes no {refused}; asking {instead}")
        self._offer = offer
        return True

    def close(self) -> None:
        """Give up what is in flight and close the connections."""
        self._loop.close(self._hang_up())

    async def _hang_up(self) -> None:
        if self._client is not None:
            await self._client.close()


FORMS = tuple(SCHEMA_FORMS)
SCHEMA_REFUSED = re.compile(r"response_format|json_schema|json_object|schema|structured", re.IGNORECASE)
REFUSED_SETTINGS = {
    "max_tokens": re.compile(r"max_completion_tokens"),
    "seed": re.compile(r"\bseed\b", re.IGNORECASE),
    "temperature": re.compile(r"\btemperature\b", re.IGNORECASE),
    "top_p": re.compile(r"\btop_p\b", re.IGNORECASE),
}
"""Settings that some servers refuse -> how they say it; the first has another name there, the others are dropped."""
