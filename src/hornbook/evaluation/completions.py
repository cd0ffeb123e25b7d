"""What models wrote: an SQLite file that holds every completion under all that can change it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import orjson

from hornbook.core.database import Database
from hornbook.core.records import to_json
from hornbook.model.sampling import Completion, Sampling

FILE = "completions.sqlite"
TABLE = """
create table if not exists completions (
    key blob primary key, model text not null, asked text not null, completion text not null
) without rowid
"""


class Completions:
    """Every completion so far; it does not depend on how many attempts a problem gets, or on which benchmark it is.

    Several processes may share the file, and a completion once kept never changes. A context manager.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "the cache of completions", TABLE)

    def find(self, model: str, prompt: str, sampling: Sampling, seed: int) -> Completion | None:
        """What this model wrote after this prompt with this seed, if it ever did."""
        key = _key(model, _asked(prompt, sampling, seed))
        with self._database as db:
            row = db.execute("select completion from completions where key = ?", (key,)).fetchone()
        return None if row is None else _read(orjson.loads(row[0]))

    def keep(self, model: str, prompt: str, sampling: Sampling, seed: int, completion: Completion) -> None:
        """On disk when this returns; where another process was first, its completion stays."""
        asked = _asked(prompt, sampling, seed)
        kept = {"text": completion.text, "tokens": completion.tokens, "ended": completion.ended}
        row = (_key(model, asked), model, asked, to_json(kept))
        with self._database as db:
            db.execute("insert or ignore into completions values (?, ?, ?, ?)", row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._database.close()


def _asked(prompt: str, sampling: Sampling, seed: int) -> str:
    """All that can change a completion beside the model; how many are written side by side does not.

    These names are part of every key: they never change.
    """
    fields = {
        "prompt": prompt,
        "seed": seed if sampling.temperature > 0 else 0,
        "max_new_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stop": sampling.stop,
    }
    return to_json(fields)


def _read(fields: Mapping[str, Any]) -> Completion:
    return Completion(text=fields["text"], tokens=fields["tokens"], ended=fields["ended"])


def _key(model: str, asked: str) -> bytes:
    return hashlib.sha256(f"{model}\0{asked}".encode()).digest()
