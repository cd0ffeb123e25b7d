"""The hash of a file's contents."""

from __future__ import annotations

from pathlib import Path

import xxhash


def file_hash(path: Path) -> str:
    """128-bit XXH3 as 32 hex digits, in bounded memory."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
