from __future__ import annotations

from hornbook.text.code import parse, self_contained_functions, top_level_functions

MODULE = '''"""A module."""
import os.path
import math as m
from collections import Counter, OrderedDict
import numpy as np
from .near import helper

LIMIT = 3

def mode(values: "list[int]") -> int:
    """Return the most common value.

    >>> mode([1, 2, 2])
    2
    """

    # the first of equals
    return Counter(values).most_common(1)[0][0]

def area(radius, scale=m.pi):
    """Return the area of a circle."""
    def square(x):
        return x * x
    return scale * square(radius)

def folder(path):
    "Return the folder of a path."
    return os.path.dirname(path)

def count_down(n):
    """Return n, n - 1, ... 0; by recursion."""
    return [n] + count_down(n - 1) if n else [0]

def limited(x):
    """Need a name of the module."""
    return min(x, LIMIT)

def foreign(x):
    """Need a package that is not in the standard library."""
    return np.array(x)

def near(x):
    """Need a neighbour."""
    return helper(x)

@property
def decorated(x):
    """Be decorated."""
    return x

def bare(x):
    return x

def empty(x):
    """Do nothing."""
    pass

def inline(x): "Stand on one line."; return x

class Thing:
    def method(self):
        """Be no top-level function."""
        return 1
'''


def test_self_contained_functions_bring_what_they_need_and_run() -> None:
    found = {function.name: function for function in self_contained_functions(MODULE)}
    assert list(found) == ["mode", "area", "folder", "count_down"]
    assert found["mode"].imports == ("from collections import Counter",)
    assert found["area"].imports == ("import math as m",)
    assert found["folder"].imports == ("import os.path",)
    for function in found.values():
        assert function.prompt.endswith("\n")
        exec(compile(function.prompt + function.solution, "<test>", "exec"), space := {})
        assert callable(space[function.name])
    assert space["count_down"](2) == [2, 1, 0]


def test_prompt_ends_after_the_docstring_and_comments_stay_with_the_body() -> None:
    mode = next(self_contained_functions(MODULE))
    assert mode.prompt.endswith('    2\n    """\n')
    assert mode.solution.startswith("    # the first of equals\n")
    assert mode.signature == "def mode(values: 'list[int]') -> int:"
    assert [(e.source, e.want) for e in mode.examples] == [("mode([1, 2, 2])\n", "2\n")]


def test_a_name_the_module_rebinds_is_no_builtin_and_no_import() -> None:
    hidden = "def open(x):\n    'Open.'\n    return x\n\ndef use(x):\n    'Use it.'\n    return open(x)\n"
    assert [f.name for f in self_contained_functions(hidden)] == ["open"]
    rebound = "import json\njson = None\ndef use(x):\n    'Use it.'\n    return json.dumps(x)\n"
    assert not list(self_contained_functions(rebound))
    starred = "from os import *\ndef use(x):\n    'Use it.'\n    return len(x)\n"
    assert not list(self_contained_functions(starred))


def test_top_level_functions_tell_the_names_they_take_from_outside() -> None:
    names = {function.name: function.free_names for function in top_level_functions(MODULE)}
    assert names["limited"] == {"min", "LIMIT"}
    assert names["area"] == {"m"}
    assert "decorated" not in names
    assert "method" not in names


def test_windows_line_ends_and_form_feeds_keep_the_cut_in_place() -> None:
    source = "x = 1\r\n\x0c\r\ndef f(a):\r\n    '''Say a.'''\r\n    return a\r\n"
    (function,) = self_contained_functions(source)
    assert function.prompt + function.solution == "def f(a):\n    '''Say a.'''\n    return a\n"


def test_foreign_code_that_warns_or_breaks_is_silent() -> None:
    assert parse('"\\d" is 1') is not None  # two SyntaxWarnings in a normal parse
    assert parse("print 'old'") is None
    assert parse("a\0b") is None
    assert parse("-" * 100_000 + "1") is None
    assert not list(self_contained_functions("def broken(:\n"))
