from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.records import Document
from hornbook.core.shards import read_json, shard_name, write_shard
from hornbook.model.tokenizer import load_tokenizer
from hornbook.stages.tokenize.tokenizer import TokenizerConfig, identity, run, sample


def _dataset(folder: Path, texts: list[str]) -> Path:
    for number, start in enumerate(range(0, len(texts), 50)):
        chosen = [Document(text, "test", "code") for text in texts[start : start + 50]]
        write_shard(folder, shard_name(number), chosen)
    return folder


@pytest.fixture
def inputs(tmp_path: Path) -> Mapping[str, Path]:
    words = ["".join(chr(97 + int(digit)) for digit in str(7919 * i)) for i in range(100)]
    long = [f"def {word}(value):\n    return value + {i}\n" * 20 for i, word in enumerate(words)]
    short = [f"class Short{i}:\n    pass\n" for i in range(120)]
    return {"part.a": _dataset(tmp_path / "a", long), "part.b": _dataset(tmp_path / "b", short)}


def test_it_trains_on_as_much_of_each_dataset(inputs: Mapping[str, Path], tmp_path: Path) -> None:
    config = TokenizerConfig(vocabulary=400, sample_bytes=4000)
    counts = run(config, inputs, tmp_path / "out", Tools(seed=1))
    taken = read_json(tmp_path / "out" / "sample.json")["bytes"]
    assert 2000 <= taken["a"] < 3000
    assert 2000 <= taken["b"] < 2100
    assert counts["vocabulary"] == load_tokenizer(tmp_path / "out").vocabulary <= 400


def test_the_same_seed_gives_the_same_bytes(inputs: Mapping[str, Path], tmp_path: Path) -> None:
    made = []
    for name, seed in (("x", 1), ("y", 1), ("z", 2)):
        run(TokenizerConfig(vocabulary=400, sample_bytes=3000), inputs, tmp_path / name, Tools(seed=seed))
        made.append((tmp_path / name / "tokenizer.json").read_bytes())
    assert made[0] == made[1] != made[2]


def test_the_sample_is_drawn_from_every_shard(inputs: Mapping[str, Path]) -> None:
    texts = list(sample(inputs["part.b"], 1000, seed=3))
    numbers = [int(text.split("Short")[1].split(":")[0]) for text in texts]
    assert 1000 <= sum(map(len, texts)) < 1050
    assert {number // 50 for number in numbers} == {0, 1, 2}
    assert list(sample(inputs["part.b"], 10**9, seed=3)) == list(sample(inputs["part.b"], 10**9, seed=4))


def test_a_tokenizer_that_exists_is_taken_as_it_is(inputs: Mapping[str, Path], tmp_path: Path) -> None:
    run(TokenizerConfig(vocabulary=400), inputs, tmp_path / "own", Tools())
    config = TokenizerConfig(source=str(tmp_path / "own"))
    run(config, inputs, tmp_path / "taken", Tools())
    text = "def long_7(value):\n"
    own, taken = load_tokenizer(tmp_path / "own"), load_tokenizer(tmp_path / "taken")
    assert taken.encode(text) == own.encode(text)
    before = identity(config, tmp_path)
    assert set(before) == {"tokenizer.json", "tokenizer_config.json"}
    (tmp_path / "own" / "tokenizer.json").write_text("{}")
    assert identity(config, tmp_path) != before


def test_without_a_text_it_says_so(tmp_path: Path) -> None:
    empty = _dataset(tmp_path / "empty", [])
    with pytest.raises(StageError, match="no dataset holds any text"):
        run(TokenizerConfig(), {"part.a": empty}, tmp_path / "out", Tools())
