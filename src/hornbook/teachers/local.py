"""A GGUF file answers in this process, through llama.cpp with continuous batching."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson

from hornbook.core.errors import TeacherError
from hornbook.core.workers import available_cpus
from hornbook.teachers.request import Answer, Ask, Failed

CONTEXT_TOKENS = 2048
"""Tokens of prompt and answer together, for each of the asks in flight."""

UBATCH_TOKENS = 32
"""Tokens computed at once. From 64 on, flash attention reads prompts on another path, whose sums depend on what else
is in the batch: with 512, 37 of 38 labels moved, by up to .06; with 32 none did, and reading was a fifth slower."""

FIRST_TOKENS = 200
"""How many of the likeliest first tokens are searched for the choices."""

REASONS = {"exceed_context_size_error": "too_long", "invalid_request_error": "bad_request"}


class LocalModel:
    """Answers with a GGUF file; it is found and loaded on the first ask, so a cached run never loads it.

    On one machine an ask is answered alike alone and among others, so that a resumed run ends like an uninterrupted
    one: for this the prompt cache stays off and prompts are read in small pieces.
    """

    grace_seconds = math.inf
    """It answers to the end in any case."""

    def __init__(self, model: str, revision: str, find_file: Callable[[], Path], concurrency: int) -> None:
        self.model = model
        self.revision = revision
        self.concurrency = concurrency
        self._find_file = find_file
        self._server: Any = None
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="teacher")
        self._loading = threading.Lock()

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The model's answer, or Failed with too_long, bad_request, teacher_error or empty."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, ask)

    def _answer(self, ask: Ask) -> Answer | Failed:
        with self._loading:
            if self._server is None:
                self._server = self._load()
        return read(self._server.handle_chat_completions(request(ask)), ask.choices)

    def _load(self) -> Any:
        path = self._find_file()
        try:
            # it also listens on a loopback port: nobody else's business
            return llama_server(path, self.concurrency, secrets.token_hex(16), UBATCH_TOKENS)
        except Exception as error:
            raise TeacherError(f"{path} cannot be loaded as the teacher {self.model}: {error}") from error

    def close(self) -> None:
        """Wait for asks in flight and stop the model's threads."""
        self._threads.shutdown(cancel_futures=True)
        self._server = None


def llama_server(
    path: Path, parallel: int, key: str, ubatch_tokens: int, context_tokens: int = CONTEXT_TOKENS
) -> Any:
    """llama.cpp's own server with a GGUF file, in this process; it listens at its `listening_address` on loopback.

    `parallel` asks are answered at once, each with room for `context_tokens`; the last prompts are not kept.
    """
    import xllamacpp  # its OpenMP is the one that torch finds later: what the command line set holds for both

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context_tokens * parallel
    params.n_parallel = parallel
    params.kv_unified = False
    params.n_ubatch = ubatch_tokens
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = available_cpus()
    params.api_keys = [key]
    params.cache_prompt = False
    params.ui = False
    params.warmup = False
    params.verbosity = -1
    return xllamacpp.Server(params)


def request(ask: Ask) -> dict[str, Any]:
    """An ask in the form of the OpenAI chat interface, with llama.cpp's own additions."""
    body: dict[str, Any] = {
        "messages": [{"role": role, "content": content} for role, content in ask.messages],
        "max_tokens": 1 if ask.choices else ask.max_answer_tokens,
        "temperature": ask.temperature,
        "top_p": ask.top_p,
        "seed": ask.seed % 2**32,
        "cache_prompt": False,
    }
    if ask.choices:
        body |= {"logprobs": True, "top_logprobs": FIRST_TOKENS}
    if ask.schema:
        schema = {"name": "answer", "schema": orjson.loads(ask.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def read(reply: Mapping[str, Any], choices: tuple[str, ...]) -> Answer | Failed:
    """A reply of the OpenAI chat interface as an Answer, its error object as Failed."""
    if "error" in reply:
        error = reply["error"]
        return Failed(REASONS.get(error.get("type", ""), "teacher_error"), str(error.get("message", error)))
    said = reply["choices"][0]
    usage = reply["usage"]
    text = said["message"].get("content") or ""
    if not text.strip() and not choices:
        return Failed("empty", f"finish_reason {said['finish_reason']}")
    first = ((said.get("logprobs") or {}).get("content") or [{}])[0]
    return Answer(
        text=text,
        tokens_in=usage["prompt_tokens"],
        tokens_out=usage["completion_tokens"],
        logprobs=choice_logprobs(first.get("top_logprobs") or (), choices),
        truncated=said["finish_reason"] == "length" and not choices,
    )


def choice_logprobs(tokens: Any, choices: tuple[str, ...]) -> dict[str, float]:
    """For each choice the log of the summed probability of the tokens that spell it, blanks aside."""
    found: dict[str, float] = {}
    for choice in choices:
        shares = [math.exp(t["logprob"]) for t in tokens if t["token"].strip() == choice]
        if sum(shares) > 0:
            found[choice] = math.log(math.fsum(shares))
    return found


def file_revision(path: Path) -> str:
    """A fingerprint of a model file: its size and 64 of its blocks of 256 KiB, spread evenly."""
    blocks, block_bytes = 64, 1 << 18
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            for number in range(blocks):
                file.seek(max(0, size - block_bytes) * number // (blocks - 1))
                digest.update(file.read(block_bytes))
    except OSError as error:
        raise TeacherError(f"{path} cannot be read as a model: {error.strerror}") from error
    return digest.hexdigest()
