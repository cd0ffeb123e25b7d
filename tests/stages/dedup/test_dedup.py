from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from hornbook.core.context import Tools
from hornbook.core.records import Document
from hornbook.core.shards import read_documents, read_table, shards, write_shard
from hornbook.core.workers import Pool
from hornbook.stages.dedup.step import DedupConfig, run

VOCABULARY = [f"word{number}" for number in range(3_000)]


def text(seed: int, words: int = 300) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=words))


def edited(original: str, edits: int, seed: int) -> str:
    """The text with some words replaced: each edit costs up to five of its shingles."""
    draw, words = random.Random(seed), original.split(" ")
    for place in draw.sample(range(len(words)), edits):
        words[place] = f"e{draw.randrange(10**5)}"
    return " ".join(words)


def shingles(document: str) -> set[tuple[str, ...]]:
    words = document.split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def true_jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def dataset(folder: Path, documents: Sequence[Document], per_shard: int = 50) -> Path:
    for number, begin in enumerate(range(0, len(documents), per_shard)):
        write_shard(folder, f"shard-{number:05d}.parquet", documents[begin : begin + per_shard])
    return folder


def dedup(folder: Path, out: Path, tools: Tools | None = None, **settings: object) -> dict[str, float]:
    out.mkdir(exist_ok=True)
    return dict(run(DedupConfig.model_validate(settings), {"documents": folder}, out, tools or Tools()))


def kept(out: Path) -> list[str]:
    return [document.source for document in read_documents(out)]


def dropped(out: Path) -> dict[str, tuple[str, str]]:
    rows = [row for path in shards(out, "dropped") for row in read_table(path).to_pylist()]
    return {row["source"]: (row["reason"], row["detail"]) for row in rows}


def doc(content: str, source: str, **meta: str) -> Document:
    return Document(content, source, "code", meta)


@pytest.fixture(scope="module")
def corpus() -> list[Document]:
    documents = [doc(text(n), f"original/{n}") for n in range(250)]
    documents += [doc(text(n).replace(" ", "\n  "), f"exact/{n}") for n in range(0, 40)]
    documents += [doc(edited(text(n), 1 + n % 40, seed=n), f"near/{n}") for n in range(40, 200)]
    random.Random(1).shuffle(documents)
    return documents


def test_every_pair_is_judged_as_brute_force_judges_it(tmp_path: Path, corpus: list[Document]) -> None:
    counts = dedup(dataset(tmp_path / "in", corpus), tmp_path / "out")
    gone = dropped(tmp_path / "out")
    should = {n for n in range(40, 200) if true_jaccard(text(n), edited(text(n), 1 + n % 40, seed=n)) >= 0.75}
    did = {int(source.partition("/")[2]) for source, (reason, _) in gone.items() if reason == "near_copy"}
    assert did <= should  # no false removal
    assert len(did) >= 0.99 * len(should)
    assert 20 < len(should) < 150
    assert counts["dropped.exact_copy"] == 40
    assert counts["kept"] + counts["dropped"] == len(corpus)


def test_a_drop_names_the_kept_one_and_how_alike_they_are(tmp_path: Path) -> None:
    near = edited(text(1), 5, seed=1)
    documents = [doc(text(1), "a.py"), doc(text(2), "b.py"), doc(near, "c.py"), doc(text(2) + "\n", "d.py")]
    dedup(dataset(tmp_path / "in", documents), tmp_path / "out", keep="first")
    gone = dropped(tmp_path / "out")
    alike = true_jaccard(text(1), near)
    first = "kept is the one that was read first"
    said = f"copy of a.py (id {documents[0].id}), similarity {alike:.3f}; {first}"
    assert gone["c.py"] == ("near_copy", said)
    said = f"copy of b.py (id {documents[1].id}), similarity 1.000; {first}"
    assert gone["d.py"] == ("exact_copy", said)
    clusters = read_table(tmp_path / "out" / "clusters.parquet").to_pylist()
    assert [(row["kept_source"], row["source"]) for row in clusters] == [("a.py", "c.py"), ("b.py", "d.py")]
    facts = orjson.loads((tmp_path / "out" / "dedup.json").read_bytes())
    assert (facts["clusters"], facts["largest_cluster"], facts["true_pairs"]) == (2, 2, 1)


