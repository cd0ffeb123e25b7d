"""Text of others on a terminal."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What could move a terminal's cursor, or reorder what it shows."""


def harmless(text: str) -> str:
    """A text whose control characters are shown, not sent."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)
