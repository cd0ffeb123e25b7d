"""degrade: a good dataset with a stated share of one fault or several, for experiments that change nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.records import Document, Drop, Kind, documents
from hornbook.core.settings import Config
from hornbook.core.shards import (
    Counts,
    read_documents,
    read_table,
    run_shards,
    shards,
    write_json,
    write_shard,
)
from hornbook.sandbox import Limits
from hornbook.stages.corrupt.corruption import TRIES, Candidate, Dial, Donors, rank, spoiled
from hornbook.stages.corrupt.exercises import misleading_docstring, missing_context, wrong_solution
from hornbook.stages.corrupt.pages import misleading_prose, missing_block, wrong_code

REDUNDANCY = "redundancy"
SKEW = "topic_skew"
TRUTH = "dials.json"
SHOWN_TOPICS = 8


class DegradeConfig(Config):
    """Which dataset, and how far each dial is turned; every record has at most one fault, and its meta says which."""

    dataset: str
    """exercises/NAME or textbooks."""
    wrong_solutions: float = Field(0.0, ge=0, le=1)
    """Share of the records whose solution has a mistake that its tests refute (a page: whose code prints something
    else)."""
    misleading_docstrings: float = Field(0.0, ge=0, le=1)
    """Share whose docstring describes another exercise, whose tests the solution fails (a page: whose prose before the
    code is about another topic)."""
    missing_context: float = Field(0.0, ge=0, le=1)
    """Share in which a part of the solution lies in a function that nothing defines (a page: that lacks a block of code
    that a later one needs)."""
    redundancy: float = Field(0.0, ge=0, le=1)
    """Share that gives way to copies of other records."""
    topic_skew: float = Field(0.0, ge=0, le=1)
    """Share of the records about none of `topics` that goes."""
    topics: tuple[str, ...] = Field((), strict=False)
    """Concepts (of exercises) or areas (of pages) that a skew favours."""
    cpu_seconds: float = Field(1.0, gt=0, le=600)
    """Processor time for one program that proves a fault."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if sum(self.shares().values()) > 1 + 1e-9:
            raise ValueError("the shares of faulty records sum to more than 1; a record has one fault")
        if bool(self.topics) != bool(self.topic_skew):
            raise ValueError("topic_skew and topics belong together: how far, and towards what")
        return self

    def shares(self) -> dict[str, float]:
        """Dial -> share, of the dials that change records."""
        return {name: getattr(self, name) for name in (*DIALS, REDUNDANCY)}


@dataclass(frozen=True)
class DegradeJob:
    """One shard of the dataset."""

    path: Path
    out: Path
    config: DegradeConfig
    seed: int
    sandbox: Callable[..., Any]


