"""An OpenAI-compatible server on loopback that misbehaves as it is told, and keeps a log of what it was paid for."""

from __future__ import annotations

import asyncio
import email.parser
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from hornbook.core.machine import EndpointPlace

MODEL = "small-model"
Headers = dict[str, str]


class Cut(Exception):
    """Close the connection here, after these bytes."""

    def __init__(self, sent: bytes = b"") -> None:
        self.sent = sent


@dataclass
class Reply:
    status: int
    body: bytes
    headers: Headers = field(default_factory=dict)
    byte_seconds: float = 0.0

    @staticmethod
    def json(value: Any, status: int = 200, **headers: str) -> Reply:
        return Reply(status, orjson.dumps(value), {"content-type": "application/json", **headers})

    @staticmethod
    def error(status: int, message: str, code: str = "", **headers: str) -> Reply:
        return Reply.json({"error": {"message": message, "type": "error", "code": code}}, status, **headers)

    def data(self) -> bytes:
        head = {"content-length": str(len(self.body)), **self.headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
        return f"HTTP/1.1 {self.status} Said\r\n{lines}\r\n".encode() + self.body


def completion(text: str, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A good reply of the chat interface."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": f"chatcmpl-{number}", "model": MODEL, "choices": [choice], "usage": usage, **changes}


class Server:
    """Answers "word 17" with "17"; `fault(word, attempt)` names what goes wrong with that attempt, "" for nothing.

    `paid` holds the asks of every good answer that it made, in order. With `idempotent`, a request whose
    Idempotency-Key it knows gets what it got before, and nobody pays.
    """

    def __init__(
        self,
        fault: Callable[[str, int], str] = lambda word, attempt: "",
        idempotent: bool = True,
        seconds: float = 0.002,
        key: str = "",
    ) -> None:
        self.fault, self.idempotent, self.seconds, self.key = fault, idempotent, seconds, key
        self.paid: list[str] = []
        self.spoiled: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.attempts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.most_in_flight = self._in_flight = 0
        self._given: dict[str, Reply] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, int] = defaultdict(int)
        self.looks_needed = 2
        self.held: dict[str, float] = {}
        """What is done at once but answered so much later, in seconds: upload, create."""
        self.end: Callable[[list[dict[str, Any]]], tuple[str, bytes]] = finish
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    # ---- connections

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        async def finish_all() -> None:
            self._server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

        asyncio.run_coroutine_threadsafe(finish_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def place(self, **settings: Any) -> EndpointPlace:
        return EndpointPlace(url=self.url, **{"first_backoff_seconds": 0.01, "call_seconds": 1.0, **settings})

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split("\r\n")[0].split(" ")
                pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                reply = await self._reply(method, path.partition("?")[0], headers, body)
                await self._send(writer, reply)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        except Cut as cut:
            writer.write(cut.sent)
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        data = reply.data()
        if not reply.byte_seconds:
            writer.write(data)
            return await writer.drain()
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(reply.byte_seconds)
        return None

    async def _reply(self, method: str, path: str, headers: Headers, body: bytes) -> Reply:
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return Reply.error(401, f"wrong key {headers.get('authorization')}", "invalid_api_key")
        if path == "/v1/chat/completions":
            return await self._chat(headers, orjson.loads(body))
        if path == "/v1/files" and method == "POST":
            reply = self._upload(headers, body)
            await asyncio.sleep(self.held.get("upload", 0))
            return reply
        if path == "/v1/files":
            rows = [{"id": id_, "filename": name, "bytes": len(d)} for id_, (name, d) in self.files.items()]
            return Reply.json({"object": "list", "data": rows, "has_more": False})
        if path.startswith("/v1/files/"):
            return Reply(200, self.files[path.split("/")[3]][1], {"content-type": "application/octet-stream"})
        if path == "/v1/batches" and method == "POST":
            reply = self._create(orjson.loads(body))
            await asyncio.sleep(self.held.get("create", 0))
            return reply
        if path == "/v1/batches":
            return Reply.json({"object": "list", "data": list(self.batches.values()), "has_more": False})
        if path.startswith("/v1/batches/"):
            return self._look(path.split("/")[3])
        return Reply(404, b"<html>nothing here</html>", {"content-type": "text/html"})

    # ---- the chat interface

    async def _chat(self, headers: Headers, body: dict[str, Any]) -> Reply:
        self.bodies.append(body)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            await asyncio.sleep(self.seconds)
            return self._answer(headers.get("idempotency-key", ""), body)
        finally:
            self._in_flight -= 1

    def _answer(self, once: str, body: dict[str, Any]) -> Reply:
        word = body["messages"][-1]["content"]
        self.attempts[word] += 1
        fault = self.fault(word, self.attempts[word])
        self.faults[fault] += 1
        if fault in REFUSALS:
            return REFUSALS[fault]()
        given = self._given.get(once) if self.idempotent else None
        reply = given or self._make(word, fault, body["model"])
        self._given[once] = reply
        if fault == "cut_first":
            raise Cut
        if fault == "cut_half":
            raise Cut(reply.data()[: len(reply.data()) // 2])
        return Reply(reply.status, reply.body, reply.headers, 0.02 if fault == "slow_bytes" else 0.0)

    def _make(self, word: str, fault: str, model: str) -> Reply:
        """A fresh reply: this is what costs money."""
        number = 0 if fault == "duplicate_id" else len(self.paid)
        reply = completion(word.rsplit(maxsplit=1)[-1], number, model=model)
        if fault in ("malformed", "wrong_model", "empty_object"):
            self.spoiled.append(word)
            body = {
                "malformed": orjson.dumps(reply)[:-20],
                "wrong_model": orjson.dumps({**reply, "model": "another-model"}),
                "empty_object": b"{}",
            }[fault]
            return Reply(200, body, {"content-type": "application/json"})
        self.paid.append(word)
        return Reply.json(reply)

    # ---- the batch interface

    def _upload(self, headers: Headers, body: bytes) -> Reply:
        kind = headers["content-type"].encode()
        form = email.parser.BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + body)
        part = next(p for p in form.get_payload() if p.get_filename())  # type: ignore[union-attr]
        id_ = f"file-{len(self.files)}"
        self.files[id_] = (part.get_filename() or "", part.get_payload(decode=True))  # type: ignore[union-attr, assignment]
        return Reply.json({"id": id_, "object": "file", "filename": part.get_filename(), "purpose": "batch"})  # type: ignore[union-attr]

    def _create(self, wanted: dict[str, Any]) -> Reply:
        lines = [orjson.loads(line) for line in self.files[wanted["input_file_id"]][1].splitlines()]
        self.paid += [line["body"]["messages"][-1]["content"] for line in lines]
        id_ = f"batch-{len(self.batches)}"
        counts = {"total": len(lines), "completed": 0, "failed": 0}
        self.batches[id_] = {"id": id_, "status": "in_progress", "request_counts": counts, **wanted}
        return Reply.json(self.batches[id_])

    def _look(self, id_: str) -> Reply:
        batch = self.batches[id_]
        self.looks[id_] += 1
        if self.looks[id_] >= self.looks_needed and batch["status"] == "in_progress":
            lines = [orjson.loads(line) for line in self.files[batch["input_file_id"]][1].splitlines()]
            batch["status"], output = self.end(lines)
            if output:
                batch["output_file_id"] = f"file-{len(self.files)}"
                self.files[batch["output_file_id"]] = ("output.jsonl", output)
        return Reply.json(batch)


def finish(lines: list[dict[str, Any]]) -> tuple[str, bytes]:
    """The end of a job as it should be, in another order than it was asked for."""
    return "completed", b"\n".join(output_line(line) for line in reversed(lines))


def output_line(line: dict[str, Any], **changes: Any) -> bytes:
    """One line of a job's output."""
    body = completion(line["body"]["messages"][-1]["content"].split()[-1])
    response = {"status_code": 200, "request_id": "r", "body": body}
    return orjson.dumps({"id": "b", "custom_id": line["custom_id"], "response": response, **changes})


REFUSALS: dict[str, Callable[[], Reply]] = {
    "429_hint": lambda: Reply.error(429, "slow down", retry_after="0.02"),
    "429_hint_ms": lambda: Reply.error(429, "slow down", retry_after_ms="15"),
    "429_words": lambda: Reply.error(429, "Rate limit reached. Please try again in 20ms."),
    "429_bare": lambda: Reply.error(429, "slow down"),
    "429_quota": lambda: Reply.error(429, "You exceeded your current quota", "insufficient_quota"),
    "500": lambda: Reply.error(500, "internal error"),
    "503": lambda: Reply(503, b"<html>come back later</html>", {"content-type": "text/html"}),
    "403": lambda: Reply.error(403, "not allowed"),
    "404_model": lambda: Reply.error(404, "The model `small-model` does not exist", "model_not_found"),
    "400_context": lambda: Reply.error(400, "maximum context length is 10 tokens", "context_length_exceeded"),
    "400_filter": lambda: Reply.error(400, "stopped by our content filter"),
    "html": lambda: Reply(200, b"<html>welcome</html>", {"content-type": "text/html"}),
}


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
