"""Any OpenAI-compatible server answers: hosted, vLLM, llama.cpp's server, Ollama."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import orjson
from pydantic import SecretStr

from hornbook.core.errors import TeacherError
from hornbook.core.machine import EndpointPlace
from hornbook.core.progress import Progress, Silent
from hornbook.core.records import to_json
from hornbook.teachers.budget import TYPICAL_TOKENS_PER_BYTE, Ledger, afford, answer_tokens, prompt_tokens
from hornbook.teachers.limits import Limits, hinted_seconds
from hornbook.teachers.local import choice_logprobs
from hornbook.teachers.pool import OwnLoop
from hornbook.teachers.request import Answer, Ask, Failed

CONNECT_SECONDS = 10.0
MAX_BACKOFF_SECONDS = 60.0
DETAIL_CHARS = 300
TOP_LOGPROBS = 20
"""The most that hosted servers give."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call without an answer: the reason, whether another call may help, and who pays."""

    reason: str
    detail: str
    again: bool = True
    wait_seconds: float | None = None
    free: bool = True
    """False where the server may have charged for it."""
    whole: bool = False
    """The server said all it had to say: being told the same once more is of no use."""
    headers: Mapping[str, str] | None = None


FATAL = {
    401: "does not accept {key}",
    402: "wants to be paid; see to the account",
    403: "does not let this key use {model}",
    404: "has no {interface} interface there; url should end just before /chat/completions, often in /v1",
    405: "has no {interface} interface there; url should end just before /chat/completions, often in /v1",
}
REASONS = {400: "bad_request", 408: "timeout", 409: "server_error", 413: "too_long", 425: "server_error"}
REASONS |= {422: "bad_request", 429: "rate_limited"}
AGAIN = {"timeout", "server_error", "rate_limited"}
SAYS = (
    ("too_long", re.compile(r"context.{0,20}(length|size|window)|too many tokens|prompt is too long", re.I)),
    ("refused", re.compile(r"content.?(filter|policy|management)|moderation|safety system", re.I)),
    ("no_logprobs", re.compile(r"logprobs", re.I)),
)
UNKNOWN_MODEL = re.compile(
    r"model.{0,80}(not.found|not exist|not a valid|unknown|invalid)|(unknown|invalid|no) model", re.I
)
QUOTA = re.compile(r"insufficient_quota|billing|exceeded your current quota", re.I)


@dataclass(frozen=True, slots=True)
class Server:
    """A place, the model's name there, and the key; how all its clients talk to it and about it."""

    place: EndpointPlace
    model: str
    key: SecretStr

    @property
    def name_of_key(self) -> str:
        """The key in words: where it came from, or that there is none."""
        if self.place.key_variable:
            return f"the key in {self.place.key_variable}; set the right one in the environment"
        return "asks without a key; name the variable that holds one as key_variable in the machine file"

    def stop(self, why: str) -> NoReturn:
        """It cannot be worked with at all."""
        raise TeacherError(f"the teacher at {self.place.url} {why}")

    def client(self) -> Any:
        """An asynchronous client whose own retries are off, because ours are counted."""
        import openai

        return openai.AsyncOpenAI(
            api_key=self.key.get_secret_value() or "none",
            base_url=self.place.url,
            max_retries=0,
            timeout=openai.Timeout(
                self.place.call_seconds, connect=min(CONNECT_SECONDS, self.place.call_seconds)
            ),
        )

    def clean(self, text: str) -> str:
        """One short line, without the key."""
        line = " ".join(text.split())
        secret = self.key.get_secret_value()
        return (line.replace(secret, "***") if secret else line)[:DETAIL_CHARS]


