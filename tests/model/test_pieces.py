from __future__ import annotations

import random
import sysconfig
from pathlib import Path

import pytest

from hornbook.model.bpe import PieceEncoder
from hornbook.model.tokenizer import Tokenizer, train_tokenizer

LIBRARY = Path(sysconfig.get_path("stdlib"))
ALPHABET = "ab Z09_.(:\t \n\r\x0b\x0c\x00\x1c\x1f\x7f\x85éπ漢🙂\u00a0\u2028²"


@pytest.fixture(scope="module")
def real_texts() -> list[str]:
    names = ("argparse.py", "ast.py", "heapq.py", "test/test_unicodedata.py", "encodings/cp437.py", "this.py")
    paths = [LIBRARY / name for name in names]
    return [path.read_text("utf-8") for path in paths if path.exists()]


@pytest.fixture(scope="module")
def tokenizer(real_texts: list[str]) -> Tokenizer:
    return train_tokenizer(real_texts, 2_000)


def by_tokenizers(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """What the tokenizers library says."""
    return [found.ids for found in tokenizer.core.encode_batch_fast(texts, add_special_tokens=False)]


def test_real_files_have_the_ids_that_the_tokenizers_library_gives(
    tokenizer: Tokenizer, real_texts: list[str]
) -> None:
    found = [ids.tolist() for ids in tokenizer.encode_arrays(real_texts)]
    assert found == by_tokenizers(tokenizer, real_texts)
    assert sum(map(len, found)) > 50_000


def test_any_mixture_of_characters_has_them_too(tokenizer: Tokenizer) -> None:
    draw = random.Random(3)
    texts = ["".join(draw.choices(ALPHABET, k=draw.randrange(30))) for _ in range(20_000)]
    texts += ["".join(draw.choices(ALPHABET[:12], k=draw.randrange(30))) for _ in range(20_000)]
    texts += ["", "", "<|endoftext|>", "1234567 12 1234", "  \n", "x  ", "é", "\n", " "]
    wanted = by_tokenizers(tokenizer, texts)
    for text, ids, want in zip(texts, tokenizer.encode_arrays(texts), wanted, strict=True):
        assert ids.tolist() == want, repr(text)


def test_forgetting_changes_nothing(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hornbook.model.bpe.MEMO_IDS", 50)
    monkeypatch.setattr("hornbook.model.bpe.BATCH_CHARS", 100)
    draw = random.Random(4)
    texts = ["".join(draw.choices(ALPHABET, k=80)) for _ in range(300)]
    encoder = PieceEncoder(tokenizer.encode_batch)
    assert [ids.tolist() for ids in encoder.encode(texts)] == by_tokenizers(tokenizer, texts)


def test_a_foreign_tokenizer_is_used_as_it_is() -> None:
    from tokenizers import Tokenizer as Core
    from tokenizers import models, pre_tokenizers

    core = Core(models.BPE({"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")]))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_special_tokens(["<|endoftext|>"])
    texts = ["ab a b", "ba"]
    assert [ids.tolist() for ids in Tokenizer(core).encode_arrays(texts)] == [[3, 1, 2], [2, 1]]
