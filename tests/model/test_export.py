"""A model folder for other tools, wherever it is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.core.errors import InputError
from hornbook.model.checkpoint import save_hf


def test_the_empty_folder_we_are_in_is_a_place_and_one_that_holds_something_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    save_hf(tmp_path / "model", Path(), "# card\n")
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["README.md", "config.json"]
    with pytest.raises(InputError, match="is there already"):
        save_hf(tmp_path / "model", tmp_path / "here", "# card\n")
