"""One call through the openai package: where to, what can go wrong, and what that means."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import orjson
from pydantic import Field

from hornbook.core.config import Config
from hornbook.core.errors import TeacherError
from hornbook.teachers.limits import hinted_seconds

FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 60.0
DETAIL_CHARS = 300
TOP_LOGPROBS = 20
"""The most that hosted servers give."""


class EndpointPlace(Config):
    """Where an OpenAI-compatible server answers, and how patiently it is asked."""

    url: str = Field(pattern=r"^https?://\S+$")
    """Up to but not including /chat/completions; usually it ends in /v1."""
    concurrency: int = Field(8, ge=1, le=1024)
    """Asks in flight at once."""
    requests_per_minute: int = Field(0, ge=0)
    """A limit to keep beside those the server tells; 0: only those."""
    tokens_per_minute: int = Field(0, ge=0)
    """The same for prompt and answer tokens together."""
    call_seconds: float = Field(120.0, gt=0)
    """The longest that one call may take, to the last byte."""
    ask_seconds: float = Field(1800.0, gt=0)
    """The longest that one ask may take with all its calls and waits."""
    tries: int = Field(6, ge=1)
    """Calls for one ask; being told to wait for a rate limit does not count."""
    first_backoff_seconds: float = Field(FIRST_BACKOFF_SECONDS, gt=0)
    """The wait after a first failure without a hint; it doubles with each further one."""
    served_as: str = ""
    """What the server calls the model, where that is another name than the recipe's."""
    revision: str = ""
    """Which weights answer under that name, as far as you know; another revision is asked anew."""
    schema_as: Literal["json_schema", "json_object", "prompt"] = "json_schema"
    """How a wanted structure is asked for; where a server refuses one way the next is taken, and said."""
    batch_asks: int = Field(20_000, ge=1, le=50_000)
    """Asks in one job of the batch interface."""
    poll_seconds: float = Field(30.0, gt=0)
    """How often such a job is looked at."""
    gather_seconds: float = Field(1.0, gt=0)
    """A job is sent when no further ask has come for so long."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call without an answer: the reason, whether another call may help, and who pays."""

    reason: str
    detail: str
    again: bool = True
    wait_seconds: float | None = None
    free: bool = True
    """False where the server may have charged for what did not arrive whole."""
    headers: Mapping[str, str] | None = None


FATAL = {
    401: "does not accept the key; set the right one in the environment",
    402: "wants to be paid; see to the account",
    403: "does not let this key use {model}",
    404: "knows no such address or no model {model}; url should end just before /chat/completions, often in /v1",
    405: "does not answer chat completions at this address; url should often end in /v1",
}
REASONS = {400: "bad_request", 408: "timeout", 409: "server_error", 413: "too_long", 425: "server_error"}
REASONS |= {422: "bad_request", 429: "rate_limited"}
AGAIN = {"timeout", "server_error", "rate_limited"}
SAYS = (
    ("too_long", re.compile(r"context.{0,20}(length|size|window)|too many tokens|prompt is too long", re.I)),
    ("refused", re.compile(r"content.?(filter|policy|management)|moderation|safety system", re.I)),
    ("no_logprobs", re.compile(r"logprobs", re.I)),
)
QUOTA = re.compile(r"insufficient_quota|billing|exceeded your current quota", re.I)


def stop(url: str, why: str) -> NoReturn:
    """The server cannot be worked with at all."""
    raise TeacherError(f"the teacher at {url} {why}")


def trouble(error: Exception, url: str, model: str, key: str) -> Trouble:
    """What an error of the openai package means for an ask; TeacherError where no ask can fare better."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return _refusal(error, url, model, key)
    said = clean(str(error.__cause__ or error), key)
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return Trouble("timeout", said or "the call took longer than call_seconds", free=False)
    if isinstance(error, openai.APIConnectionError):
        never_reached = type(error.__cause__).__name__ == "ConnectError"
        return Trouble("no_connection" if never_reached else "connection", said, free=never_reached)
    raise error


def _refusal(error: Any, url: str, model: str, key: str) -> Trouble:
    status, headers = error.status_code, error.response.headers
    message = f"{error.code or ''} {error.type or ''} {error.message}"
    if status in FATAL:
        stop(url, f"{FATAL[status].format(model=model)} (status {status})")
    if status == 429 and QUOTA.search(message):
        stop(
            url,
            "has no quota left for this key; see to the account, then run again (answers so far are kept)",
        )
    reason = REASONS.get(status, "server_error" if status >= 500 else "bad_request")
    if reason == "bad_request":
        reason = next((name for name, pattern in SAYS if pattern.search(message)), reason)
    wait = hinted_seconds(headers, error.message) if reason in AGAIN else None
    detail = f"status {status}: {clean(error.message, key)}"
    return Trouble(reason, detail, reason in AGAIN, wait, headers=headers)


def clean(text: str, key: str) -> str:
    """One short line, without the key."""
    line = " ".join(text.split())
    return (line.replace(key, "***") if key else line)[:DETAIL_CHARS]


def backoff_seconds(tries: int, first: float, draw: random.Random) -> float:
    """Exponential with full jitter in its upper half: 0.5 to 1 times first * 2^(tries - 1), at most a minute."""
    return min(MAX_BACKOFF_SECONDS, first * 2.0 ** min(tries - 1, 16)) * draw.uniform(0.5, 1.0)


def chat_body(ask: Any, model: str, schema_as: str, without: frozenset[str]) -> dict[str, Any]:
    """An ask in the form of the chat interface, without the settings that this server has refused."""
    messages = [{"role": role, "content": content} for role, content in ask.messages]
    max_tokens = "max_completion_tokens" if "max_tokens" in without else "max_tokens"
    body: dict[str, Any] = {"model": model, "messages": messages, "temperature": ask.temperature}
    body[max_tokens] = 1 if ask.choices else ask.max_answer_tokens
    if ask.top_p != 1.0:
        body["top_p"] = ask.top_p
    if "seed" not in without:
        body["seed"] = ask.seed % 2**31
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


def open_client(place: EndpointPlace, key: str) -> Any:
    """An asynchronous client whose own retries are off, because ours are counted."""
    import openai

    return openai.AsyncOpenAI(
        api_key=key or "none", base_url=place.url, max_retries=0, timeout=place.call_seconds
    )