def trouble(error: Exception, server: Server) -> Trouble:
    """What an error of the openai package means for an ask; TeacherError where no ask can fare better."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return _refusal(error, server)
    said = server.clean(str(error.__cause__ or error))
    if type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"):
        return Trouble("no_connection", said or "no answer to a connection")
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return Trouble("timeout", said or "the call took longer than call_seconds", free=False)
    if isinstance(error, openai.APIConnectionError):
        return Trouble("connection", said, free=False)
    raise error


def _refusal(error: Any, server: Server) -> Trouble:
    status, headers = error.status_code, error.response.headers
    message = f"{error.code or ''} {error.type or ''} {error.message}"
    if status in (400, 404, 422) and UNKNOWN_MODEL.search(message):
        server.stop(
            f"knows no model {server.model}; mend the recipe's teacher, or served_as in the machine file "
            f"(status {status}: {server.clean(error.message)})"
        )
    if status in FATAL:
        interface = "batch" if server.place.batch else "chat"
        said = FATAL[status].format(model=server.model, key=server.name_of_key, interface=interface)
        server.stop(f"{said} (status {status}: {server.clean(error.message)})")
    if status == 429 and QUOTA.search(message):
        server.stop(
            "has no quota left for this key; see to the account, then run again (answers so far are kept)"
        )
    reason = REASONS.get(status, "server_error" if status >= 500 else "bad_request")
    if reason == "bad_request":
        reason = next((name for name, pattern in SAYS if pattern.search(message)), reason)
    wait = hinted_seconds(headers, error.message) if reason in AGAIN else None
    detail = f"status {status}: {server.clean(error.message)}"
    return Trouble(reason, detail, reason in AGAIN, wait, headers=headers)


def backoff_seconds(tries: int, first: float, draw: random.Random) -> float:
    """Exponential with full jitter in its upper half: 0.5 to 1 times first * 2^(tries - 1), at most a minute."""
    return min(MAX_BACKOFF_SECONDS, first * 2.0 ** min(tries - 1, 16)) * draw.uniform(0.5, 1.0)


def chat_body(ask: Any, model: str, schema_as: str, without: frozenset[str]) -> dict[str, Any]:
    """An ask in the form of the chat interface, without the settings that this server has refused."""
    messages = [{"role": role, "content": content} for role, content in ask.messages]
    max_tokens = "max_completion_tokens" if "max_tokens" in without else "max_tokens"
    body: dict[str, Any] = {"model": model, "messages": messages}
    body[max_tokens] = 1 if ask.choices else ask.max_answer_tokens
    sampling = {"temperature": ask.temperature, "top_p": ask.top_p, "seed": ask.seed % 2**31}
    body |= {name: value for name, value in sampling.items() if name not in without}
    if ask.choices:
        body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    if ask.schema:
        SCHEMA_FORMS[schema_as](body, ask.schema)
    return body


def _as_schema(body: dict[str, Any], schema: str) -> None:
    strict = '"additionalProperties"' in schema  # hosted servers refuse to be strict without it
    wanted = {"name": "answer", "schema": orjson.loads(schema), "strict": strict}
    body["response_format"] = {"type": "json_schema", "json_schema": wanted}


def _as_object(body: dict[str, Any], schema: str) -> None:
    _as_prompt(body, schema)
    body["response_format"] = {"type": "json_object"}


def _as_prompt(body: dict[str, Any], schema: str) -> None:
    last = body["messages"][-1]
    last["content"] += f"\n\nAnswer with JSON alone, following this JSON schema:\n{schema}"


SCHEMA_FORMS = {"json_schema": _as_schema, "json_object": _as_object, "prompt": _as_prompt}
"""From the strictest to the one that every server offers."""
SHOWN_CHARS = 120
NAME_END = r"(-\d{4}.*|[:@].*|[-.].*\.gguf|\.gguf)?"


def read_reply(body: bytes | Mapping[str, Any], ask: Ask, server: Server) -> Answer | Trouble:
    """The answer in a reply, or trouble: malformed, wrong_model, refused, empty, no_logprobs."""
    try:
        reply = orjson.loads(body) if isinstance(body, bytes) else body
        answered = str(reply.get("model") or server.model)
        if not same_model(server.model, answered):
            return _paid("wrong_model", f"asked {server.model}, {answered[:SHOWN_CHARS]} answered")
        said = reply["choices"][0]
        message, finish = said["message"], said.get("finish_reason")
        text = message.get("content") or ""
        usage = reply.get("usage") or {}
        if message.get("refusal") or finish == "content_filter":
            return _paid(
                "refused", server.clean(message.get("refusal") or "its content filter stopped it"), False
            )
        if not isinstance(text, str):
            raise TypeError("content is not text")
        if not text.strip() and not ask.choices:
            return _paid("empty", f"finish_reason {finish}", False)
        first = ((said.get("logprobs") or {}).get("content") or [{}])[0]
        if ask.choices and not first.get("top_logprobs"):
            return _paid(
                "no_logprobs", "the server gives no log-probabilities; choose another for choices", False
            )
        return Answer(
            text=text,
            tokens_in=int(usage.get("prompt_tokens") or 0),
            tokens_out=int(usage.get("completion_tokens") or 0),
            logprobs=choice_logprobs(first.get("top_logprobs") or (), ask.choices),
            truncated=finish == "length" and not ask.choices,
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        shown = (
            body[:SHOWN_CHARS].decode("utf-8", "replace")
            if isinstance(body, bytes)
            else str(body)[:SHOWN_CHARS]
        )
        return _paid(
            "malformed", server.clean(f"{type(error).__name__}: {error}; the reply began with {shown!r}")
        )


def used_tokens(body: bytes | Mapping[str, Any]) -> tuple[int, int] | None:
    """Prompt and answer tokens that a reply says it used, wherever else it is wrong."""
    try:
        usage = (orjson.loads(body) if isinstance(body, bytes) else body)["usage"]
        return int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    except (ValueError, LookupError, TypeError):
        return None


def same_model(asked: str, answered: str) -> bool:
    """Whether the name in a reply is the one that was asked, perhaps with a folder, a date, a tag or a file's end."""
    asked_name, answered_name = (name.lower().rsplit("/", 1)[-1] for name in (asked, answered))
    return re.fullmatch(re.escape(asked_name) + NAME_END, answered_name) is not None


def _paid(reason: str, detail: str, again: bool = True) -> Trouble:
    return Trouble(reason, detail, again, free=False, whole=True)


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
