"""THE TABLE: a recipe has a field a stage; STAGES says what runs it; `steps` lays out the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from hornbook.core.context import Tools
from hornbook.core.settings import Config
from hornbook.core.shards import Counts
from hornbook.experiment.recipe import Arm, Recipe, _grounds
from hornbook.model.config import BY_EXERCISES
from hornbook.model.precision import Taking, settled
from hornbook.report import step as report
from hornbook.stages.annotate import step as annotate
from hornbook.stages.corrupt import step as degrade
from hornbook.stages.decontaminate import step as decontaminate
from hornbook.stages.dedup import step as dedup
from hornbook.stages.dedup import subset as source
from hornbook.stages.dedup.subset import SourceConfig
from hornbook.stages.evaluate import step as evaluate
from hornbook.stages.evaluate.step import OtherModelConfig
from hornbook.stages.exercises import step as exercises
from hornbook.stages.filter import classify as judge
from hornbook.stages.filter import features
from hornbook.stages.filter import select as filter
from hornbook.stages.filter.config import CHECKPOINT, FeaturesConfig, FilterConfig, JudgeConfig
from hornbook.stages.read import step as read
from hornbook.stages.textbooks import step as textbooks
from hornbook.stages.tokenize import pack, tokenizer
from hornbook.stages.train import finetune, pretrain
from hornbook.teachers import Forecast


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """The keys, each after those that it needs, and else as they come."""
    order = TopologicalSorter(needs)
    order.prepare()
    waiting = dict.fromkeys(needs)
    ready: set[str] = set()
    found: list[str] = []
    while waiting:
        ready |= set(order.get_ready())
        first = next(key for key in waiting if key in ready)
        del waiting[first]
        found.append(first)
        order.done(first)
    return found


Made = tuple[str, Config, dict[str, str]]
"""Step key, config, and inputs by name."""


def laid_out(filters: Mapping[str, FilterConfig], shown_chars: int) -> list[Made]:
    """The steps of all filters, by step key (filter or filter.NAME), each after those that it reads.

    Where a filter says nothing else, features are of as much of a document as a teacher is shown, `shown_chars`.
    Filters that measure the same share the step, and so do those that also judge alike; it bears the first one's name.
    """
    measured: dict[str, FeaturesConfig] = {}
    judged: dict[str, tuple[JudgeConfig, FeaturesConfig | None]] = {}
    made: list[Made] = []
    for key, config in filters.items():
        by = config.measuring and config.measuring.seeing(shown_chars)
        judging = (config.judging, by)
        if by and by not in measured.values():
            measured[_named("features", key)] = by
            made.append((_named("features", key), by, _measuring(by)))
        if judging not in judged.values():
            judged[_named("judge", key)] = judging
            learnt = {"labels": "annotate"} if config.learns else {}
            if by:
                learnt["features"] = _key(measured, by)
            made.append((_named("judge", key), config.judging, {"documents": "dedup", **learnt}))
        made.append((key, config.choosing, {"documents": "dedup", "judge": _key(judged, judging)}))
    return made


def _named(stage: str, key: str) -> str:
    """features.NAME or judge.NAME beside filter.NAME."""
    return key.replace("filter", stage, 1)


def _key(made: Mapping[str, object], wanted: object) -> str:
    return next(key for key, config in made.items() if config == wanted)


def _measuring(config: FeaturesConfig) -> dict[str, str]:
    """What the features are measured of, and by which models of the recipe."""
    return {"documents": "dedup", **{f"{CHECKPOINT}{arm}": f"pretrain/{arm}" for arm in config.arms}}


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
