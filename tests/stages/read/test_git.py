from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.core.errors import InputError
from hornbook.stages.read.git import licence_of
from hornbook.stages.read.step import ReadConfig, identity

MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person\n...\nTHE SOFTWARE IS PROVIDED"
CODE = "def add(one, other):\n    return one + other\n"


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repos" / "sums"
    (folder / "pkg").mkdir(parents=True)
    git(folder, "init")
    files = {
        "pkg/add.py": CODE.encode(),
        "pkg/ünï code.py": b"x = 1\ny = 2\n",
        "bad.py": b"name = '\xff'\n",
        "big.py": b"x = 1\n" * 200_000,
        "notes.txt": b"not code",
        "LICENSE": MIT.encode(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "link.py").symlink_to("pkg/add.py")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "one")
    git(folder, "tag", "v1")
    (folder / "pkg/add.py").write_text(CODE + "\n\nprint(add(1, 2))\n")
    git(folder, "commit", "-am", "two")
    (folder / "untracked.py").write_text("z = 3\n")
    (folder / "pkg/add.py").write_text("changed but not committed\n")
    return folder


def test_the_tracked_files_of_a_commit_are_read_with_licence_and_path(
    repository: Path, read: Callable[..., Any]
) -> None:
    kept, dropped, _ = read({"kind": "git", "path": str(repository), "revision": "v1"})
    assert sorted(kept) == ["sums/pkg/add.py", "sums/pkg/ünï code.py"]
    assert kept["sums/pkg/add.py"].text == CODE
    commit = git(repository, "rev-parse", "v1")
    assert kept["sums/pkg/add.py"].meta == {
        "repository": "sums",
        "commit": commit,
        "path": "pkg/add.py",
        "licence": "MIT",
        "licence_file": "LICENSE",
    }
    reasons = {name: why for name, (why, _) in dropped.items()}
    assert reasons == {"sums/bad.py": "undecodable", "sums/big.py": "huge"}


def test_head_is_read_where_no_revision_is_named_and_folders_of_repositories_are_entered(
    repository: Path, read: Callable[..., Any]
) -> None:
    kept, _, _ = read({"kind": "git", "path": str(repository.parent)})
    assert kept["repos/sums/pkg/add.py"].text.endswith("print(add(1, 2))\n")


def test_identity_follows_the_commit(repository: Path) -> None:
    def of(revision: str) -> dict[str, str]:
        source = {"kind": "git", "path": str(repository), "revision": revision}
        return dict(identity(ReadConfig.model_validate({"sources": [source]})))

    assert of("v1") == of(git(repository, "rev-parse", "v1")) != of("HEAD")


def test_what_is_no_repository_or_revision_is_one_clear_line(
    repository: Path, read: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match="is no git repository and holds none"):
        read({"kind": "git", "path": str(repository / "pkg")})
    with pytest.raises(InputError, match="git rev-parse failed"):
        read({"kind": "git", "path": str(repository), "revision": "--output=x"})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (MIT, "MIT"),
        ("GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007", "GPL-3.0"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n Version 3", "LGPL"),
        ("Apache License\n Version 2.0, January 2004", "Apache-2.0"),
        ("All rights reserved.", "other"),
    ],
)
def test_a_licence_is_known_by_its_words(text: str, name: str) -> None:
    assert licence_of(text) == name
