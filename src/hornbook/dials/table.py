"""The table of dials that put a fault into one record: what each does to an exercise, and to a page."""

from __future__ import annotations

from collections.abc import Mapping

from hornbook.core.records import Kind
from hornbook.dials.dial import Dial
from hornbook.dials.exercises import misleading_docstring, missing_context, wrong_solution
from hornbook.dials.pages import misleading_prose, missing_block, wrong_code

DIALS: Mapping[str, Mapping[Kind, Dial]] = {
    "wrong_solutions": {"exercise": wrong_solution, "textbook": wrong_code},
    "misleading_docstrings": {"exercise": misleading_docstring, "textbook": misleading_prose},
    "missing_context": {"exercise": missing_context, "textbook": missing_block},
}
"""Setting of the degrade stage -> kind of record -> the dial."""
