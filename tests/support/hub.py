"""A mirror of the Hugging Face Hub on loopback: what its client asks of the real one, answered from a folder.

The folder holds `datasets/<owner>/<name>/<revision>/...`, and `models/` alike.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "17cad72c886a2858e08d4c349a00d6466f54df63"


class Hub(BaseHTTPRequestHandler):
    """`folder` is set on a subclass; `asked` collects (path, bytes sent)."""

    folder: Path
    asked: list[tuple[str, int]]

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = json.loads(said) if said.startswith("{") else parse_qs(said)
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        assert parts[4] == "paths-info", parts
        root = self._root(parts)
        self._json([_entry(root, root / path) for path in asked["paths"] if (root / path).exists()])

    def _root(self, parts: list[str]) -> Path:
        """The folder of /api/datasets/owner/name/<what>/<revision>: by branch, and by the commit that it stands for."""
        repository = self.folder.joinpath(*parts[1:4])
        if parts[5] == COMMIT and not (repository / COMMIT).exists():
            return next(repository.iterdir(), repository)
        return repository / parts[5]

    def _answer(self, body: bool) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[0] == "api" and len(parts) < 6:
            self.send_error(404)
        elif parts[0] == "api":
            root = self._root(parts)
            if not root.exists():
                self._missing("RevisionNotFound")
            elif parts[4] == "revision":
                self._json({"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": []})
            else:
                place = root.joinpath(*parts[6:])
                if not place.exists():
                    return self._missing("EntryNotFound")
                recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["no"])[0].lower() == "true"
                found = sorted(place.rglob("*") if recursive else place.iterdir())
                self._json([_entry(root, path) for path in found])
        else:
            kind = [] if parts[0] == "datasets" else ["models"]
            owner, name, _, revision, *rest = [*parts[1:]] if not kind else parts
            root = self._root(["api", *(kind or ["datasets"]), owner, name, "resolve", revision])
            path = root.joinpath(*rest)
            self._file(path, body) if path.is_file() else self._missing("EntryNotFound")
        return None

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _file(self, path: Path, body: bool) -> None:
        data = path.read_bytes()
        total = len(data)
        span = self.headers.get("Range", "")
        if span:
            begin, _, end = span.removeprefix("bytes=").partition("-")
            data = data[int(begin) : int(end or total) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{int(begin) + len(data) - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{_oid(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.asked.append((path.name, len(data)))
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def _entry(root: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(root).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    return {"type": "file", "path": name, "oid": _oid(path), "size": path.stat().st_size}


@contextmanager
def mirror(folder: Path) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """The address of a mirror of this folder, and the (file, bytes) that it sent."""
    asked: list[tuple[str, int]] = []
    kind = type("Mirror", (Hub,), {"folder": folder, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
