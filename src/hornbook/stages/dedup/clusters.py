"""From edges to decisions: which documents go, why, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hornbook.core.shards import read_table
from hornbook.stages.dedup.config import KEEP, Facts, keepers
from hornbook.stages.dedup.pairs import EXACT_GONE, Step, similarities
from hornbook.stages.dedup.partitions import Shuffle, by_hash
from hornbook.stages.dedup.sketch import ROW_BITS, Corpus

MEMBERS, NEAR, EXACT_BY_KEPT, FUNCTIONS = "members", "near", "exact-by-kept", "functions-gone"
DECISIONS, NAMED, CLUSTERS = "decisions", "named", "clusters"
REASONS = ("exact_copy", "near_copy", "copied_functions")


class Labelled(NamedTuple):
    """A step that also reads the components."""

    step: Step
    labels: Shuffle


def split_labels(job: Labelled) -> None:
    """Part of the labels -> rows (document, root), the root's own among them, by document."""
    (_, corpus, part), labels = job
    document, root = labels.column(part, "one", "other")
    roots = np.unique(root)
    document, root = np.concatenate([document, roots]), np.concatenate([root, roots])
    columns = {"document": document, "root": root}
    corpus.shuffle("labels").put(f"{part:06d}", corpus.part_of(document), columns)


def add_facts(step: Step) -> None:
    """Part of the labelled documents -> the same with chars and licensed, by root."""
    _, corpus, part = step
    document, root = np.unique(np.stack(corpus.shuffle("labels").column(part, "document", "root")), axis=1)
    chars, licensed = np.zeros(len(document), np.int64), np.zeros(len(document), bool)
    rows = document & ((1 << ROW_BITS) - 1)
    for shard in np.unique(document >> ROW_BITS).tolist():
        facts, here = corpus.facts(shard), document >> ROW_BITS == shard
        chars[here], licensed[here] = facts["chars"][rows[here]], facts["licensed"][rows[here]]
    columns = {"root": root, "document": document, "chars": chars, "licensed": licensed}
    corpus.shuffle(MEMBERS).put(f"{part:06d}", by_hash(root, corpus.parts), columns)


def choose(step: Step) -> None:
    """Part of the clusters -> (document, kept, won, similarity) of near copies, by document."""
    rule, corpus, part = step
    root, document, chars, licensed = corpus.shuffle(MEMBERS).column(
        part, "root", "document", "chars", "licensed"
    )
    facts: Facts = {"document": document, "chars": chars, "licensed": licensed.astype(bool)}
    gone = keepers(rule.keep, root, facts)
    columns = {**gone, "similarity": similarities(corpus, gone["document"], gone["kept"])}
    corpus.shuffle(NEAR).put(f"{part:06d}", corpus.part_of(gone["document"]), columns)


def exact_by_kept(step: Step) -> None:
    """Part of the exact copies -> the same rows, by the document that they are copies of."""
    _, corpus, part = step
    document, kept, won = corpus.shuffle(EXACT_GONE).column(part, "document", "kept", "won")
    columns = {"document": document, "kept": kept, "won": won}
    corpus.shuffle(EXACT_BY_KEPT).put(f"{part:06d}", corpus.part_of(kept), columns)


def decide(step: Step) -> None:
    """Near copies, and exact copies resolved through them: all point at what is kept in the end, and are put by it."""
    _, corpus, part = step
    near, onward, beaten, similarity = corpus.shuffle(NEAR).column(
        part, "document", "kept", "won", "similarity"
    )
    order = np.argsort(near)
    near, onward, beaten = near[order], onward[order], beaten[order]
    similarity = similarity[order].astype(np.float64)
    exact, kept, won = corpus.shuffle(EXACT_BY_KEPT).column(part, "document", "kept", "won")
    alike = np.ones(len(exact))
    if len(near):
        place = np.minimum(np.searchsorted(near, kept), len(near) - 1)
        moved = near[place] == kept
        kept, alike = np.where(moved, onward[place], kept), np.where(moved, similarity[place], 1.0)
        won = np.where(moved, np.minimum(won, beaten[place]), won)  # keys are compared in their order
    columns = {
        "document": np.concatenate([exact, near]),
        "kept": np.concatenate([kept, onward]),
        "won": np.concatenate([won, beaten]).astype(np.int8),
        "similarity": np.concatenate([alike, similarity]),
        "reason": np.repeat(np.array([0, 1], np.int8), [len(exact), len(near)]),
    }
    corpus.shuffle(DECISIONS).put(f"{part:06d}", corpus.part_of(columns["kept"]), columns)


