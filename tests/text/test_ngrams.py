from __future__ import annotations

import itertools
import random
import re

import numpy as np

from hornbook.text.hashes import batches
from hornbook.text.ngrams import gram_hashes, grams, words

TEXTS = ["def Add(x_1, y):\n    return x_1 + y  # café", "", "one two three", "   ", "π = 3.14", "last_word"]


def plain_words(text: str) -> list[str]:
    """The definition, by regular expression: ASCII case folded, all other characters as they are."""
    return [
        "".join(c.lower() if c.isascii() else c for c in word)
        for word in re.findall(r"(?:[A-Za-z0-9_]|[^\x00-\x7f])+", text)
    ]


def test_words_are_those_of_the_definition() -> None:
    batch = words(TEXTS)
    for number, text in enumerate(TEXTS):
        first, last = batch.text_offsets[number], batch.text_offsets[number + 1]
        assert [batch.span(word, word).lower() for word in range(first, last)] == [
            w.lower() for w in plain_words(text)
        ]


def test_equal_words_have_equal_hashes_and_others_do_not() -> None:
    draw = random.Random(1)
    vocabulary = sorted({"".join(draw.choices("abcAB_1é", k=draw.randint(1, 12))) for _ in range(20_000)})
    batch = words([" ".join(vocabulary), " ".join(reversed(vocabulary))])
    folded = [plain_words(word)[0] for word in vocabulary]
    seen: dict[int, str] = {}
    for hash_, word in zip(batch.hashes.tolist(), folded + folded[::-1], strict=True):
        assert seen.setdefault(hash_, word) == word
    assert len(seen) == len(set(folded))


def test_hashes_do_not_depend_on_the_batch_or_place() -> None:
    alone = [words([text]).hashes.tolist() for text in TEXTS]
    together = words(["some other beginning " * 1_000, *TEXTS])
    offsets = together.text_offsets[1:]
    assert [together.hashes[a:b].tolist() for a, b in itertools.pairwise(offsets)] == alone


def test_grams_stay_within_their_text() -> None:
    texts = ["a b c d", "x", "", "c d e f g"]
    hashes, positions, offsets = grams(words(texts), 3)
    assert np.diff(offsets).tolist() == [2, 0, 0, 3]
    assert positions.tolist() == [0, 1, 5, 6, 7]
    alone = gram_hashes(words(["c d e f g"]).hashes, 3)
    assert hashes[2:].tolist() == alone.tolist()
    assert len(gram_hashes(words(["a b"]).hashes, 3)) == 0


def test_a_gram_depends_on_the_order_of_its_words() -> None:
    one, other = words(["a b c"]), words(["c b a"])
    assert gram_hashes(one.hashes, 3) != gram_hashes(other.hashes, 3)


def test_batches_hold_every_text_once_in_order() -> None:
    texts = ["x" * size for size in (10, 500, 1, 0, 90, 100, 3)]
    found = list(batches(texts, 100))
    assert [text for batch in found for text in batch] == texts
    assert all(sum(map(len, batch)) <= 100 or len(batch) == 1 for batch in found)
