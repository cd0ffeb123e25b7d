"""One call through the openai package: where to, what can go wrong, and what that means."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson
from pydantic import SecretStr

from hornbook.core.config import EndpointPlace
from hornbook.core.errors import TeacherError
from hornbook.teachers.limits import hinted_seconds

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
