"""Functions that stand in several files: of a file, how much of its functions' text better files have too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import numpy as np
import xxhash

from hornbook.core.shards import read_table
from hornbook.stages.dedup.clusters import DECISIONS, FUNCTIONS, NEAR, REASONS
from hornbook.stages.dedup.config import KEEP, Facts, Rule
from hornbook.stages.dedup.pairs import EXACT_GONE, Step
from hornbook.stages.dedup.partitions import Numbers, by_hash, groups
from hornbook.stages.dedup.sketch import Corpus
from hornbook.text.code import parse

BODIES, COPIES = "functions", "functions-copied"


def function_texts(source: str) -> Iterator[str]:
    """The functions and methods of a module, each with its runs of blanks as one space."""
    tree = parse(source)
    lines = re.split("\r\n?|\n", source)  # as the parser counts them
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))] if tree else []
    for body in bodies:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield " ".join(" ".join(lines[node.lineno - 1 : node.end_lineno]).split())


def scatter_functions(step: Step) -> None:
    """Part of the shards -> the functions of their code that is kept so far, by hash of their text."""
    rule, corpus, part = step
    gone = np.concatenate([corpus.shuffle(name).column(part, "document")[0] for name in (EXACT_GONE, NEAR)])
    found = [_functions(rule, corpus, shard, gone) for shard in corpus.shards_of(part)]
    columns = {name: np.concatenate([table[name] for table in found]) for name in found[0]}
    where = by_hash(columns["function"], corpus.parts)
    corpus.shuffle(BODIES).put(f"{part:06d}", where, columns)


def _functions(rule: Rule, corpus: Corpus, shard: int, gone: Numbers) -> Facts:
    """Of each function of a shard: its hash and size, and what is known of its document."""
    facts = corpus.facts(shard)
    rows: list[tuple[int, int, int, int]] = []
    texts = read_table(corpus.shards[shard], ["text", "kind"]).to_pylist()
    for row in np.flatnonzero(~np.isin(facts["document"], gone)).tolist():
        if texts[row]["kind"] != "code":
            continue
        found = [t for t in function_texts(texts[row]["text"]) if len(t) >= rule.min_function_chars]
        whole = sum(map(len, found))
        rows += [(_hash(text), row, len(text), whole) for text in found]
    row_numbers = np.array([row for _, row, *_ in rows], np.int64)
    return {
        "function": np.array([hash_ for hash_, *_ in rows], np.uint64),
        **{name: facts[name][row_numbers] for name in ("document", "chars", "licensed")},
        "size": np.array([size for *_, size, _ in rows], np.int64),
        "whole": np.array([whole for *_, whole in rows], np.int64),
    }


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def find_functions(step: Step) -> int:
    """Part of the functions -> (document, kept, size, whole) where a better document has one too, by document."""
    rule, corpus, part = step
    names = ("function", "document", "chars", "licensed", "size", "whole")
    table = dict(zip(names, corpus.shuffle(BODIES).column(part, *names), strict=True))
    table["licensed"] = table["licensed"].astype(bool)
    order = np.lexsort((*reversed(KEEP[rule.keep].keys(table)), table["function"]))
    begins, run = groups(table["function"][order])
    kept = table["document"][order][begins][run]
    copied = kept != table["document"][order]
    columns = {name: table[name][order][copied] for name in ("document", "size", "whole")}
    where = corpus.part_of(columns["document"])
    corpus.shuffle(COPIES).put(f"{part:06d}", where, {**columns, "kept": kept[copied]})
    return int(copied.sum())


def judge_functions(step: Step) -> None:
    """Part of the copied functions by document -> decisions on those with too large a share of them, by kept."""
    rule, corpus, part = step
    document, size, whole, kept = corpus.shuffle(COPIES).column(part, "document", "size", "whole", "kept")
    order = np.lexsort((kept, document))
    document, size, whole, kept = document[order], size[order], whole[order], kept[order]
    gone: list[tuple[int, int, float]] = []
    begins, _ = groups(document)
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(document)], strict=False):
        share = float(size[begin:end].sum() / whole[begin])
        if share >= rule.copied_functions:
            names, place = np.unique(kept[begin:end], return_inverse=True)
            most = int(names[np.bincount(place, weights=size[begin:end]).argmax()])
            gone.append((int(document[begin]), most, share))
    stays = np.array([k for _, k, _ in gone], np.int64)
    columns = {
        "document": np.array([d for d, _, _ in gone], np.int64),
        "kept": stays,
        "won": np.full(len(gone), -1, np.int8),
        "similarity": np.array([s for *_, s in gone], np.float64),
        "reason": np.full(len(gone), REASONS.index("copied_functions"), np.int8),
    }
    corpus.shuffle(DECISIONS).put(f"{FUNCTIONS}-{part:06d}", corpus.part_of(stays), columns)