def run(config: DegradeConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Write the dataset again with the faults; the ground truth is `spoiled` in meta: dial, change, and the id it had.

    The share holds in every shard to the nearest record, and a higher one spoils the same records and more. What a
    skew removes is dropped with the reason topic_skew. dials.json counts what was asked for and what was done.
    StageError where fewer records can have a fault than are wanted.
    """
    if tools.sandbox is None:
        raise StageError("degrade: no sandbox was given, and a fault is proved by execution")
    if config.topics:
        _check_topics(config, inputs["documents"])
    jobs = {
        path.name: DegradeJob(path, out, config, tools.seed, tools.sandbox)
        for path in shards(inputs["documents"])
    }
    counts = run_shards("degrading", degrade_shard, jobs, out, tools)
    kept = int(counts["kept"])
    told: dict[str, Any] = {}
    for name, share in config.shares().items():
        wanted, done = counts.get(f"wanted.{name}", 0), int(counts.get(f"spoiled.{name}", 0))
        if done < wanted:
            raise StageError(_too_far(name, share, done, kept))
        told[name] = {"asked_share": share, "records": done, "share": done / max(1, kept)}
    gone = int(counts.get(f"dropped.{SKEW}", 0))
    told[SKEW] = {"asked_share": config.topic_skew, "records": gone, "topics": list(config.topics)}
    write_json(out / TRUTH, {"dataset": config.dataset, "records": kept, "dials": told})
    return counts


def _too_far(name: str, share: float, done: int, records: int) -> str:
    most = int(1000 * done / max(1, records)) / 1000
    return (
        f"degrade.{name} is {share}, but only {done} of {records} records can have this fault so that execution proves "
        f"it (for want of tests, or of a version that fails them); lower it to {most} or choose another dataset"
    )


def _topics(document: Document) -> tuple[str, ...]:
    meta = document.meta
    return tuple(meta.get("concepts") or ([meta["area"]] if "area" in meta else []))


def _check_topics(config: DegradeConfig, folder: Path) -> None:
    found: dict[str, int] = {}
    for document in read_documents(folder):
        for topic in _topics(document):
            found[topic] = found.get(topic, 0) + 1
    for topic in set(config.topics) - found.keys():
        most = sorted(found, key=lambda name: (-found[name], name))[:SHOWN_TOPICS]
        raise ConfigError(
            f"degrade.topics names {topic!r}, which no record is about; the commonest are {', '.join(most)}"
        )


def degrade_shard(job: DegradeJob) -> Counts:
    """Degrade one shard: records gone by the skew, then a fault in each record of the wanted shares."""
    config = job.config
    rows = documents(read_table(job.path))
    order = sorted(range(len(rows)), key=lambda row: (rank(str(job.seed), rows[row].id), row))
    gone = _skewed(config, rows, order)
    left = [row for row in order if row not in gone]
    donors = Donors(rows, job.seed)
    new: dict[int, Document] = {}
    counts: dict[str, int] = {}
    with job.sandbox(mode="fast", workers=1, limits=Limits(cpu_seconds=config.cpu_seconds)) as sandbox:
        for name in DIALS:
            wanted = round(getattr(config, name) * len(left))
            found = _spoil(
                name, [(row, rows[row]) for row in left if row not in new], wanted, donors, sandbox
            )
            new |= found
            counts |= {f"wanted.{name}": wanted, f"spoiled.{name}": len(found)}
    copies = _copies(rows, [row for row in left if row not in new], round(config.redundancy * len(left)))
    counts |= {
        f"wanted.{REDUNDANCY}": round(config.redundancy * len(left)),
        f"spoiled.{REDUNDANCY}": len(copies),
    }
    new |= copies
    kept = [new.get(row, document) for row, document in enumerate(rows) if row not in gone]
    detail = f"about none of {', '.join(config.topics)}"
    dropped = [Drop(rows[row], SKEW, detail) for row in sorted(gone)]
    return write_shard(job.out, job.path.name, kept, dropped, {k: n for k, n in counts.items() if n})


def _skewed(config: DegradeConfig, rows: Sequence[Document], order: Sequence[int]) -> set[int]:
    """The rows that a skew removes: of those about none of the topics, the first of the order."""
    others = [row for row in order if not set(_topics(rows[row])) & set(config.topics)]
    return set(others[: round(config.topic_skew * len(others))]) if config.topics else set()


def _copies(rows: Sequence[Document], free: Sequence[int], wanted: int) -> dict[int, Document]:
    """The first rows of the order as copies of the rest, each of which is copied equally often."""
    chosen, rest = free[:wanted], free[wanted:]
    pairs = zip(chosen, cycle(rest), strict=False)
    return {row: spoiled(rows[of], REDUNDANCY, f"a copy of {rows[of].id}", rows[row].id) for row, of in pairs}


def _spoil(
    name: str, records: Sequence[tuple[int, Document]], wanted: int, donors: Donors, sandbox: Any
) -> dict[int, Document]:
    """The first `wanted` records that can have the fault, with it."""
    found: dict[int, Document] = {}
    place = 0
    while len(found) < wanted and place < len(records):
        some = records[place : place + wanted - len(found)]
        place += len(some)
        found |= _proved(name, some, donors, sandbox)
    return found


def _proved(
    name: str, records: Sequence[tuple[int, Document]], donors: Donors, sandbox: Any
) -> dict[int, Document]:
    """Those of the records that have a version whose fault is proved, with the first such version."""
    waiting: dict[int, Iterator[Candidate]] = {
        row: DIALS[name][document.kind](document, donors)
        for row, document in records
        if document.kind in DIALS[name]
    }
    were = {row: document.id for row, document in records}
    found: dict[int, Document] = {}
    for _ in range(TRIES):
        tried = {row: candidate for row, versions in waiting.items() if (candidate := next(versions, None))}
        verdicts = sandbox.verdicts(program for c in tried.values() for program in c.programs)
        for row, candidate in tried.items():
            if candidate.is_proved([next(verdicts) for _ in candidate.programs]):
                found[row] = spoiled(candidate.document, name, candidate.change, were[row])
        waiting = {row: waiting[row] for row in tried if row not in found}
    return found


DIALS: Mapping[str, Mapping[Kind, Dial]] = {
    "wrong_solutions": {"exercise": wrong_solution, "textbook": wrong_code},
    "misleading_docstrings": {"exercise": misleading_docstring, "textbook": misleading_prose},
    "missing_context": {"exercise": missing_context, "textbook": missing_block},
}
"""Setting of the degrade stage -> kind of record -> the dial."""
