"""An order in which work can be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """The keys, each after those that it needs, and else as they come."""
    order = TopologicalSorter(needs)
    order.prepare()
    waiting = dict.fromkeys(needs)
    ready: set[str] = set()
    found: list[str] = []
    while waiting:
        ready |= set(order.get_ready())
        first = next(key for key in waiting if key in ready)
        del waiting[first]
        found.append(first)
        order.done(first)
    return found
