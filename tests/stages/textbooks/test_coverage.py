"""Coverage: uncovered cells first, barren ones no more, the same history the same plan."""

from __future__ import annotations

from collections import Counter

from hornbook.stages.textbooks.coverage import Coverage, place_of
from hornbook.stages.textbooks.curriculum import Cell, Curriculum, Topic, Trait, Words, load_curriculum


def small(topics: int, audiences: int, styles: int) -> Curriculum:
    return Curriculum(
        tuple(Topic("area", "chapter", f"topic {n}") for n in range(topics)),
        tuple(Trait(f"audience {n}", "") for n in range(audiences)),
        tuple(Trait(f"style {n}", "") for n in range(styles)),
        (Trait("short", ""), Trait("long", "")),
        Words(("dog", "cat"), ("run", "sit"), ("red", "blue")),
        "",
    )


def run_rounds(coverage: Coverage, rounds: int, size: int, fertile: set[str] | None = None) -> list[Cell]:
    """Every page of a topic in `fertile` (None: of all) yields something."""
    cells: list[Cell] = []
    for round_ in range(rounds):
        planned = coverage.plan(range(round_ * size, (round_ + 1) * size))
        coverage.learn(planned, [fertile is None or cell.topic.name in fertile for cell in planned])
        cells += planned
    return cells


def test_every_topic_comes_once_before_one_comes_again_and_traits_are_even() -> None:
    curriculum = load_curriculum()
    cells = Coverage(curriculum, 3, 4).plan(range(2 * len(curriculum.topics)))
    names = [cell.topic.name for cell in cells]
    assert len(set(names[: len(curriculum.topics)])) == len(curriculum.topics)
    assert set(Counter(names).values()) == {2}
    audiences = Counter(cell.audience.name for cell in cells)
    assert max(audiences.values()) - min(audiences.values()) <= len(cells) // len(audiences)
    pairs = Counter((cell.audience.name, cell.style.name) for cell in cells)
    assert len(pairs) == len(curriculum.audiences) * len(curriculum.styles)


def test_a_small_curriculum_is_covered_cell_by_cell() -> None:
    curriculum = small(3, 2, 2)
    cells = run_rounds(Coverage(curriculum, 1, 2), 4, 6)
    assert set(Counter(map(place_of, cells[:12])).values()) == {1}
    assert set(Counter(map(place_of, cells)).values()) == {2}


def test_topics_without_a_kept_page_come_first_until_they_are_left() -> None:
    coverage = Coverage(small(4, 2, 2), 1, 3)
    cells = run_rounds(coverage, 5, 4, fertile={"topic 0", "topic 1"})
    counts = Counter(cell.topic.name for cell in cells)
    assert {cell.topic.name for cell in cells[4:6]} == {"topic 2", "topic 3"}
    assert counts["topic 2"] == counts["topic 3"] == 3
    assert set(coverage.left) == {"topic 2", "topic 3"}
    assert {cell.topic.name for cell in cells[-4:]} == {"topic 0", "topic 1"}


def test_a_barren_cell_is_left_while_its_topic_goes_on() -> None:
    coverage = Coverage(small(1, 2, 1), 1, 2)
    for round_ in range(6):
        planned = coverage.plan([2 * round_, 2 * round_ + 1])
        coverage.learn(planned, [cell.audience.name == "audience 1" for cell in planned])
    assert coverage.left == []
    after = coverage.plan(range(20, 26))
    assert {cell.audience.name for cell in after} == {"audience 1"}


def test_where_nothing_yields_anything_planning_ends() -> None:
    coverage = Coverage(small(2, 2, 2), 1, 2)
    cells = run_rounds(coverage, 10, 4, fertile=set())
    assert len(cells) == 4
    assert coverage.plan(range(100, 104)) == []


def test_the_same_history_gives_the_same_plan_and_more_pages_change_none_of_the_first() -> None:
    one, other, third = (Coverage(load_curriculum(), seed, 4) for seed in (5, 5, 6))
    first = run_rounds(one, 3, 10, fertile=set())
    assert run_rounds(other, 3, 10, fertile=set()) == first
    assert run_rounds(third, 3, 10, fertile=set()) != first
    assert one.plan(range(30, 40)) == other.plan(range(30, 50))[:10]


def test_length_and_words_are_drawn_for_each_page() -> None:
    cells = Coverage(small(1, 1, 1), 1, 2).plan(range(40))
    assert {cell.length.name for cell in cells} == {"short", "long"}
    assert len({cell.words for cell in cells}) == 8
    assert cells[0].values()["words"] == ", ".join(cells[0].words)