@pytest.mark.parametrize(
    ("keep", "winner", "because"),
    [
        ("first", "a", {"b": "was read first", "c": "was read first"}),
        ("longest", "b", {"a": "is longer", "c": "is longer"}),
        ("licensed-longest", "c", {"a": "has a licence", "b": "has a licence"}),
    ],
)
def test_the_rule_says_which_member_stays_and_why(
    tmp_path: Path, keep: str, winner: str, because: dict[str, str]
) -> None:
    documents = [
        doc(text(1), "a", licence=""),
        doc(text(1) + " more", "b", licence=""),
        doc(edited(text(1), 2, seed=1)[:-20], "c", licence="MIT"),
        doc(text(9), "other"),
    ]
    dedup(dataset(tmp_path / "in", documents, per_shard=1), tmp_path / "out", keep=keep)
    assert kept(tmp_path / "out") == sorted([winner, "other"])
    rows = read_table(tmp_path / "out" / "clusters.parquet").to_pylist()
    assert {row["source"]: row["kept_because"] for row in rows} == because
    assert all(because[source] in detail for source, (_, detail) in dropped(tmp_path / "out").items())


def test_the_reason_holds_for_the_one_that_is_really_kept(tmp_path: Path) -> None:
    """An exact copy may lose to its own twin by order, and the twin to a near copy by its licence."""
    near = edited(text(1), 3, seed=1)
    documents = [
        doc(near, "twin", licence=""),
        doc(near, "gone", licence=""),
        doc(text(1), "a", licence="MIT"),
    ]
    dedup(dataset(tmp_path / "in", documents), tmp_path / "out")
    rows = read_table(tmp_path / "out" / "clusters.parquet").to_pylist()
    assert {row["source"]: row["kept_because"] for row in rows} == dict.fromkeys(
        ("twin", "gone"), "has a licence"
    )


def test_an_exact_copy_of_a_near_copy_points_at_what_is_really_kept(tmp_path: Path) -> None:
    near = edited(text(1), 3, seed=1)
    documents = [doc(text(1) + " longer", "a"), doc(near, "b"), doc(near + " ", "c")]
    dedup(dataset(tmp_path / "in", documents), tmp_path / "out")
    assert kept(tmp_path / "out") == ["a"]
    assert all(detail.startswith("copy of a ") for _, detail in dropped(tmp_path / "out").values())


def test_texts_without_a_shingle_are_compared_exactly_only(tmp_path: Path) -> None:
    documents = [
        doc(content, f"{n}") for n, content in enumerate(["x = 1", "x = 2", "x  = 1", "+", "-", "a b c d e"])
    ]
    dedup(dataset(tmp_path / "in", documents), tmp_path / "out")
    assert kept(tmp_path / "out") == ["1", "2", "3", "4", "5"]


def test_an_empty_dataset_and_one_without_copies_pass_through(tmp_path: Path) -> None:
    empty = dataset(tmp_path / "empty", [])
    write_shard(empty, "shard-00000.parquet", [])
    assert dedup(empty, tmp_path / "out")["kept"] == 0
    documents = [doc(text(n), f"{n}") for n in range(5)]
    assert dedup(dataset(tmp_path / "in", documents), tmp_path / "out2")["dropped"] == 0
    assert (tmp_path / "in/kept/shard-00000.parquet").read_bytes() == (
        tmp_path / "out2/kept/shard-00000.parquet"
    ).read_bytes()


def bytes_of(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.*")) if path.is_file()
    }


def test_workers_and_kills_do_not_change_a_byte(tmp_path: Path, corpus: list[Document]) -> None:
    folder = dataset(tmp_path / "in", corpus)
    one = dedup(folder, tmp_path / "one")
    workers = Pool(2)
    two = dedup(folder, tmp_path / "two", Tools(workers=workers))
    workers.close()
    for path in itertools.chain((tmp_path / "two").glob("counts/*1*"), (tmp_path / "two").glob("kept/*2*")):
        path.unlink()
    assert bytes_of(tmp_path / "one") != bytes_of(tmp_path / "two")
    (tmp_path / "two" / "counts" / "shard-00002.parquet.json").unlink()
    assert one == two == dedup(folder, tmp_path / "two")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_near_copies_may_be_left_alone(tmp_path: Path) -> None:
    documents = [
        doc(text(1), "a"),
        doc(edited(text(1), 3, seed=1), "b"),
        doc(text(1) + "\n", "c"),
        doc("", "d"),
    ]
    counts = dedup(dataset(tmp_path / "in", documents), tmp_path / "out", near=False)
    assert (kept(tmp_path / "out"), counts["dropped.exact_copy"]) == (["b", "c", "d"], 1)
