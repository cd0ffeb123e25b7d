"""Reading what a server says: a reply of the chat interface as an answer, or why it is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from hornbook.teachers.ask import Answer, Ask
from hornbook.teachers.calls import Server, Trouble
from hornbook.teachers.local import choice_logprobs

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
