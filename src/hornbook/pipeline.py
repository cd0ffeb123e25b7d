"""THE TABLE: a recipe has a field a stage; STAGES says what runs it; `steps` lays out the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from hornbook.arms import Arm, Mix, one_seed_each, sources
from hornbook.core.config import Config
from hornbook.core.ordering import in_order
from hornbook.core.shards import Counts
from hornbook.core.tools import Tools
from hornbook.evaluation.models import ModelConfig
from hornbook.filtering.layout import laid_out
from hornbook.filtering.settings import FilterConfig
from hornbook.model.config import BY_EXERCISES
from hornbook.model.precision import Taking, settled
from hornbook.stages import (
    annotate,
    decontaminate,
    dedup,
    degrade,
    evaluate,
    exercises,
    features,
    filter,  # the paper's word for the stage
    finetune,
    judge,
    pack,
    pretrain,
    read,
    report,
    source,
    textbooks,
    tokenizer,
)
from hornbook.stages.annotate import AgainConfig, AnnotateConfig
from hornbook.stages.decontaminate import DecontaminateConfig
from hornbook.stages.dedup import DedupConfig
from hornbook.stages.degrade import DegradeConfig
from hornbook.stages.evaluate import EvaluateConfig, OtherModelConfig
from hornbook.stages.exercises import ExercisesConfig
from hornbook.stages.finetune import FinetuneConfig
from hornbook.stages.pretrain import PretrainConfig
from hornbook.stages.read import ReadConfig
from hornbook.stages.source import SourceConfig
from hornbook.stages.textbooks import TextbooksConfig
from hornbook.stages.tokenizer import TokenizerConfig
from hornbook.teachers import Forecast

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


@dataclass(frozen=True)
class Stage:
    """A row of the table; `version` is raised by hand when the code makes something else than before."""

    run: Callable[[Any, Mapping[str, Path], Path, Tools], Counts]
    version: int = 1
    identity: Callable[[Any, Path], Mapping[str, str]] | None = None
    """Content hashes of what it reads beside its config and inputs: prompts, benchmarks, files of the user."""
    revisions: Callable[[Any], Mapping[str, str]] | None = None
    """Repository@branch -> its commit today, of what it takes from the Hub without naming a commit."""
    settled: Callable[[Any, Taking], Any] | None = None
    """The config with the precision that is taken on this machine in place of `auto`."""
    asks: Callable[[Any, Mapping[str, Path], int], Forecast] | None = None
    """What it would ask its teacher, by config, those of its inputs that are built, and seed: for `hornbook plan`."""


STAGES: dict[str, Stage] = {
    "read": Stage(read.run, version=3, identity=read.identity, revisions=read.revisions),
    "dedup": Stage(dedup.run, version=3),
    "source": Stage(source.run),
    "annotate": Stage(annotate.run, version=3, identity=annotate.identity, asks=annotate.asks),
    "features": Stage(
        features.run,
        version=2,
        identity=features.identity,
        revisions=features.revisions,
        settled=features.settled,
    ),
    "judge": Stage(judge.run, version=4, identity=judge.identity),
    "filter": Stage(filter.run, version=6),
    "textbooks": Stage(textbooks.run, version=2, identity=textbooks.identity, asks=textbooks.asks),
    "exercises": Stage(exercises.run, version=4, identity=exercises.identity, asks=exercises.asks),
    "degrade": Stage(degrade.run),
    "decontaminate": Stage(decontaminate.run, identity=decontaminate.identity),
    "tokenizer": Stage(tokenizer.run, version=2, identity=tokenizer.identity, revisions=tokenizer.revisions),
    "pack": Stage(pack.run),
    "pretrain": Stage(pretrain.run, version=4, settled=settled),
    "finetune": Stage(finetune.run, version=4, settled=settled),
    "evaluate": Stage(
        evaluate.run,
        version=8,
        identity=evaluate.identity,
        revisions=evaluate.revisions,
        settled=evaluate.settled,
        asks=evaluate.asks,
    ),
    "report": Stage(report.run, version=3, identity=report.identity),
}


@dataclass(frozen=True)
class Step:
    """One use of a stage in a recipe: `key` names it, `inputs` name the steps whose folders it reads."""

    key: str
    config: Config
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    teacher: str = ""
    """The model it asks; empty where it asks none."""

    @property
    def stage(self) -> str:
        return self.key.partition("/")[0].partition(".")[0]


def steps(recipe: Recipe) -> list[Step]:
    """Every step of a recipe, each after the steps that it reads."""
    made = {step.key: step for step in [*_curation(recipe), *_training(recipe), *_other_models(recipe)]}
    found = [made[key] for key in in_order({key: step.inputs.values() for key, step in made.items()})]
    config = report.ReportConfig(recipe=recipe.model_dump(mode="json"))
    return [*found, Step("report", config, {step.key: step.key for step in found}, recipe.seed)]


def _curation(recipe: Recipe) -> list[Step]:
    """From files to datasets that no benchmark problem is left in."""
    seed, teacher = recipe.seed, recipe.teacher
    shown = recipe.annotate.excerpt_chars if recipe.annotate else 0
    wanted = [
        ("read", recipe.read, {}, ""),
        ("dedup", recipe.dedup, {"documents": "read"}, ""),
        *((key, SourceConfig(name=name), {"documents": "dedup"}, "") for key, name in recipe.sources.items()),
        ("annotate", recipe.annotate, {"documents": "dedup"}, teacher),
        *((*made, "") for made in laid_out(recipe.all_filters, shown)),
        ("textbooks", recipe.textbooks, _grounds(recipe), teacher),
    ]
    made = [Step(key, config, inputs, seed, asks) for key, config, inputs, asks in wanted if config]
    for name, again in recipe.again.items():
        assert recipe.annotate is not None  # _has_what_it_needs
        judging, asked = again.instead_of(recipe.annotate), again.teacher or teacher
        made.append(Step(f"annotate.{name}", judging, {"documents": "annotate"}, seed + 1, asked))
    for kind, config in recipe.exercises.items():
        inputs = {"documents": "dedup"} if config.source == "corpus" else {}
        asks = teacher if config.asks_teacher else ""
        made.append(Step(f"exercises/{kind}", config, inputs, seed, asks))
    made += [
        Step(f"degrade/{name}", turned, {"documents": turned.dataset}, seed)
        for name, turned in recipe.degrade.items()
    ]
    made += [
        Step(f"decontaminate/{dataset}", recipe.decontaminate, {"documents": dataset}, seed)
        for dataset in _datasets(recipe)
    ]
    return made


def _grounds(recipe: Recipe) -> dict[str, str]:
    """What textbook pages are grounded in, where a share of them is."""
    return {"documents": "filter"} if recipe.textbooks and recipe.textbooks.grounded_share else {}


def _training(recipe: Recipe) -> list[Step]:
    """One tokenizer for all mixes, trained on what needs no model of the recipe, then each arm."""
    if not (recipe.tokenizer and recipe.row_tokens):
        return []
    parts = {dataset: f"decontaminate/{dataset}" for dataset in _datasets(recipe)}
    early = {f"part.{d}": key for d, key in parts.items() if d not in recipe.late}
    made = [Step("tokenizer", recipe.tokenizer, early, recipe.seed)]
    for name, mix in recipe.mixes.items():
        config = pack.PackConfig(parts=mix.parts, tokens=mix.tokens, row_tokens=recipe.row_tokens)
        inputs = {"tokenizer": "tokenizer", **{f"part.{d}": parts[d] for d in sorted(mix.parts)}}
        made.append(Step(f"pack/{name}", config, inputs, recipe.seed))
    for name, arm in recipe.arms.items():
        made += _arm(recipe, name, arm)
    return made


def _arm(recipe: Recipe, name: str, arm: Arm) -> list[Step]:
    heldout = _heldout(recipe)
    rows = {"rows": f"pack/{arm.mix}", "tokenizer": "tokenizer"}
    assert recipe.pretrain is not None  # _has_what_it_needs
    assert recipe.evaluate is not None
    made = [Step(f"pretrain/{name}", recipe.pretrain, rows, arm.seed)]
    tested = {"base": f"pretrain/{name}"}
    if arm.finetune and recipe.finetune:
        inputs = {**rows, "rows": f"pack/{arm.finetune}", "checkpoint": f"pretrain/{name}"}
        inputs |= heldout if recipe.finetune.choose_by in BY_EXERCISES else {}
        made.append(Step(f"finetune/{name}", recipe.finetune, inputs, arm.seed))
        tested["finetuned"] = f"finetune/{name}"
    for state, checkpoint in tested.items():
        inputs = {"checkpoint": checkpoint, **heldout, **_finetuned_on(recipe, arm)}
        key = f"evaluate/{name}.{state}"
        made.append(Step(key, recipe.evaluate, inputs, recipe.seed, _grader(recipe)))
    return made


def _heldout(recipe: Recipe) -> dict[str, str]:
    """The exercises that models are evaluated on, where the grammar held some out."""
    grammar = next((key for key, config in recipe.exercises.items() if config.source == "grammar"), None)
    return {"heldout": f"exercises/{grammar}"} if grammar else {}


def _finetuned_on(recipe: Recipe, arm: Arm) -> dict[str, str]:
    """The datasets whose libraries are not probed, for the base and the finetuned model alike."""
    if not (recipe.evaluate and recipe.evaluate.probes and arm.finetune):
        return {}
    return {
        f"{evaluate.FINETUNED_ON}{dataset}": f"decontaminate/{dataset}"
        for dataset in sorted(recipe.mixes[arm.finetune].parts)
    }


def _grader(recipe: Recipe) -> str:
    return recipe.evaluate.grade.grader if recipe.evaluate and recipe.evaluate.grade else ""


def _other_models(recipe: Recipe) -> list[Step]:
    """Models made elsewhere, on the same problems."""
    if not recipe.evaluate:
        return []
    settings = recipe.evaluate.model_dump()
    return [
        Step(
            f"evaluate/{name}",
            OtherModelConfig(**settings, name=name, model=model),
            _heldout(recipe),
            recipe.seed,
            _grader(recipe),
        )
        for name, model in recipe.models.items()
    ]


def _datasets(recipe: Recipe) -> list[str]:
    """The datasets that mixes read, in order of first mention; all of them where there are no mixes."""
    read_by_mixes = dict.fromkeys(part for mix in recipe.mixes.values() for part in mix.parts)
    return list(read_by_mixes) if recipe.mixes else recipe.datasets
