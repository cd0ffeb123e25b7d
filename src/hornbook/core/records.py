"""What flows between stages: documents, drops, and their one Parquet schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import pyarrow as pa
import xxhash

Kind = Literal["code", "qa", "textbook", "exercise"]
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("kind", pa.string()),
        ("meta", pa.string()),
    ]
)
DROP_SCHEMA = SCHEMA.append(pa.field("reason", pa.string())).append(pa.field("detail", pa.string()))


def text_id(text: str) -> str:
    """The id of a document: 128-bit XXH3 of its UTF-8 text, as 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Document:
    """One text with where it came from; `id` is the hash of `text`, so equal texts are equal documents."""

    text: str
    source: str
    kind: Kind
    meta: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", text_id(self.text))


@dataclass(frozen=True, slots=True)
class Drop:
    """A document that was not kept: a stable reason code to count by, and the detail for a person."""

    document: Document
    reason: str
    detail: str = ""


def to_json(value: Any) -> str:
    """Compact JSON with sorted keys: the same value gives the same bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()


def documents_table(documents: Iterable[Document], **columns: Iterable[Any]) -> pa.Table:
    """Documents as a table of SCHEMA; `columns` are further columns, one value for each document."""
    rows = list(documents)
    table = pa.table(
        {
            "id": [d.id for d in rows],
            "text": [d.text for d in rows],
            "source": [d.source for d in rows],
            "kind": [d.kind for d in rows],
            "meta": [to_json(dict(d.meta)) for d in rows],
        },
        schema=SCHEMA,
    )
    for name, values in columns.items():
        table = table.append_column(name, pa.array(list(values)))
    return table


def drops_table(drops: Iterable[Drop]) -> pa.Table:
    """Drops as a table of DROP_SCHEMA."""
    rows = list(drops)
    table = documents_table(d.document for d in rows)
    table = table.append_column(DROP_SCHEMA.field("reason"), pa.array([d.reason for d in rows], pa.string()))
    return table.append_column(DROP_SCHEMA.field("detail"), pa.array([d.detail for d in rows], pa.string()))


def documents(table: pa.Table) -> list[Document]:
    """The documents of a table; columns beyond SCHEMA are left out."""
    columns = (table[name].to_pylist() for name in SCHEMA.names)
    return [
        Document(text=text, source=source, kind=kind, meta=orjson.loads(meta), id=id_)
        for id_, text, source, kind, meta in zip(*columns, strict=True)
    ]


Refusal = tuple[str, str]
"""A stable reason code, and the detail for a person."""
