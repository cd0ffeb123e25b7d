"""Benchmarks: what is registered here is decontaminated against and evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hornbook.benchmarks.humaneval import load_humaneval
from hornbook.benchmarks.problem import Problem, problems_hash
from hornbook.core.errors import ConfigError

BENCHMARKS: dict[str, Callable[[], list[Problem]]] = {
    "humaneval": load_humaneval,
}


def load(name: str) -> list[Problem]:
    """The problems of one benchmark; ConfigError names the known ones if there is none of that name."""
    if name not in BENCHMARKS:
        raise ConfigError(f"there is no benchmark {name}; known: {', '.join(sorted(BENCHMARKS))}")
    return BENCHMARKS[name]()


def benchmark_hashes(names: Iterable[str]) -> dict[str, str]:
    """`benchmark.<name>` -> hash of its problems: what a stage that reads them adds to its identity."""
    return {f"benchmark.{name}": problems_hash(load(name)) for name in names}


__all__ = ["BENCHMARKS", "Problem", "benchmark_hashes", "load", "problems_hash"]
