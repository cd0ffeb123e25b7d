from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.records import Document
from hornbook.core.shards import read_json, read_table, shard_name, write_shard
from hornbook.model.sequences import open_rows
from hornbook.model.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from hornbook.stages.tokenize.pack import PackConfig, run

PROMPT = "Write it: def twice(x)"
SOLUTION = ":\n    return x + x\n"
CONFIG = PackConfig(parts={"large": 0.75, "small": 0.25}, tokens=6400, row_tokens=64, heldout_share=0.05)


def _write(folder: Path, documents: list[Document]) -> Path:
    for number, start in enumerate(range(0, len(documents), 60)):
        write_shard(folder, shard_name(number), documents[start : start + 60])
    return folder


@pytest.fixture
def inputs(tmp_path: Path) -> Mapping[str, Path]:
    large = [
        Document(f"def add_{i}(value):\n    return value + {i}\n" * 3, f"large/{i}.py", "code")
        for i in range(300)
    ]
    small = [
        Document(
            f"# {i}\n{PROMPT}{SOLUTION}", f"small/{i}", "exercise", {"prompt_chars": len(f"# {i}\n{PROMPT}")}
        )
        for i in range(40)
    ]
    train_tokenizer([d.text for d in large + small], 320).save(tmp_path / "tokenizer")
    return {
        "tokenizer": tmp_path / "tokenizer",
        "part.large": _write(tmp_path / "large", large),
        "part.small": _write(tmp_path / "small", small),
    }


def _documents(out: Path, tokenizer: Tokenizer) -> list[str]:
    line = open_rows(out).train.reshape(-1).tolist()
    ends = tokenizer.end_of_text
    return [tokenizer.decode(list(ids)) for end, ids in itertools.groupby(line, ends.__eq__) if not end]


def test_rows_hold_whole_documents_end_to_end(inputs: Mapping[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    counts = run(CONFIG, inputs, out, Tools(seed=1))
    rows = open_rows(out)
    assert (rows.train.shape, rows.train.dtype) == ((100, 64), np.uint16)
    assert (counts["rows"], counts["tokens"]) == (100, 6400)
    found = _documents(out, load_tokenizer(inputs["tokenizer"]))
    record = read_table(out / "documents.parquet").to_pylist()
    assert len(found) == len(record)
    for text, row in zip(found[:-1], record, strict=False):
        assert Document(text, "", "code").id == row["id"]
    assert rows.sources([0])[0] == record[0]["source"]


def test_parts_keep_their_shares_and_short_ones_are_repeated_whole(
    inputs: Mapping[str, Path], tmp_path: Path
) -> None:
    run(CONFIG, inputs, tmp_path / "out", Tools(seed=1))
    facts = read_json(tmp_path / "out" / "parts.json")
    assert facts["large"]["tokens"] == pytest.approx(4800, abs=60)
    assert facts["small"]["tokens"] == pytest.approx(1600, abs=60)
    assert facts["small"]["epochs"] == pytest.approx(
        facts["small"]["tokens"] / facts["small"]["distinct_tokens"]
    )
    assert facts["small"]["epochs"] > 1 == facts["large"]["epochs"]
    used = [
        row
        for row in read_table(tmp_path / "out" / "documents.parquet").to_pylist()
        if row["part"] == "small"
    ]
    first = [row["id"] for row in used if row["epoch"] == 0]
    assert len(first) == len(set(first)) >= facts["small"]["documents"] - 1


def test_exercises_are_cut_between_prompt_and_solution(inputs: Mapping[str, Path], tmp_path: Path) -> None:
    run(CONFIG, inputs, tmp_path / "out", Tools(seed=1))
    tokenizer = load_tokenizer(inputs["tokenizer"])
    before, after = tokenizer.encode_pair(PROMPT, SOLUTION)
    assert tokenizer.encode(PROMPT + SOLUTION) != before + after
    line = open_rows(tmp_path / "out").train.reshape(-1).tolist()
    joined = "," + ",".join(map(str, line)) + ","
    tail = ",".join(map(str, [*before[-2:], *after, tokenizer.end_of_text]))
    assert joined.count(f",{tail},") >= 20


def test_held_out_documents_are_in_no_training_row(inputs: Mapping[str, Path], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"heldout_share": 0.2})
    run(config, inputs, tmp_path / "out", Tools(seed=1))
    tokenizer = load_tokenizer(inputs["tokenizer"])
    held = tokenizer.decode(open_rows(tmp_path / "out").heldout.reshape(-1).tolist()).split("<|endoftext|>")
    assert len(held) > 10
    assert set(held[:-1]) & set(_documents(tmp_path / "out", tokenizer)) == set()


def test_the_same_seed_gives_the_same_bytes(inputs: Mapping[str, Path], tmp_path: Path) -> None:
    made = []
    for name, seed in (("x", 1), ("y", 1), ("z", 2)):
        run(CONFIG, inputs, tmp_path / name, Tools(seed=seed))
        made.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert made[0] == made[1]
    assert made[0]["rows.npy"] != made[2]["rows.npy"]


def test_an_empty_dataset_is_an_error(inputs: Mapping[str, Path], tmp_path: Path) -> None:
    empty = _write(tmp_path / "empty", [])
    with pytest.raises(StageError, match="dataset small holds no document"):
        run(CONFIG, {**inputs, "part.small": empty}, tmp_path / "out", Tools())
