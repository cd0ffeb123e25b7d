"""Features of texts: numbers in named columns, from which the forest learns what a teacher calls good."""

from __future__ import annotations


def beginning(text: str, chars: int) -> str:
    """The first characters of a text, cut at the end of a line where one is near: what teacher and judge see."""
    if len(text) <= chars:
        return text
    whole_lines = text[:chars].rpartition("\n")[0]
    return whole_lines if len(whole_lines) >= chars // 2 else text[:chars]
