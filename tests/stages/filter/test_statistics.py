"""Statistics of code: the same columns for any text, and each says what its name says."""

from __future__ import annotations

import math

import pytest

from hornbook.stages.filter.statistics import code_statistics, comment_density

MODULE = '''"""A module."""
import os.path
import numpy as np
from .near import helper

def mode(values: "list[int]") -> int:
    """Return the most common value."""
    # the first of equals
    return max(values, key=values.count)
'''


def test_statistics_have_the_same_finite_keys_for_any_text() -> None:
    texts = [MODULE, "", "not python (", "\0", "x" * 50_000, "é = 1\n" * 3, MODULE * 50]
    rows = [code_statistics(text) for text in texts]
    assert len({tuple(row) for row in rows}) == 1
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert [row["parses"] for row in rows] == [1, 1, 0, 0, 1, 1, 1]


def test_statistics_tell_documented_code_from_data() -> None:
    documented = code_statistics(MODULE)
    data = code_statistics("TABLE = {" + ", ".join(f"'{n:x}': {n}" for n in range(3_000)) + "}\n")
    assert documented["documented_share"] > 0.5
    assert documented["node_function_share"] > data["node_function_share"]
    assert data["node_literal_share"] > 0.4 > documented["node_literal_share"]
    assert data["line_chars_max"] > 10_000
    nested = code_statistics(
        "def f():\n    for a in b:\n        if a:\n            while a:\n                a()\n"
    )
    assert nested["nesting_max"] == 4


def test_statistics_of_a_long_file_read_its_beginning() -> None:
    function = "def f(a):\n    '''Say a.'''\n    return a\n\n\n"
    short, long = code_statistics(function * 300), code_statistics(function * 3_000)
    assert short["documented_share"] == long["documented_share"] == 1
    assert abs(short["node_return_share"] - long["node_return_share"]) < 0.001
    assert long["log_chars"] > short["log_chars"]


def test_comments_and_docstrings_are_told_from_strings_and_from_each_other() -> None:
    source = 'x = "# no comment"  # one\ny = """no docstring"""\n\n\ndef f():\n    r"""It is one."""\n'
    found = code_statistics(source)
    assert found["comment_share"] == pytest.approx(len("# one") / len(source))
    assert found["docstring_share"] == pytest.approx(len('"""It is one."""') / len(source))
    assert found["string_share"] == pytest.approx(
        len('"# no comment""""no docstring""""""It is one."""') / len(source)
    )
    assert comment_density(source) == pytest.approx(found["comment_share"] + found["docstring_share"])
    assert comment_density("") == 0
    assert comment_density("# don't\nx = 'it'\n") == pytest.approx(
        len("# don't") / len("# don't\nx = 'it'\n")
    )


def test_imports_are_counted_by_module_and_by_whether_everybody_has_them() -> None:
    found = code_statistics(MODULE)
    assert found["imported_modules"] == 3
    assert found["standard_import_share"] == pytest.approx(1 / 3)
