"""The paper's own numbers, quoted to stand beside ours and never mixed with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOURCE = "Textbooks Are All You Need, arXiv 2306.11644v2"

PAPER: dict[str, dict[str, float]] = {
    "raw": {"350M": 12.19},
    "filtered": {"350M": 17.68},
    "textbook": {"350M": 20.12, "1.3B": 29.0},
    "finetuned": {"350M": 45.0, "1.3B": 50.6},
}
"""What it was trained on -> parameters -> HumanEval pass@1 in percent (sections 2.1 and 3, figure 2.1)."""

NAMES = {
    "raw": "raw code (The Stack+)",
    "filtered": "filtered code",
    "textbook": "filtered code + textbooks (CodeTextbook)",
    "finetuned": "the same, finetuned on exercises (CodeExercises)",
}


def counterpart(parts: Mapping[str, Any], state: str) -> str:
    """The row of PAPER that a model of this mix and state (base or finetuned) stands beside."""
    if state == "finetuned":
        return "finetuned"
    made = [name for name in parts if name == "textbooks" or name.startswith("exercises/")]
    return "textbook" if made else "filtered" if "filter" in parts else "raw"
