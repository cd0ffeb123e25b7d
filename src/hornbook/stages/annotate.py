"""annotate: a teacher judges a sample of documents for their educational value."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from hornbook.core.config import Config
from hornbook.core.errors import StageError
from hornbook.core.records import SCHEMA, Document, documents, documents_table, to_json
from hornbook.core.shards import Counts, read_table, shard_name, shards, write_shard
from hornbook.core.tools import Tools
from hornbook.teachers import Answer, Ask, Failed, FailureCap, Forecast, answer_all, load_prompt

CHOICES = ("Yes", "No")


class AnnotateConfig(Config):
    """Which documents are judged, on how much of their text, by which question."""

    labels: int = Field(120, ge=1)
    """Documents judged; all where there are fewer."""
    excerpt_chars: int = Field(350, ge=50, le=100_000)
    """The teacher sees this much of a document's beginning, cut at the end of a line."""
    prompt: str = "annotate"
    """The question: the name of a prompt that comes with hornbook, or a text file with $excerpt in it."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """The stage stops when more than this share of the answers could not be had or read."""


def identity(config: AnnotateConfig, _cache: Path) -> Mapping[str, str]:
    """The hash of the prompt's text."""
    return {"prompt": load_prompt(config.prompt, ("excerpt",)).sha256}


def asks(config: AnnotateConfig, inputs: Mapping[str, Path], seed: int) -> Forecast:
    """What will be asked; stand-ins of the longest excerpts while there are no documents."""
    if "documents" in inputs:
        return Forecast(_questions(config, draw_sample(inputs["documents"], config.labels, seed)))
    longest = "x = 1\n" * (config.excerpt_chars // 6)
    stand_ins = [Document(f"# {number}\n{longest}", "", "code") for number in range(config.labels)]
    return Forecast(_questions(config, stand_ins), "there are no documents yet")


def _questions(config: AnnotateConfig, sample: Sequence[Document]) -> list[Ask]:
    prompt = load_prompt(config.prompt, ("excerpt",))
    excerpts = (excerpt(document.text, config.excerpt_chars) for document in sample)
    return [Ask(prompt.fill(excerpt=text), choices=CHOICES) for text in excerpts]


@dataclass(frozen=True, slots=True)
class Label:
    """A judgement: the probability of Yes or the failure in its place, and what the teacher said, as JSON."""

    value: float | None
    raw: str
    failed: Failed | None = None


def run(config: AnnotateConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Judge a stratified sample; every sampled document is kept, with columns label, raw and failed.

    `label` is the teacher's probability of Yes among Yes and No (0 to 1), null where there is none: then `failed`
    names the reason. `raw` holds what the teacher said, as JSON, its log-probabilities included.
    """
    assert tools.teacher is not None
    sample = draw_sample(inputs["documents"], config.labels, tools.seed)
    if not sample:
        raise StageError(
            f"annotate: no documents in {inputs['documents']} to judge; look at what dedup dropped"
        )
    questions = _questions(config, sample)
    cap = FailureCap("annotate", len(questions), config.max_failed_share)
    labels: list[Label] = []
    with tools.teacher() as teacher, tools.progress.bar("judging", len(questions), "documents") as bar:
        for answer in answer_all(teacher, questions, on_done=lambda _: bar.advance()):
            labels.append(judge(answer))
            if failed := labels[-1].failed:
                cap.count(failed)
    return _write(out, sample, labels)


def judge(answer: Answer | Failed) -> Label:
    """The label in an answer; `unreadable` where neither Yes nor No, or only one, was among the likely words."""
    if isinstance(answer, Failed):
        return Label(None, to_json({"failed": answer.reason, "detail": answer.detail}), answer)
    raw = to_json({"text": answer.text, "logprobs": dict(answer.logprobs)})
    if set(answer.logprobs) < set(CHOICES):
        return Label(
            None, raw, Failed("unreadable", f"no probability of Yes and No, but {answer.text[:80]!r}")
        )
    logit = answer.logprobs["Yes"] - answer.logprobs["No"]
    return Label(1 / (1 + math.exp(-logit)), raw)


def _write(out: Path, sample: Sequence[Document], labels: Sequence[Label]) -> Counts:
    reasons = [label.failed.reason if label.failed else None for label in labels]
    table = documents_table(sample)
    for name, kind, values in (
        ("label", pa.float64(), [label.value for label in labels]),
        ("raw", pa.string(), [label.raw for label in labels]),
        ("failed", pa.string(), reasons),
    ):
        table = table.append_column(name, pa.array(values, kind))
    failed = Counter(f"failed.{reason}" for reason in reasons if reason)
    return write_shard(out, shard_name(0), table, counts={"labels": len(labels) - failed.total(), **failed})


def excerpt(text: str, chars: int) -> str:
    """The beginning of a text, at most that many characters, cut at the end of a line where one is near."""
    if len(text) <= chars:
        return text
    whole_lines = text[:chars].rpartition("\n")[0]
    return whole_lines if len(whole_lines) >= chars // 2 else text[:chars]


def draw_sample(folder: Path, size: int, seed: int) -> list[Document]:
    """That many documents, spread evenly over packages and, inside a package, over lengths.

    All documents are put in order by package (or first folder), length in powers of two and a seeded hash, and
    every n-th is taken: each stratum is drawn from in proportion to its size.
    """
    places = sorted(
        (_package(source, meta), length.bit_length(), _hash(seed, id_), number, row)
        for number, shard in enumerate(shards(folder))
        for row, (id_, source, meta, length) in enumerate(_heads(shard))
    )
    size = min(size, len(places))
    first = random.Random(f"{seed}:annotate").random()
    taken = [places[int((n + first) * len(places) / size)] for n in range(size)]
    rows: dict[int, list[int]] = {}
    for *_, number, row in taken:
        rows.setdefault(number, []).append(row)
    return [
        document
        for number, shard in enumerate(shards(folder))
        if number in rows
        for document in documents(read_table(shard, SCHEMA.names).take(sorted(rows[number])))
    ]


def _heads(shard: Path) -> Iterator[tuple[str, str, str, int]]:
    table = read_table(shard, ["id", "source", "meta", "text"])
    lengths = pc.utf8_length(table["text"])
    columns = (table["id"], table["source"], table["meta"], lengths)
    return zip(*(column.to_pylist() for column in columns), strict=True)


def _package(source: str, meta: str) -> str:
    return str(orjson.loads(meta).get("package") or source.partition("/")[0])


def _hash(seed: int, id_: str) -> str:
    return hashlib.sha256(f"{seed}:{id_}".encode()).hexdigest()
