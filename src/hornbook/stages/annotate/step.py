"""annotate: a teacher judges a sample of documents for their educational value."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.records import SCHEMA, Document, documents, documents_table, to_json
from hornbook.core.settings import Config
from hornbook.core.shards import Counts, count_rows, read_table, shard_name, shards, write_json, write_shard
from hornbook.stages.annotate.agreement import agreement
from hornbook.teachers import (
    Answer,
    Ask,
    Failed,
    FailureCap,
    Forecast,
    Part,
    Prompt,
    Reasking,
    Teacher,
    answer_all,
    load_prompt,
    read_json,
)
from hornbook.text.excerpt import beginning
from hornbook.text.topics import origin

CHOICES = ("Yes", "No")
POINTS = 5
PROMPTS = {"yes_no": "annotate", "rubric": "annotate-rubric"}
SCHEMA_OF_RUBRIC = to_json(
    {
        "type": "object",
        "properties": {
            "reason": {"type": "string"},
            "score": {"type": "integer", "minimum": 0, "maximum": POINTS},
        },
        "required": ["reason", "score"],
        "additionalProperties": False,
    }
)
AGREEMENT = "agreement.json"
QUICK_DOCUMENTS = 200_000
"""Of more, a plan does not draw the sample."""


class AnnotateConfig(Config):
    """Which documents are judged, on how much of their text, by which question."""

    mode: Literal["yes_no", "rubric"] = "yes_no"
    """yes_no: the label is the probability of Yes, which a small teacher can give. rubric: 0 to 5 with a reason, for a
    teacher that can argue."""

    labels: int = Field(120, ge=1)
    """Documents judged, and so the budget of labels; all documents where there are fewer."""
    excerpt_chars: int = Field(350, ge=50, le=100_000)
    """The teacher sees this much of a document's beginning, cut at the end of a line."""
    prompt: str = ""
    """The question: the name of a prompt that comes with hornbook, or a text file with $excerpt in it; empty: the
    mode's own, annotate or annotate-rubric."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Of a rubric's answers; above 0 the seed matters."""
    max_answer_tokens: int = Field(160, ge=16)
    """Of a rubric's answer: its reason is one sentence."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """The stage stops when more than this share of the answers could not be had or read."""


class AgainConfig(Config):
    """The same documents judged a second time: how far does an annotator agree with itself, or with another?"""

    labels: int = Field(50, ge=2)
    """Of the documents that annotate judged, so many are judged again, spread as evenly."""
    teacher: str = ""
    """Another model; empty: the recipe's teacher."""
    prompt: str = ""
    """Another wording of the question; empty: annotate's."""
    temperature: float | None = Field(None, ge=0, le=2)
    """Another temperature; unset: annotate's."""

    @model_validator(mode="after")
    def _asks_something_else(self) -> Self:
        if not (self.teacher or self.prompt or self.temperature is not None):
            raise ValueError(
                "the same question to the same teacher has the same answer: set teacher, prompt or temperature"
            )
        return self

    def instead_of(self, first: AnnotateConfig) -> AnnotateConfig:
        """What the second judging is configured as."""
        changed = {"labels": self.labels, "prompt": self.prompt or first.prompt}
        if self.temperature is not None:
            changed["temperature"] = self.temperature
        return first.model_copy(update=changed)


def identity(config: AnnotateConfig, _cache: Path) -> Mapping[str, str]:
    """The hash of the prompt's text."""
    return {"prompt": _prompt(config).sha256}


def _prompt(config: AnnotateConfig) -> Prompt:
    return load_prompt(config.prompt or PROMPTS[config.mode], ("excerpt",))


