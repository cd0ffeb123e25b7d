"""What a branch or tag of the Hugging Face Hub stands for today: a commit, which never changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from hornbook.core.errors import InputError, first_line

COMMIT = re.compile(r"[0-9a-f]{40}")

REASONS = {
    "GatedRepoError": "it is gated: accept its terms there, then log in with `hf auth login`",
    "RepositoryNotFoundError": "there is none of that name, or you may not see it",
    "RevisionNotFoundError": "it has no such branch, tag or commit",
}
"""What the client's errors mean, whose texts begin with a number."""


@lru_cache(maxsize=256)
def commit_of(name: str, revision: str, kind: str = "model") -> str:
    """The commit of a repository (`owner/name`, of kind model or dataset): one answer for the whole process.

    Without a network, what its client last fetched under that revision. InputError where nobody knows.
    """
    if COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    try:
        return str(HfApi().repo_info(name, revision=revision, repo_type=kind).sha)
    except HFValidationError as error:
        raise InputError(
            f"{name} is neither a folder nor a name on the Hugging Face Hub, as in owner/name"
        ) from error
    except Exception as error:  # the client's, the network's, the server's
        fetched = _last_fetched(name, revision, kind)
        if fetched:
            return fetched
        reason = REASONS.get(type(error).__name__) or first_line(error)
        raise InputError(
            f"{revision} of the {kind} {name} cannot be looked up on the Hugging Face Hub ({reason}); check the "
            "spelling, the access and the network, or name a commit"
        ) from error


def moving(name: str, revision: str, kind: str = "model") -> Mapping[str, str]:
    """`name@revision` -> its commit today, where the revision is none itself; else nothing."""
    return {} if COMMIT.fullmatch(revision) else {f"{name}@{revision}": commit_of(name, revision, kind)}


def _last_fetched(name: str, revision: str, kind: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    path = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type=kind) / "refs" / revision
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
