from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa

from hornbook.core.context import Tools
from hornbook.core.records import Document
from hornbook.core.shards import write_shard
from hornbook.stages.dedup.config import Rule
from hornbook.stages.dedup.sketch import Corpus, Sets, exact_hashes, sketch
from hornbook.stages.dedup.step import DedupConfig, run


def hashes(*texts: str) -> list[int]:
    return exact_hashes(pa.chunked_array([pa.array(texts, pa.string())])).tolist()


def test_runs_of_blanks_count_as_one_and_nothing_else_does() -> None:
    same = hashes("a b", "a  b", " a\n\tb\r\n", "a\fb", "\na b\n")
    assert len(set(same)) == 1
    others = hashes("ab", "a b c", "A b", "a\u00a0b", "é", "", "x" * 100_000)
    assert len({*same, *others}) == 8
    assert hashes("a b", "  ", "\n")[1:] == hashes("", "")


def test_a_slice_of_a_column_has_the_hashes_of_its_texts() -> None:
    texts = [f"text {n}\n" * n for n in range(20)]
    column = pa.array(texts)
    assert exact_hashes(pa.chunked_array([column[3:7], column[7:9]])).tolist() == hashes(*texts)[3:9]


def test_a_sketch_holds_what_is_needed_of_its_documents(tmp_path: Path) -> None:
    documents = [
        Document("one two three four five six", "a", "code", {"licence": "MIT"}),
        Document("é x", "b", "code", {"licence": ""}),
        Document("one two three four five", "c", "code", {"licence": ["MIT", "ISC"]}),
        Document("", "d", "code", {"licence": None}),
    ]
    write_shard(tmp_path / "in", "shard-00000.parquet", documents)
    (tmp_path / "work").mkdir()
    corpus = Corpus.of(tmp_path / "in", tmp_path / "work")
    sketch((Rule(), corpus, 0))
    facts = corpus.facts(0)
    assert facts["chars"].tolist() == [27, 3, 23, 0]
    assert facts["licensed"].tolist() == [True, False, True, False]
    assert facts["shingles"].tolist() == [2, 0, 1, 0]
    sets = [Sets(corpus).of(int(number)) for number in facts["document"]]
    assert sets[2][0] in sets[0]
    assert np.array_equal(corpus.keys(0)[1], corpus.keys(0)[3])
    assert corpus.keys(0).shape == (4, Rule().bands[0])


def test_where_clean_licences_are_named_no_other_counts(tmp_path: Path) -> None:
    licences = ["MIT", "GPL-3.0", ["MIT", "ISC"], ["MIT", "GPL-3.0"], "", []]
    documents = [Document(f"{n}", f"{n}", "code", {"licence": name}) for n, name in enumerate(licences)]
    write_shard(tmp_path / "in", "shard-00000.parquet", documents)
    (tmp_path / "work").mkdir()
    corpus = Corpus.of(tmp_path / "in", tmp_path / "work")
    sketch((Rule(clean_licences=("MIT", "ISC")), corpus, 0))
    assert corpus.facts(0)["licensed"].tolist() == [True, False, True, False, False, False]


def test_what_travels_to_a_worker_does_not_grow_with_the_dataset(tmp_path: Path) -> None:
    sizes = []
    for count in (1, 40):
        folder = tmp_path / f"in-{count:02}"
        for number in range(count):
            write_shard(folder, f"shard-{number:05d}.parquet", [Document("x", "a", "code")])
        corpus = Corpus.of(folder, tmp_path)
        assert len(corpus.shards) == count
        sizes.append(len(pickle.dumps(corpus)))
    assert sizes[0] == sizes[1]


def test_a_sketch_that_never_reached_the_disk_is_made_again(tmp_path: Path) -> None:
    documents = [
        Document(f"def f{n // 2}(x):\n    return x + {n // 2}\n" * 9, f"{n}", "code") for n in range(10)
    ]
    write_shard(tmp_path / "in", "shard-00000.parquet", documents)
    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    (tmp_path / "resumed" / "work").mkdir()
    (tmp_path / "resumed" / "work" / "shard-00000.arrow").touch()
    inputs = {"documents": tmp_path / "in"}
    counts = [run(DedupConfig(), inputs, tmp_path / name, Tools()) for name in ("whole", "resumed")]
    assert counts[0] == counts[1]
    assert counts[0]["dropped.exact_copy"] == 5