def name_kept(step: Step) -> None:
    """Part of the decisions by kept document -> the same with its id and source, by the document that goes."""
    _name(step, (DECISIONS, NAMED), ("kept", "document"), ("kept_id", "kept_source"))


def name_gone(step: Step) -> None:
    """Part of the decisions by document -> the same with its own id and source, by kept document."""
    _name(step, (NAMED, CLUSTERS), ("document", "kept"), ("id", "source"))


def _name(step: Step, shuffles: tuple[str, str], columns: tuple[str, str], names: tuple[str, str]) -> None:
    """Give the documents of the first column their names, and pass the rows on by the second."""
    _, corpus, part = step
    table = corpus.shuffle(shuffles[0]).get(part)
    if table.num_rows:
        table = _with_names(corpus, table, columns[0], names)
        where = corpus.part_of(table[columns[1]].to_numpy())
        corpus.shuffle(shuffles[1]).put(f"{part:06d}", where, {n: table[n] for n in table.column_names})


def _with_names(corpus: Corpus, table: pa.Table, column: str, names: tuple[str, str]) -> pa.Table:
    """The table sorted by a column of documents, with the id and source of each."""
    table = table.sort_by(column)
    document = table[column].to_numpy()
    found = []
    for shard in np.unique(document >> ROW_BITS).tolist():
        rows = document[document >> ROW_BITS == shard] & ((1 << ROW_BITS) - 1)
        found.append(read_table(corpus.shards[shard], ["id", "source"]).take(pa.array(rows)))
    ids = pa.concat_tables(found)
    return table.append_column(names[0], ids["id"]).append_column(names[1], ids["source"])


def clusters(keep: str, corpus: Corpus) -> Iterator[pa.Table]:
    """Rows of clusters.parquet with column kept, a cluster's together, a part at a time."""
    for part in range(corpus.parts):
        table = corpus.shuffle(CLUSTERS).get(part)
        if table.num_rows:
            table = table.sort_by([("kept", "ascending"), ("document", "ascending")])
            reasons = pa.array([REASONS[reason] for reason in table["reason"].to_pylist()])
            because = pa.array([_because(keep, won) for won in table["won"].to_pylist()])
            names = ["kept_id", "kept_source", "id", "source", "similarity", "kept"]
            found = table.select(names).append_column("reason", reasons)
            yield found.append_column("kept_because", because)


def _because(keep: str, won: int) -> str:
    """What the kept one does better; empty where it is not the only one that was compared."""
    return KEEP[keep].because[won] if won >= 0 else ""


def gone_from(keep: str, corpus: Corpus, shard: int) -> dict[int, tuple[str, str]]:
    """Row -> (reason, detail) of the documents of a shard that go."""
    table = corpus.shuffle(NAMED).get(corpus.part_of_shard(shard))
    if not table.num_rows:
        return {}
    here = table["document"].to_numpy() >> ROW_BITS == shard
    found = {}
    for row in table.filter(pa.array(here)).to_pylist():
        said = f"copy of {row['kept_source']} (id {row['kept_id']}), similarity {row['similarity']:.3f}; "
        said += f"kept is the one that {_because(keep, row['won'])}"
        if row["reason"] == REASONS.index("copied_functions"):
            share = f"{row['similarity']:.0%} of its functions' text stands in other documents"
            said = f"{share}, most of it in {row['kept_source']} (id {row['kept_id']})"
        found[row["document"] & ((1 << ROW_BITS) - 1)] = (REASONS[row["reason"]], said)
    return found
