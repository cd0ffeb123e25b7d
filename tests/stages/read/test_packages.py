"""The packages beside hornbook, whatever state their records are in."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.stages.read import files as packages


def test_a_broken_record_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, metadata, record in (
        ("sound", "Name: sound\nVersion: 1\nLicense: MIT\n", "sound/a.py,,\n\nsound/b.py,,\n"),
        ("left_behind", "", "left/a.py,,\n"),
    ):
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "RECORD").write_text(record)
        (folder / "METADATA").write_text(metadata)
    monkeypatch.setattr(packages, "site_folders", lambda: [tmp_path])
    meta = {"package": "sound", "version": "1", "licence": "MIT"}
    assert packages.owners_of_files() == {"sound/a.py": meta, "sound/b.py": meta}
