"""The source "teacher": a function by name, concept and difficulty; its tests apart from it; and proof of both."""

from __future__ import annotations

import hashlib
import random
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from hornbook.benchmarks.exercise import Exercise
from hornbook.core.context import Tools
from hornbook.core.records import Document, Drop, documents
from hornbook.core.shards import KEPT, Counts, add_counts, read_json, read_table, shard_name, write_shard
from hornbook.stages.exercises.answers import Refusal, read_function
from hornbook.stages.exercises.tested import (
    AskingConfig,
    Messages,
    Tried,
    answers,
    believed,
    mutation_of,
    questions,
    stand_ins,
    tests_prompt_hash,
    with_tests,
)
from hornbook.tasks.mined import normal_form
from hornbook.teachers import Ask, Failed, Forecast, Part, Prompt, Teacher, load_prompt
from hornbook.teachers.budget import EXACT_ASKS


class TeacherConfig(AskingConfig):
    """Exercises that a teacher writes: the function first, then its tests by someone who does not see the body."""

    source: Literal["teacher"]
    asks: int = Field(8, ge=1)
    """Functions asked for; fewer survive."""
    prompt: str = "exercise"
    """A prompt that comes with hornbook, or a text file with $name and $concept in it, and perhaps $difficulty."""
    shard_asks: int = Field(500, ge=1)

    @field_validator("asks")
    @classmethod
    def _has_names(cls, asks: int) -> int:
        if asks > most_names():
            raise ValueError(f"{asks:,} functions are wanted; there are names for {most_names():,}")
        return asks

    @property
    def asks_teacher(self) -> bool:
        return True


def identity(config: TeacherConfig) -> Mapping[str, str]:
    """The hashes of the table of names and of both prompts."""
    return {
        "names": hashlib.sha256(names_text().encode()).hexdigest(),
        "prompt": _prompt(config).sha256,
        "tests_prompt": tests_prompt_hash(config),
    }


def asks(config: TeacherConfig, inputs: Mapping[str, Path], seed: int) -> Forecast:
    """The asks for functions, and stand-ins for those that will ask for the tests of what is readable."""

    def functions(count: int, drawn_by: int = seed) -> list[Ask]:
        return list(questions(config, _messages(config, themes(count, drawn_by)), seed))

    guess = "tests are asked for what can be read, which nobody knows yet"
    tests = stand_ins(config, config.asks, seed)
    if config.asks <= EXACT_ASKS:
        return Forecast((*Forecast.of(functions(config.asks)).parts, tests), guess)
    others = functions(
        EXACT_ASKS, seed + 1
    )  # drawing a million names takes long; these are not taken for cached
    return Forecast((Part(config.asks, lambda number: others[number % EXACT_ASKS]), tests), guess)


def known_concepts(config: TeacherConfig) -> int:
    """Concepts that a teacher is asked about."""
    return len(concept_names())