def asks(config: AnnotateConfig, inputs: Mapping[str, Path], seed: int) -> Forecast:
    """What will be asked; stand-ins of the longest excerpts while there are no documents, or too many to draw from."""
    folder = inputs.get("documents")
    if folder is not None and count_rows(folder) <= QUICK_DOCUMENTS:
        sample = draw_sample(folder, config.labels, seed)
        return Forecast.of(list(_questions(config, (document.text for document in sample), seed)))
    longest = "x = 1\n" * (config.excerpt_chars // 6)
    guess = "drawing from so many documents takes long" if folder else "there are no documents yet"

    def stand_in(number: int) -> Ask:
        return next(_questions(config, [f"# {number}\n{longest}"], seed))

    return Forecast((Part(config.labels, stand_in),), guess)


def _questions(config: AnnotateConfig, texts: Iterable[str], seed: int) -> Iterator[Ask]:
    prompt, settings = _prompt(config), dict[str, Any](choices=CHOICES)
    if config.mode == "rubric":
        settings = {
            "max_answer_tokens": config.max_answer_tokens,
            "schema": SCHEMA_OF_RUBRIC,
            "temperature": config.temperature,
            "seed": seed if config.temperature else 0,
        }
    for text in texts:
        yield Ask(prompt.fill(excerpt=beginning(text, config.excerpt_chars)), **settings)


@dataclass(frozen=True, slots=True)
class Label:
    """A judgement: its number or the failure in its place, the teacher's reason, and all it said, as JSON."""

    value: float | None
    raw: str
    failed: Failed | None = None
    reason: str = ""


def run(config: AnnotateConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Judge a stratified sample; every sampled document is kept, with columns label, why, raw and failed.

    `label` is the teacher's probability of Yes among Yes and No (0 to 1), or its score (0 to 5) by the rubric, and
    `why` the reason it gave with that; null where there is none: then `failed` names what went wrong. `raw` holds what
    the teacher said, as JSON. Documents that carry labels already are judged again: agreement.json says how far the
    two judgements agree, and `first` is the label they came with.
    """
    assert tools.teacher is not None
    sample = draw_sample(inputs["documents"], config.labels, tools.seed)
    if not sample:
        raise StageError(
            f"annotate: no documents in {inputs['documents']} to judge; look at what dedup dropped"
        )
    questions = list(_questions(config, (document.text for document in sample), tools.seed))
    cap = FailureCap("annotate", len(questions), config.max_failed_share)
    labels: list[Label] = []
    with tools.teacher() as opened, tools.progress.bar("judging", len(questions), "documents") as bar:
        teacher: Teacher = Reasking(opened, _checked) if config.mode == "rubric" else opened
        for answer in answer_all(teacher, questions, on_done=lambda _: bar.advance()):
            labels.append(READERS[config.mode](answer))
            if failed := labels[-1].failed:
                cap.count(failed)
    first = _first_labels(inputs["documents"])
    if first:
        _write_agreement(config, out, [first.get(d.id) for d in sample], labels, tools.seed)
    return _write(out, sample, labels, first)


def _checked(value: Any) -> dict[str, Any]:
    """A rubric's answer; ValueError says what is wrong with it."""
    if not isinstance(value, dict) or not value.keys() >= {"score", "reason"}:
        raise ValueError("an object with reason and score is wanted")
    score = value["score"]
    if isinstance(score, bool) or not isinstance(score, int) or not 0 <= score <= POINTS:
        raise ValueError(f"score is {score!r}; it should be a whole number from 0 to {POINTS}")
    return {"score": score, "reason": str(value["reason"]).strip()}


def read_yes_no(answer: Answer | Failed) -> Label:
    """The label in an answer; `unreadable` where neither Yes nor No, or only one, was among the likely words."""
    if isinstance(answer, Failed):
        return _failed(answer)
    raw = to_json({"text": answer.text, "logprobs": dict(answer.logprobs)})
    if not answer.logprobs.keys() >= set(CHOICES):
        return Label(
            None, raw, Failed("unreadable", f"no probability of Yes and No, but {answer.text[:80]!r}")
        )
    logit = answer.logprobs["Yes"] - answer.logprobs["No"]
    return Label(1 / (1 + math.exp(-logit)), raw)


def read_rubric(answer: Answer | Failed) -> Label:
    """The score and the reason in an answer, and the whole of it as it came."""
    if isinstance(answer, Failed):
        return _failed(answer)
    said = read_json(answer.text, _checked)
    if isinstance(said, Failed):
        return _failed(said)
    return Label(float(said.value["score"]), to_json({"text": answer.text}), reason=said.value["reason"])


def _failed(answer: Failed) -> Label:
    return Label(None, to_json({"failed": answer.reason, "detail": answer.detail}), answer)


READERS: dict[str, Callable[[Answer | Failed], Label]] = {"yes_no": read_yes_no, "rubric": read_rubric}


def _first_labels(folder: Path) -> dict[str, float]:
    """Document -> the label it carries; none where the documents were never judged."""
    return {
        row["id"]: row["label"]
        for path in shards(folder)
        if "label" in pq.read_schema(path).names
        for row in read_table(path, ["id", "label"]).to_pylist()
        if row["label"] is not None
    }


def _write_agreement(
    config: AnnotateConfig, out: Path, first: Sequence[float | None], labels: Sequence[Label], seed: int
) -> None:
    both = [
        (before, label.value)
        for before, label in zip(first, labels, strict=True)
        if before is not None and label.value is not None
    ]
    points = POINTS if config.mode == "rubric" else 0
    found = agreement([a for a, _ in both], [b for _, b in both], points, seed)
    write_json(out / AGREEMENT, {**found, "prompt": config.prompt, "pairs": both})


def _write(
    out: Path, sample: Sequence[Document], labels: Sequence[Label], first: Mapping[str, float]
) -> Counts:
    reasons = [label.failed.reason if label.failed else None for label in labels]
    table = documents_table(sample)
    for name, kind, values in (
        ("label", pa.float64(), [label.value for label in labels]),
        ("why", pa.string(), [label.reason or None for label in labels]),
        ("raw", pa.string(), [label.raw for label in labels]),
        ("failed", pa.string(), reasons),
    ):
        table = table.append_column(name, pa.array(values, kind))
    if first:
        table = table.append_column("first", pa.array([first.get(d.id) for d in sample], pa.float64()))
    failed = Counter(f"failed.{reason}" for reason in reasons if reason)
    return write_shard(out, shard_name(0), table, counts={"labels": len(labels) - failed.total(), **failed})


def draw_sample(folder: Path, size: int, seed: int) -> list[Document]:
    """That many documents, spread evenly over packages and, inside a package, over lengths.

    All documents are put in order by package (or first folder), length in powers of two and a seeded hash, and
    every n-th is taken: each stratum is drawn from in proportion to its size.
    """
    paths = shards(folder)
    order = _in_order(paths, seed)
    size = min(size, len(order))
    first = random.Random(f"{seed}:annotate").random()
    places = [int((n + first) * len(order) / size) for n in range(size)]
    taken = order.take(pa.array(places, pa.int64()))
    rows: dict[int, list[int]] = {}
    for number, row in zip(taken["shard"].to_pylist(), taken["row"].to_pylist(), strict=True):
        rows.setdefault(number, []).append(row)
    return [
        document
        for number in sorted(rows)
        for document in documents(read_table(paths[number], SCHEMA.names).take(sorted(rows[number])))
    ]


def _in_order(paths: Sequence[Path], seed: int) -> pa.Table:
    """Shard and row of all documents, in order of their strata; in memory, some 130 bytes of each."""
    schema = pa.schema(
        [
            ("origin", pa.string()),
            ("bits", pa.int8()),
            ("hash", pa.uint64()),
            ("shard", pa.int32()),
            ("row", pa.int32()),
        ]
    )
    parts = [pa.table(_strata(path, number, seed), schema) for number, path in enumerate(paths)]
    table = pa.concat_tables(parts) if parts else schema.empty_table()
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in schema.names])
    return table.select(["shard", "row"]).take(order)


def _strata(path: Path, number: int, seed: int) -> dict[str, Any]:
    """What a shard's documents are put in order by."""
    table = read_table(path, ["id", "source", "meta", "text"])
    about = zip(table["source"].to_pylist(), table["meta"].to_pylist(), strict=True)
    return {
        "origin": [origin(source, orjson.loads(meta)) for source, meta in about],
        "bits": [length.bit_length() for length in pc.utf8_length(table["text"]).to_pylist()],
        "hash": [_hash(seed, id_) for id_ in table["id"].to_pylist()],
        "shard": [number] * len(table),
        "row": range(len(table)),
    }


def _hash(seed: int, id_: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{id_}".encode()).digest()[:8], "big")
