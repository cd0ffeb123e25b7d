"""What known datasets call their columns, so that a recipe can say `columns = "the-stack"`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Dataset = Literal["", "the-stack", "the-stack-smol", "starcoderdata", "github-code"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The column of the text, and other columns with their names in meta."""

    text: str
    meta: Mapping[str, str] = field(default_factory=dict)


COLUMNS: Mapping[Dataset, Columns] = {
    "": Columns("text"),
    "the-stack": Columns(
        "content",
        {
            "max_stars_repo_name": "repository",
            "max_stars_repo_path": "path",
            "max_stars_repo_licenses": "licence",
            "max_stars_count": "stars",
        },
    ),
    "the-stack-smol": Columns(
        "content", {"repository_name": "repository", "path": "path", "licenses": "licence"}
    ),
    "starcoderdata": Columns(
        "content",
        {"max_stars_repo_name": "repository", "max_stars_repo_path": "path", "max_stars_count": "stars"},
    ),
    "github-code": Columns("code", {"repo_name": "repository", "path": "path", "license": "licence"}),
}
