"""Reading one source; and this folder's hub.py can be imported by its tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hornbook.core.context import Tools
from hornbook.core.records import Document
from hornbook.core.shards import read_documents, read_table, shards
from hornbook.stages.read.step import ReadConfig, run

Reading = tuple[dict[str, Document], dict[str, tuple[str, str]], dict[str, float]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Reading]:
    """Read one source; what was kept, what was dropped and why, by source, and the counts."""

    def reading(source: dict[str, object], **settings: object) -> Reading:
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        out.mkdir()
        counts = run(ReadConfig.model_validate({"sources": [source], **settings}), {}, out, Tools())
        drops = [row for path in shards(out, "dropped") for row in read_table(path).to_pylist()]
        kept = {document.source: document for document in read_documents(out)}
        return kept, {row["source"]: (row["reason"], row["detail"]) for row in drops}, dict(counts)

    return reading
