"""The user's secret: made once, whole, and read by nobody else."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hornbook.benchmarks.verdict_cache import user_secret
from hornbook.core.errors import StoreError


def test_it_is_made_once_and_for_its_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "hornbook"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: user_secret(folder), range(32)))
    assert len(found) == 1
    assert len(found.pop()) == 32
    assert [path.name for path in folder.iterdir()] == ["secret"]
    assert (folder / "secret").stat().st_mode & 0o777 == 0o600
    assert user_secret(tmp_path / "other") != user_secret(folder)


@pytest.mark.parametrize(
    ("mode", "data", "said"),
    [
        (0o640, bytes(32), "is not this user's alone; remove it"),
        (0o600, bytes(31), "is damaged; remove it"),
        (0o600, b"", "is damaged; remove it"),
    ],
)
def test_one_that_others_may_know_or_that_is_cut_is_none(
    mode: int, data: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(data)
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(StoreError, match=said):
        user_secret(tmp_path)
    assert (tmp_path / "secret").read_bytes() == data


def test_another_users_is_none(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    user_secret(tmp_path)
    os.chown(tmp_path / "secret", 65534, 65534)
    with pytest.raises(StoreError, match="is not this user's alone"):
        user_secret(tmp_path)


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="secret cannot be kept: Not a directory"):
        user_secret(tmp_path / "file" / "hornbook")