def make(config: TeacherConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Ask for functions, then for tests of those that can be read, and keep what its tests prove; by shards."""
    assert tools.teacher is not None
    wanted = iter(themes(config.asks, tools.seed))
    done: list[Path] = []
    seen: set[str] = set()
    with tools.teacher() as teacher:
        while of_shard := list(islice(wanted, config.shard_asks)):
            name = shard_name(len(done))
            done.append(out / "counts" / f"{name}.json")
            if not done[-1].exists():
                _write(config, (teacher, tools), (out, name), of_shard, seen)
            kept = documents(read_table(out / KEPT / name))
            seen.update(normal_form(document.meta["solution"]) for document in kept)
    return add_counts(map(read_json, done))


def _prompt(config: TeacherConfig) -> Prompt:
    return load_prompt(config.prompt, ("name", "concept"), ("difficulty",))


def _messages(config: TeacherConfig, asked: Iterable[Theme]) -> Iterator[Messages]:
    prompt = _prompt(config)
    return (prompt.fill(name=t.name, concept=t.concept, difficulty=t.wish) for t in asked)


def _write(
    config: TeacherConfig,
    means: tuple[Teacher, Tools],
    place: tuple[Path, str],
    asked: Sequence[Theme],
    seen: set[str],
) -> None:
    """Ask for these functions, prove them, and write their shard; what a dropped one said is its text.

    `seen` holds the solutions that came before, in their normal form.
    """
    teacher, tools = means
    written: dict[str, Exercise] = {}
    dropped: list[Drop] = []
    for theme, said in zip(asked, _functions(config, teacher, asked, tools), strict=True):
        if isinstance(said, tuple):
            dropped.append(Drop(_raw(theme, said[0]), said[1].reason, said[1].detail))
        elif (form := normal_form(said.solution)) in seen or form in written:
            dropped.append(Drop(_document(said), "duplicate", "the same body came earlier"))
        else:
            written[form] = said
    tests = with_tests(config, list(written.values()), teacher, tools)
    tried = believed(config, tests, tools) if written else []
    kept = [one.exercise for one in tried if not one.refusal]
    dropped += [Drop(_refused(one), one.refusal.reason, one.refusal.detail) for one in tried if one.refusal]
    counts = {"asked": len(asked), "readable": len(written), **mutation_of(kept).counts()}
    write_shard(*place, list(map(_document, kept)), dropped, counts)


def _functions(
    config: TeacherConfig, teacher: Teacher, asked: Sequence[Theme], tools: Tools
) -> Iterator[Exercise | tuple[str, Refusal]]:
    """The function that the teacher wrote for each theme, or the raw answer and what is wrong with it."""
    said = answers(config, teacher, list(_messages(config, asked)), tools, "asking for functions")
    for theme, text in zip(asked, said, strict=True):
        if isinstance(text, Failed):
            yield "", Refusal(f"teacher_{text.reason}", text.detail)
            continue
        function = read_function(text, theme.name)
        if isinstance(function, Refusal):
            yield text, function
        else:
            yield Exercise(
                name=theme.name,
                prompt=function.prompt,
                solution=function.solution,
                tests="",
                source="teacher",
                verdict="unproved",
                concepts=(theme.concept,),
                more={"asked_difficulty": theme.difficulty},
            )


def _raw(theme: Theme, text: str) -> Document:
    meta: dict[str, Any] = {"name": theme.name, "concepts": [theme.concept], "source": "teacher"}
    return Document(text, f"teacher/{theme.name}", "exercise", meta)


def _document(exercise: Exercise) -> Document:
    return exercise.document(f"teacher/{exercise.name}")


def _refused(tried: Tried) -> Document:
    document = _document(tried.exercise)
    return replace(document, meta={**document.meta, "tests_answer": tried.raw})


FORMS = {("verbs", "objects"): 3, ("verbs", "qualities", "objects"): 4, ("verbs", "objects", "manners"): 3}
FORMS[("verbs", "qualities", "objects", "manners")] = 1
"""What a name is made of -> how often it is drawn."""
MOST_SHARE = 0.5
"""So much of all names may be asked for: beyond it, drawing names that are still new takes ever longer."""


@dataclass(frozen=True, slots=True)
class Theme:
    """What one exercise should be called, be about, and how hard it should be."""

    name: str
    concept: str
    difficulty: str
    wish: str
    """The difficulty in words for a prompt."""


def names_text() -> str:
    """The text of the table of names."""
    return (resources.files("hornbook.tasks.grammar") / "tables" / "names.toml").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _table() -> dict[str, list[Any]]:
    return tomllib.loads(names_text())


def names_total() -> int:
    """How many names the table makes, before those that say the same are taken out."""
    table, total = _table(), 0
    for form in FORMS:
        product = 1
        for part in form:
            product *= len(table[part])
        total += product
    return total


def most_names() -> int:
    """So many different names the table is good for."""
    return int(names_total() * MOST_SHARE)


def concept_names() -> list[str]:
    """What a theme may be about."""
    return _table()["concepts"]


def themes(count: int, seed: int) -> list[Theme]:
    """The first `count` themes of a seeded order, no name twice; ValueError where there are not so many names.

    Names that hold the same words, whatever their order and number, are one name. Concepts and difficulties come
    in turn, so that every pair of them is asked for equally often.
    """
    if count > most_names():
        raise ValueError(f"{count} names are wanted; the table is good for {most_names()}")
    names = islice(_names(seed), count)
    return [Theme(name, *cell) for name, cell in zip(names, _cells(seed), strict=False)]


def _names(seed: int) -> Iterator[str]:
    """Names without end, no two of the same words."""
    table, rng = _table(), random.Random(f"{seed}:names")
    seen: set[str] = set()
    while True:
        (form,) = rng.choices(list(FORMS), list(FORMS.values()))
        words = [rng.choice(table[part]) for part in form]
        plain = [_singular(word) for part in words for word in part.split("_")]
        key = " ".join(sorted(plain))
        if len(set(plain)) == len(plain) and key not in seen:
            seen.add(key)
            yield "_".join(words)


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _cells(seed: int) -> Iterator[tuple[str, str, str]]:
    """(concept, difficulty, wish) without end: all of them in a drawn order, then all in another."""
    table, rng = _table(), random.Random(f"{seed}:cells")
    cells = [(c, level["name"], level["wish"]) for c in table["concepts"] for level in table["difficulties"]]
    while True:
        yield from rng.sample(cells, len(cells))
