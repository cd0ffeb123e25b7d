"""What known datasets call their columns, so that a recipe can say `columns = "the-stack"`.

Where each was looked up stands in docs/adding.md. The Hub's own name of a dataset is the name here, without its owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Dataset = Literal[
    "",
    "the-stack",
    "the-stack-dedup",
    "the-stack-smol",
    "the-stack-v2",
    "starcoderdata",
    "github-code",
    "github-code-clean",
]


@dataclass(frozen=True, slots=True)
class Columns:
    """The column of the text, and other columns with their names in meta."""

    text: str
    meta: Mapping[str, str] = field(default_factory=dict)


_STARCODER = {
    "max_stars_repo_name": "repository",
    "max_stars_repo_path": "path",
    "max_stars_count": "stars",
}
_STACK = Columns("content", {**_STARCODER, "max_stars_repo_licenses": "licence"})
_GITHUB_CODE = Columns("code", {"repo_name": "repository", "path": "path", "license": "licence"})

COLUMNS: Mapping[Dataset, Columns] = {
    "": Columns("text"),
    "the-stack": _STACK,
    "the-stack-dedup": _STACK,
    "the-stack-smol": Columns(
        "content", {"repository_name": "repository", "path": "path", "licenses": "licence"}
    ),
    "the-stack-v2": Columns(
        "content",
        {
            "repo_name": "repository",
            "path": "path",
            "detected_licenses": "licence",
            "star_events_count": "stars",
        },
    ),
    "starcoderdata": Columns("content", _STARCODER),
    "github-code": _GITHUB_CODE,
    "github-code-clean": _GITHUB_CODE,
}
