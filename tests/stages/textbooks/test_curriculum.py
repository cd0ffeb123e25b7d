"""The curriculum: the shipped one, one in its place, one that adds to it, and what is said of a bad file."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.core.errors import ConfigError, InputError
from hornbook.stages.textbooks.curriculum import load_curriculum

OWN = """
[[chapter]]
area = "knots"
title = "Knots"
topics = ["the bowline", "the clove hitch"]

[[audience]]
name = "sailor"
text = "a sailor"
"""


def folder(root: Path) -> Path:
    (root / "topics").mkdir()
    (root / "topics/01_knots.toml").write_text('[[chapter]]\ntitle = "Knots"\ntopics = ["the bowline"]\n')
    (root / "audiences.toml").write_text('[[audience]]\nname = "sailor"\ntext = "a sailor"\n')
    (root / "styles.toml").write_text('[[style]]\nname = "plain"\ntext = "Be plain."\n')
    return root


def test_the_shipped_curriculum_is_wide_and_has_no_topic_twice() -> None:
    curriculum = load_curriculum()
    names = [topic.name for topic in curriculum.topics]
    assert len(names) == len(set(names)) >= 400
    assert next(topic.area for topic in curriculum.topics) == "reasoning"
    assert len(curriculum.chapters) >= 40
    assert len({audience.text for audience in curriculum.audiences}) >= 12
    assert {"worked example", "misconception", "dialogue", "derivation", "exercise", "comparison"} <= {
        style.name for style in curriculum.styles
    }
    assert len(curriculum.lengths) >= 4
    assert min(map(len, (curriculum.words.nouns, curriculum.words.verbs, curriculum.words.adjectives))) >= 150


def test_areas_narrow_the_topics_and_an_unknown_one_is_named() -> None:
    assert {topic.area for topic in load_curriculum("", ["numbers", "text"]).topics} == {"numbers", "text"}
    with pytest.raises(ConfigError, match=r"'poetry' is not in the curriculum; areas: reasoning, basics"):
        load_curriculum("", ["poetry"])


def test_a_folder_of_your_own_stands_in_place_of_the_shipped_one(tmp_path: Path) -> None:
    own = load_curriculum(str(folder(tmp_path)))
    assert [(t.area, t.chapter, t.name) for t in own.topics] == [("knots", "Knots", "the bowline")]
    assert [audience.name for audience in own.audiences] == ["sailor"]
    assert own.lengths == load_curriculum().lengths
    (tmp_path / "lengths.toml").write_text('[[length]]\nname = "line"\ntext = "One line."\n')
    again = load_curriculum(str(tmp_path))
    assert [length.text for length in again.lengths] == ["One line."]
    assert again.sha256 != own.sha256


def test_a_file_of_your_own_adds_to_the_shipped_one_or_replaces_parts_of_it(tmp_path: Path) -> None:
    shipped, file = load_curriculum(), tmp_path / "knots.toml"
    file.write_text(OWN)
    more = load_curriculum(str(file))
    assert len(more.topics) == len(shipped.topics) + 2
    assert more.audiences[:-1] == shipped.audiences
    assert {t.name for t in load_curriculum(str(file), ["knots"]).topics} == {
        "the bowline",
        "the clove hitch",
    }
    file.write_text('replace = ["topics"]\n' + OWN)
    other = load_curriculum(str(file))
    assert [topic.area for topic in other.topics] == ["knots", "knots"]
    assert other.audiences == more.audiences
    assert len({shipped.sha256, more.sha256, other.sha256}) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[chapter]\n", r"own\.toml is not TOML: .*line 1"),
        ('[[chapter]]\ntitle = "Knots"\ntopics = ["a"]\n', r"own\.toml: chapter 'Knots' needs an area"),
        ('[[chapter]]\ntitle = "Knots"\narea = "k"\n', r"own\.toml: chapter\.0\.topics is missing"),
        (
            '[[audience]]\nname = "x"\ntxt = "y"\n',
            r"(?s)own\.toml:.*unknown key audience\.0\.txt; did you mean text",
        ),
        ('replace = ["styles"]\n', r"own\.toml: replace names styles, but the file lists none"),
        ('[[style]]\nname = "plain"\ntext = "y"\n', r"own\.toml: the style 'plain' is there twice"),
        ('replace = ["poems"]\n', r"own\.toml: replace\.0 is 'poems'; it should be 'topics', 'audiences'"),
    ],
)
def test_a_bad_file_is_one_clear_error(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_curriculum(str(file))


def test_a_place_that_is_absent_or_has_no_topics_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no topics/\*\.toml"):
        load_curriculum(str(tmp_path))
    with pytest.raises(InputError, match=r"textbooks\.curriculum: .*nowhere\.toml does not exist"):
        load_curriculum(str(tmp_path / "nowhere.toml"))
    (folder(tmp_path) / "styles.toml").unlink()
    with pytest.raises(InputError, match=r"styles\.toml does not exist; a curriculum needs it"):
        load_curriculum(str(tmp_path))
