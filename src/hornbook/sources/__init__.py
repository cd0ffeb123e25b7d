"""Where documents come from: a kind of source says how its files are found and how one is read."""

from hornbook.sources.files import find_folder, find_installed, find_stdlib, read_files
from hornbook.sources.git import find_git, read_git
from hornbook.sources.records import find_jsonl, find_parquet, read_jsonl, read_parquet
from hornbook.sources.source import Bounds, Candidate, Posts, Source, SourceKind
from hornbook.sources.stack_exchange import find_posts, read_posts

KINDS: dict[str, SourceKind] = {
    "stdlib": SourceKind(find_stdlib, read_files),
    "installed": SourceKind(find_installed, read_files),
    "folder": SourceKind(find_folder, read_files),
    "git": SourceKind(find_git, read_git),
    "jsonl": SourceKind(find_jsonl, read_jsonl, records=True, begins=True),
    "parquet": SourceKind(find_parquet, read_parquet, records=True, begins=True),
    "stack-exchange": SourceKind(find_posts, read_posts, records=True),
}

__all__ = ["KINDS", "Bounds", "Candidate", "Posts", "Source", "SourceKind"]
