"""THE TABLE: a recipe has a field a stage; STAGES says what runs it; `steps` lays out the work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from hornbook.core.settings import Config
from hornbook.model.config import BY_EXERCISES
from hornbook.stages.annotate.step import AgainConfig, AnnotateConfig
from hornbook.stages.corrupt.step import DegradeConfig
from hornbook.stages.decontaminate.step import DecontaminateConfig
from hornbook.stages.dedup.step import DedupConfig
from hornbook.stages.evaluate import step as evaluate
from hornbook.stages.evaluate.models import ModelConfig
from hornbook.stages.evaluate.step import EvaluateConfig
from hornbook.stages.exercises.step import ExercisesConfig
from hornbook.stages.filter.config import FilterConfig
from hornbook.stages.read.step import ReadConfig
from hornbook.stages.textbooks.step import TextbooksConfig
from hornbook.stages.tokenize.tokenizer import TokenizerConfig
from hornbook.stages.train.finetune import FinetuneConfig
from hornbook.stages.train.pretrain import PretrainConfig


class Mix(Config):
    """What an arm reads: datasets and their shares of its tokens."""

    tokens: int = Field(ge=1)
    """Tokens of one pass; datasets that run short are repeated and the report says how often."""
    parts: dict[str, float]
    """Dataset -> its share of the tokens: dedup, source/NAME (what one of read's sources left in it), filter,
    filter.NAME, textbooks, exercises/NAME, degrade/NAME."""


def sources(mixes: Mapping[str, Mix]) -> dict[str, str]:
    """Dataset -> NAME of each source/NAME that a mix reads."""
    parts = sorted({part for mix in mixes.values() for part in mix.parts})
    named = {part: re.fullmatch(r"source/([A-Za-z0-9][A-Za-z0-9._-]*)", part) for part in parts}
    return {part: found[1] for part, found in named.items() if found}


class Arm(Config):
    """One way to make a model: pretrain on a mix and, where named, finetune on another.

    The first arm is the one that the report compares the others with.
    """

    mix: str
    finetune: str | None = None
    seed: int = 0
    seeds: list[int] | None = Field(None, min_length=1, exclude=True)
    """In place of `seed`, several: an arm each, called NAME-SEED. Comparisons then say how far the seed alone moves."""


def one_seed_each(written: Mapping[str, Any]) -> dict[str, Any]:
    """Arms as a recipe has them, each arm with several seeds as so many arms with one."""
    found: dict[str, Any] = {}
    for name, given in written.items():
        arm = (
            {key: getattr(given, key) for key in given.model_fields_set} if isinstance(given, Arm) else given
        )
        several = arm.get("seeds") if isinstance(arm, dict) else None
        if not several or not isinstance(several, list):
            made = {name: arm}
        elif "seed" in arm:
            raise ValueError(f"arms.{name} has both seed and seeds; keep one")
        else:
            shared = {key: value for key, value in arm.items() if key != "seeds"}
            made = {f"{name}-{seed}": {**shared, "seed": seed} for seed in several}
            if len(made) < len(several):
                raise ValueError(f"arms.{name}.seeds is {several}; each seed should be there once")
        for twice in found.keys() & made.keys():
            raise ValueError(f"arms.{name} would make a second arm {twice!r}; call one something else")
        found |= made
    return found


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Of what has a folder in a run: no slash or dots lead out of it."""
Suffix = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""What stands behind the dot in the key of a step."""


class Recipe(Config):
    """What is made, from the first file to the report; all of it enters the fingerprints."""

    name: Name
    seed: int = 0
    teacher: str = ""
    """Model that annotates and writes; the machine file says where it answers. Empty where nothing asks one."""
    read: ReadConfig | None = None
    """Left out, like each of the next five, where nothing that the recipe makes comes from it."""
    dedup: DedupConfig | None = None
    annotate: AnnotateConfig | None = None
    filter: FilterConfig | None = None
    again: dict[Suffix, AgainConfig] = Field(default_factory=dict)
    """Second judgings of some of annotate's documents, by name: how far do labels agree?"""
    filters: dict[Suffix, FilterConfig] = Field(default_factory=dict)
    """More filters of the same documents and labels, for control arms; mixes read them as filter.NAME."""
    textbooks: TextbooksConfig | None = None
    exercises: dict[Name, ExercisesConfig] = Field(default_factory=dict)
    degrade: dict[Name, DegradeConfig] = Field(default_factory=dict)
    decontaminate: DecontaminateConfig = DecontaminateConfig()
    tokenizer: TokenizerConfig | None = None
    mixes: dict[Name, Mix] = Field(default_factory=dict)
    """Left out, every dataset is made and decontaminated, and none is packed."""
    row_tokens: int | None = Field(None, ge=16)
    """Tokens in a training row: the sequence length."""
    pretrain: PretrainConfig | None = None
    finetune: FinetuneConfig | None = None
    """Left out where no arm finetunes."""
    evaluate: EvaluateConfig | None = None
    arms: dict[Name, Arm] = Field(default_factory=dict)
    """Left out, no model is trained."""
    models: dict[Name, ModelConfig] = Field(default_factory=dict)
    """Models made elsewhere that are evaluated beside the arms."""
    rehearses: str = ""
    """The recipe of which this is a rehearsal: set by `hornbook run --rehearse`, which cuts every amount."""

    @model_validator(mode="before")
    @classmethod
    def _one_seed_an_arm(cls, values: Any) -> Any:
        arms = values.get("arms") if isinstance(values, dict) else None
        return {**values, "arms": one_seed_each(arms)} if isinstance(arms, dict) else values

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        datasets = set(self.datasets) - {f"degrade/{name}" for name in self.degrade}
        for name, turned in self.degrade.items():
            if turned.dataset not in datasets - {"dedup", *self.all_filters}:
                raise ValueError(
                    f"degrade.{name} reads {turned.dataset!r}; it can be textbooks or exercises/NAME"
                )
        datasets |= {f"degrade/{name}" for name in self.degrade} | ({"source/NAME"} if self.dedup else set())
        for name, mix in self.mixes.items():
            for part in mix.parts.keys() - datasets - self.sources.keys():
                raise ValueError(
                    f"mixes.{name} reads {part!r}; the datasets are {', '.join(sorted(datasets))}"
                )
        for name, arm in self.arms.items():
            for mix_name in {arm.mix, arm.finetune or arm.mix} - self.mixes.keys():
                raise ValueError(
                    f"arms.{name} names mix {mix_name!r}; the mixes are {', '.join(sorted(self.mixes))}"
                )
        for name in self.models:
            if name.rpartition(".")[0] in self.arms:
                raise ValueError(f"models.{name} is named like a model of that arm; call it something else")
        return self

    @model_validator(mode="after")
    def _holds_out_enough(self) -> Self:
        heldout = next((c.heldout_count for c in self.exercises.values() if c.source == "grammar"), None)
        if self.finetune and self.finetune.choose_by in BY_EXERCISES and not heldout:
            raise ValueError(
                f"finetune.choose_by is {self.finetune.choose_by!r}, but no exercises are held out; add an exercises "
                'table with source = "grammar" and a heldout_count, or choose by heldout_loss'
            )
        if self.evaluate:
            evaluate.require_feasible(self.evaluate, heldout, self.row_tokens if self.arms else None)
        return self

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        needs = [(name, needed) for name, needed in NEEDS if getattr(self, name)]
        for name, config in self.exercises.items():
            needs += [(f"exercises.{name}", "dedup")] if config.source == "corpus" else []
            needs += [(f"exercises.{name}", "teacher")] if config.asks_teacher else []
        needs += [("textbooks", "filter")] if _grounds(self) else []
        needs += [(key, "dedup") for key in self.all_filters]
        needs += [(key, "annotate") for key, config in self.all_filters.items() if config.learns]
        needs += [("again", "annotate")] if self.again else []
        needs += [(f"models.{name}", "evaluate") for name in self.models]
        needs += [(f"arms.{name}", "finetune") for name, arm in self.arms.items() if arm.finetune]
        for name, needed in needs:
            if not getattr(self, needed):
                what = f"{needed} = ..." if needed in ("teacher", "row_tokens") else f"[{needed}]"
                raise ValueError(f"[{name}] needs {what}, which this recipe does not have")
        return self

    @model_validator(mode="after")
    def _models_come_before_what_they_judge(self) -> Self:
        for key, config in self.all_filters.items():
            for arm in config.arms:
                if arm not in self.arms:
                    raise ValueError(
                        f"{key}.features names the arm {arm!r}; the arms are {', '.join(sorted(self.arms)) or 'none'}"
                    )
                late = sorted(self.late & self.mixes[self.arms[arm].mix].parts.keys())
                if late:
                    raise ValueError(
                        f"{key} judges by the model of arm {arm!r}, whose mix reads {late[0]}, which is made after a "
                        "pretraining itself; name an arm that reads no such dataset"
                    )
        return self

    @property
    def datasets(self) -> list[str]:
        """Everything that a mix may read."""
        made = [name for name in ("dedup", "textbooks") if getattr(self, name)]
        made += [*self.all_filters, *(f"exercises/{source}" for source in self.exercises)]
        return [*made, *(f"degrade/{name}" for name in self.degrade)]

    @property
    def sources(self) -> dict[str, str]:
        """Dataset -> the source that it is, for each that a mix reads by itself."""
        return sources(self.mixes) if self.dedup else {}

    @property
    def all_filters(self) -> dict[str, FilterConfig]:
        """Step key -> each filter of the recipe."""
        plain = {"filter": self.filter} if self.filter else {}
        return {**plain, **{f"filter.{name}": config for name, config in self.filters.items()}}

    @property
    def late(self) -> set[str]:
        """The datasets that are made after a pretraining: filters that judge by its model, and what follows them."""
        late = {key for key, config in self.all_filters.items() if config.arms}
        late |= {"textbooks"} if _grounds(self).get("documents") in late else set()
        return late | {f"degrade/{name}" for name, turned in self.degrade.items() if turned.dataset in late}


NEEDS = (
    ("mixes", "tokenizer"),
    ("mixes", "row_tokens"),
    ("arms", "pretrain"),
    ("arms", "evaluate"),
    ("dedup", "read"),
    ("annotate", "dedup"),
    ("annotate", "teacher"),
    ("textbooks", "teacher"),
)
"""A section of a recipe -> what it cannot do without."""


def _grounds(recipe: Recipe) -> dict[str, str]:
    """What textbook pages are grounded in, where a share of them is."""
    return {"documents": "filter"} if recipe.textbooks and recipe.textbooks.grounded_share else {}
