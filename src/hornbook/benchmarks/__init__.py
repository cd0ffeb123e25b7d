"""Benchmarks: what is registered here is decontaminated against and evaluated.

A benchmark is named as `humaneval`, or with a file of its form as `mbpp:files/mbpp.jsonl.gz`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from hornbook.benchmarks.humaneval import load_humaneval, load_humaneval_plus
from hornbook.benchmarks.mbpp import load_mbpp, load_mbpp_plus
from hornbook.benchmarks.problem import Problem, problems_hash
from hornbook.benchmarks.recode import load_recode
from hornbook.benchmarks.unconventional import load_unconventional
from hornbook.core.errors import ConfigError

BENCHMARKS: dict[str, Callable[[str], list[Problem]]] = {
    "humaneval": load_humaneval,
    "humaneval_plus": load_humaneval_plus,
    "mbpp": load_mbpp,
    "mbpp_plus": load_mbpp_plus,
    "recode": load_recode,
    "unconventional": load_unconventional,
}
"""Name -> loader; a loader takes the path of a file of its form, or "" for the place where the benchmark lives."""


def load(name: str) -> list[Problem]:
    """The problems of `name` or `name:FILE`; ConfigError for an unknown name, InputError where they cannot be had."""
    kind, path = parts(name)
    return [replace(problem, benchmark=label(name)) for problem in BENCHMARKS[kind](path)]


def parts(name: str) -> tuple[str, str]:
    """`mbpp:FILE` as ("mbpp", "FILE"), `mbpp` as ("mbpp", ""); ConfigError if there is no such benchmark."""
    kind, _, path = name.partition(":")
    if kind not in BENCHMARKS:
        raise ConfigError(
            f"no benchmark {kind!r}; known: {', '.join(sorted(BENCHMARKS))}; each also as NAME:FILE"
        )
    return kind, path


def label(name: str) -> str:
    """What scores of a benchmark are filed under: its name, or for one of a suite's many files the file's."""
    kind, path = parts(name)
    return Path(path).name.split(".")[0] if kind == "recode" and path else kind


def check_names(names: Sequence[str]) -> list[str]:
    """The names if each is a benchmark and no two are filed alike, else ValueError: for the validators of settings."""
    try:
        labels = [label(name) for name in names]
    except ConfigError as error:
        raise ValueError(str(error)) from error
    for at, one in enumerate(labels):
        if one in labels[:at]:
            raise ValueError(f"two of {', '.join(names)} would both be filed as {one}; keep one")
    return list(names)


def benchmark_hashes(names: Iterable[str]) -> dict[str, str]:
    """`benchmark.<label>` -> hash of its problems: what a stage that reads them adds to its identity."""
    return {f"benchmark.{label(name)}": problems_hash(load(name)) for name in names}


__all__ = [
    "BENCHMARKS",
    "Problem",
    "benchmark_hashes",
    "check_names",
    "label",
    "load",
    "parts",
    "problems_hash",
]
