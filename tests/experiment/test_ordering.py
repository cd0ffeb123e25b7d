from __future__ import annotations

import graphlib

import pytest

from hornbook.experiment.steps import in_order


def test_only_what_has_to_wait_is_moved() -> None:
    assert in_order({"a": [], "late": ["c"], "b": ["a"], "c": [], "d": ["late"]}) == [
        "a",
        "b",
        "c",
        "late",
        "d",
    ]


def test_a_circle_is_an_error() -> None:
    with pytest.raises(graphlib.CycleError):
        in_order({"a": ["b"], "b": ["a"]})
