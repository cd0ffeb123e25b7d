"""What every source has: its settings, the bounds of a document, and what is set aside with a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from hornbook.core.errors import InputError
from hornbook.core.fs import is_url, moving
from hornbook.core.records import Document, Drop, Kind
from hornbook.core.settings import Config
from hornbook.stages.read.heuristics import Limits, refusal
from hornbook.stages.read.walk import Found

HUB = re.compile(r"hf://(?:(model|dataset|space)s/)?([^/@]+/[^/@]+)(?:@([^/]+))?(?=/|$)")
"""Kind, name and revision of a repository; buckets have no commits."""
KEPT_CHARS = 2_000
"""Of a dropped text, this much is kept."""


class Posts(Config):
    """Which questions of a Stack Exchange dump are read, and with which answers."""

    tags: tuple[str, ...] = Field((), strict=False)
    """Only questions with one of these tags; empty: all."""
    min_score: int = 0
    """Questions with a lower score are left out."""
    min_answer_score: int = 0
    """So are answers, the accepted one too."""
    since: date | None = None
    """Only questions asked on this day or later."""
    until: date | None = None
    """Only questions asked on this day or earlier."""
    answers: Literal["accepted", "best", "accepted-first"] = "accepted-first"
    """Which answers stand below the question: the accepted one, those of the best score, or both in that order."""
    max_answers: int = Field(1, ge=1, le=100)


class Source(Config):
    """One place that documents come from."""

    kind: Literal["stdlib", "installed", "folder", "git", "jsonl", "parquet", "stack-exchange"]
    path: str = ""
    """A folder (folder); a repository or a folder of them (git); a file or a folder of files (the others). Any of
    them may be an fsspec URL, but for git: s3://bucket/corpus, hf://datasets/owner/name/data."""
    name: str = ""
    """What the source of its documents begins with; empty: the last part of the path."""
    suffix: str = ".py"
    """Which files of a folder or repository are read."""
    revision: str = ""
    """The commit or tag: needed by hf://, HEAD where a git source names none."""
    columns: Dataset = ""
    """A dataset whose names for text, repository, path, licence and stars are known; the next three come on top."""
    text_key: str = ""
    """The JSON key or Parquet column that holds the text; empty: the one of `columns`, else text."""
    meta_keys: tuple[str, ...] = Field((), strict=False)
    """Further keys or columns to keep in meta under their own names."""
    meta_names: dict[str, str] = Field(default_factory=dict)
    """Key or column -> its name in meta; "licence" is the one that dedup looks at."""
    document_kind: Kind = "code"
    first_bytes: int = Field(0, ge=0)
    """Only the first so many bytes, file after file in the order of their names; 0: all. Of a file of records its
    beginning is read, of a dump too: an answer further on is missing then. Other files are read whole, one at least."""
    posts: Posts = Posts()

    @model_validator(mode="after")
    def _revision_is_pinned(self) -> Self:
        if self.path.startswith("hf://") and not self.revision and "@" not in self.path:
            raise ValueError(f"{self.path} needs a revision (a commit or tag), so that it stays the same")
        return self

    @property
    def text_column(self) -> str:
        return self.text_key or COLUMNS[self.columns].text

    @property
    def meta_columns(self) -> Mapping[str, str]:
        """Key or column -> its name in meta."""
        return {**COLUMNS[self.columns].meta, **{key: key for key in self.meta_keys}, **self.meta_names}

    @property
    def place(self) -> str:
        """The path, with its revision where it is on the Hugging Face Hub: hf://datasets/owner/name@revision/..."""
        if not self.path.startswith("hf://") or not self.revision or "@" in self.path:
            return self.path
        kinds = ("datasets", "spaces", "buckets")
        parts = self.path.removeprefix("hf://").split("/")
        end = 3 if parts[0] in kinds else 2
        pinned = "/".join(parts[:end]) + f"@{self.revision.replace('/', '%2F')}"
        return "hf://" + "/".join([pinned, *parts[end:]])

    @property
    def revisions(self) -> Mapping[str, str]:
        """The branch or tag of the Hub that is read, and its commit today."""
        hub = HUB.match(self.path)
        return moving(hub[2], hub[3] or self.revision, hub[1] or "model") if hub else {}

    @property
    def pinned(self) -> Source:
        """The same at that commit, so that what is read stays the same while it is read."""
        commits = () if "@" in self.path else self.revisions.values()
        return next((self.model_copy(update={"revision": commit}) for commit in commits), self)

    @property
    def label(self) -> str:
        """What the source of its documents begins with."""
        path = self.path.rstrip("/")
        return self.name or (path.rpartition("/")[2] if is_url(path) else Path(path).resolve().name)


class Bounds(Config):
    """What a document may look like at most."""

    max_document_bytes: int = Field(1_000_000, ge=1)
    """A larger file or record is dropped as huge."""
    max_line_bytes: int = Field(16_000_000, ge=1_000)
    """A longer line of a JSONL file or dump is dropped unparsed."""
    max_code_line_chars: int = Field(2_000, ge=1)
    """Code with a longer line is dropped as minified."""
    max_mean_line_chars: int = Field(100, ge=1)
    """Code with longer lines on average is dropped as minified."""
    max_literal_share: float = Field(0.7, ge=0, le=1)
    """Code of which strings and numbers are a larger share is dropped as mostly data."""

    @property
    def limits(self) -> Limits:
        return Limits(
            self.max_document_bytes,
            self.max_code_line_chars,
            self.max_mean_line_chars,
            self.max_literal_share,
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file to read, and what is known of it before."""

    source: Source
    found: Found
    meta: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    """Of a file of records: its beginning that is read, to the end of the line or row that it ends in."""


Read = Callable[[Sequence[Candidate], Bounds, Path], Iterator[Document | Drop]]
"""Candidates of one kind, bounds, and a folder for what must wait on disk -> documents and drops."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """How the files of a source are found, and how they are read."""

    find: Callable[[Source], Iterable[Found]]
    read: Read
    records: bool = False
    """A file holds many documents."""
    begins: bool = False
    """Of such a file the beginning can be read alone."""


def needed_path(source: Source) -> Path:
    """The path of a source on this machine; InputError if there is none."""
    path = Path(source.path).expanduser()
    if not source.path or not path.exists():
        raise InputError(
            f"{source.path or 'path'} does not exist; a source of kind {source.kind} needs the path of its input"
        )
    return path


def sieved(document: Document, bounds: Bounds) -> Document | Drop:
    """The document, or why it is none, with the beginning of its text."""
    found = refusal(document.text, bounds.limits, document.kind == "code")
    if found is None:
        return document
    cut = Document(document.text[:KEPT_CHARS], document.source, document.kind, document.meta)
    return Drop(cut, *found)


def quarantined(candidate: Candidate, where: str, data: bytes, why: tuple[str, str]) -> Drop:
    """What could not be read: its first bytes as text, with reason and detail."""
    text = data[: 4 * KEPT_CHARS].decode("utf-8", "replace")[:KEPT_CHARS]
    return Drop(Document(text, where, candidate.source.document_kind, candidate.meta), *why)


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
