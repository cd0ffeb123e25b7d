from __future__ import annotations

import random

from hornbook.stages.decontaminate.overlap import Protected

DRAW = random.Random(1)
VOCABULARY = [f"word{letter}{number}" for letter in "abcdefgh" for number in range(100)]
ONE, TWO = (" ".join(DRAW.sample(VOCABULARY, 40)) for _ in range(2))
PROTECTED = Protected.of({"P/1": (ONE,), "P/2": (TWO,)}, 13, 4)


def found(*texts: str) -> list[str | None]:
    return [overlap.name if overlap else None for overlap in PROTECTED.overlaps(texts)]


def test_thirteen_words_in_a_row_are_found_and_twelve_are_not() -> None:
    thirteen, twelve = ONE.split()[5:18], TWO.split()[5:17]
    assert found("before " + " ".join(thirteen) + " after", "before " + " ".join(twelve) + " after") == [
        "P/1",
        None,
    ]


def test_layout_case_and_punctuation_do_not_hide_a_copy() -> None:
    assert found(", (".join(TWO.upper().split())) == ["P/2"]


def test_the_matched_words_are_shown_whole() -> None:
    copied = " ".join(ONE.split()[3:30])
    (overlap,) = PROTECTED.overlaps([f"x = 1\n{copied}\ny = 2 " + " ".join(TWO.split()[:13])])
    assert overlap is not None
    assert (overlap.name, overlap.matched, overlap.grams) == ("P/1", copied, 27 - 13 + 1)


def test_texts_do_not_run_into_each_other() -> None:
    half = ONE.split()[:14]
    assert found(" ".join(half[:7]), " ".join(half[7:]), "", "plain") == [None] * 4


def test_number_tables_are_never_protected() -> None:
    table = " ".join(str(number % 10) for number in range(100))
    protected = Protected.of({"P/1": (table + " " + ONE,)}, 13, 4)
    assert list(protected.overlaps([table])) == [None]
    assert Protected.of({"P/1": (table,)}, 13, 4).covered == frozenset()
    assert next(protected.overlaps([ONE])) is not None


def test_nothing_protected_finds_nothing() -> None:
    assert list(Protected.of({}, 13, 4).overlaps([ONE, ""])) == [None, None]


def test_brute_force_agrees() -> None:
    draw = random.Random(2)
    texts = [" ".join(draw.choices(["ab", "cd", "ef", "gh"], k=draw.randint(0, 60))) for _ in range(300)]
    protected = Protected.of({"P": tuple(texts[:3])}, 5, 1)
    grams = {tuple(t.split()[i : i + 5]) for t in texts[:3] for i in range(len(t.split()) - 4)}
    expected = [any(tuple(t.split()[i : i + 5]) in grams for i in range(len(t.split()) - 4)) for t in texts]
    assert [overlap is not None for overlap in protected.overlaps(texts)] == expected
    assert 0 < sum(expected) < 300
