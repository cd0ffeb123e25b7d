"""The settings of a filter, apart by the step that each one changes: features, judge, filter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, model_validator

from hornbook.core.settings import Config
from hornbook.core.shards import shard_name
from hornbook.model.precision import Precision
from hornbook.stages.filter.choice import Rule
from hornbook.stages.filter.feature_sets import DOCUMENT, FEATURES, Spec, read_spec
from hornbook.stages.filter.learners import LEARNERS, Shape

SHIPPED = "shipped"
"""The score of the classifier that comes with hornbook."""


class FeaturesConfig(Config):
    """What is measured of a document, on how much of it."""

    features: list[str] = Field(["statistics"], min_length=1)
    """Feature sets side by side: statistics (of code), document (more of these, of the whole text, whatever
    excerpt_chars is), ngrams (hashed), hidden:MODEL@REVISION (a Hugging Face model's
    mean last hidden state; MODEL a folder, or a Hub id with its revision), checkpoint:ARM (the same of a model that
    this recipe pretrains; or a folder), sentence[:MODEL@REVISION] (a sentence encoder)."""
    excerpt_chars: int | None = Field(None, ge=50)
    """The features see this much of a document's beginning; unset: as much as annotate shows the teacher, so that the
    forest judges what the teacher judged: with whole files the labels of a 500-character excerpt are all but noise."""
    model_tokens: int = Field(512, ge=8)
    """A model among the features reads this many tokens of the excerpt at most."""
    precision: Precision = "auto"
    """Of such a model's matrix products. auto, the default, takes what the machine is fast in, as in training; without
    a model it changes nothing."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        columns = list(map(str, self.specs))  # a name that means nothing is refused here
        twice = [name for name in columns if columns.count(name) > 1]
        if twice:
            raise ValueError(f"features has {twice[0]} more than once: keep one")
        return self

    def seeing(self, chars: int) -> Self:
        """The same, of that many characters where none are set."""
        return self if self.excerpt_chars else self.model_copy(update={"excerpt_chars": chars})

    @property
    def specs(self) -> list[Spec]:
        return [read_spec(text) for text in self.features]

    @property
    def arms(self) -> Sequence[str]:
        """The arms of the recipe whose pretrained models are among the features."""
        return [spec.name for spec in self.specs if spec.kind == "checkpoint" and not spec.is_folder]

    @property
    def uses_model(self) -> bool:
        return any(FEATURES[spec.kind].reads_models for spec in self.specs)


class JudgeConfig(Config):
    """What scores a document, and what the score is learnt from."""

    score: Literal["forest", "linear", "gradient_boosting", "shipped", "random", "comment_density"] = "forest"
    """forest (the paper's), linear and gradient_boosting learn from the labels; shipped is the classifier that
    comes with hornbook and needs no labels; random and comment_density learn
    nothing: plain baselines, for control arms."""
    trees: int = Field(300, ge=1, le=10_000)
    """Trees in the forest; rounds of gradient boosting."""
    leaf_documents: int = Field(3, ge=1)
    """Fewest labelled documents in a leaf."""
    good_share: float | None = Field(None, gt=0, lt=1)
    """The share of labels, best first, that counts as good, the nearest that can be had where many labels are equal
    (this or good_label)."""
    good_label: float | None = None
    """The lowest label that counts as good (this or good_share)."""

    @model_validator(mode="after")
    def _good_means_one_thing(self) -> Self:
        if self.learns:
            _exactly_one(self, "good_share", "good_label")
        return self

    @property
    def learns(self) -> bool:
        """Whether labels are needed."""
        return self.score in LEARNERS

    @property
    def measures(self) -> bool:
        """Whether features are needed."""
        return self.learns or self.score == SHIPPED

    def shape(self, threads: int) -> Shape:
        return Shape(self.trees, self.leaf_documents, threads)


class ChoiceConfig(Config):
    """How much is kept of what was scored."""

    keep_share: float | None = Field(None, gt=0, le=1)
    """The share of documents to keep, best score first (this, min_score or keep_tokens)."""
    min_score: float | None = Field(None, ge=0, le=1)
    """The lowest score to keep: the calibrated probability of good (this, keep_share or keep_tokens)."""
    keep_tokens: int | None = Field(None, ge=1)
    """The budget: the best documents that fit into so many tokens (this, keep_share or min_score)."""
    bytes_per_token: float = Field(3.0, gt=0)
    """By which keep_tokens is counted: the tokenizer is trained later, on what was kept."""
    strata: Literal["topic", "origin"] = "topic"
    """What must not vanish: topic (by what is imported, and tags), or origin (package or repository)."""
    stratum_share: float = Field(0.0, ge=0, le=1)
    """Of every stratum the best documents are kept up to this share, one at least, whatever they score; they count
    towards the budget. 0: no stratum is looked at."""

    @model_validator(mode="after")
    def _kept_is_one_thing(self) -> Self:
        _exactly_one(self, "keep_share", "min_score", "keep_tokens")
        if self.keep_share is not None and self.stratum_share > self.keep_share:
            raise ValueError(
                f"stratum_share {self.stratum_share:g} is more than keep_share {self.keep_share:g}"
            )
        return self

    @property
    def rule(self) -> Rule:
        """How much is kept."""
        size = None if self.keep_tokens is None else self.keep_tokens * self.bytes_per_token
        return Rule(self.keep_share, self.min_score, size, self.stratum_share)


class FilterConfig(ChoiceConfig, JudgeConfig, FeaturesConfig):
    """A filter as a recipe has it: what scores a document, what the score is learnt from, and how much is kept.

    Each setting enters the step that it changes: features measures, judge learns and scores, filter chooses.
    """

    @property
    def arms(self) -> Sequence[str]:
        return super().arms if self.learns else ()

    @property
    def measuring(self) -> FeaturesConfig | None:
        """What is measured of every document before scoring; None if the score needs no features."""
        if self.score == SHIPPED:
            return FeaturesConfig(features=[DOCUMENT])
        return _only(FeaturesConfig, self) if self.learns else None

    @property
    def judging(self) -> JudgeConfig:
        """What scores; of a plain baseline only its name counts."""
        return _only(JudgeConfig, self) if self.learns else JudgeConfig(score=self.score)

    @property
    def choosing(self) -> ChoiceConfig:
        """What is kept of the scored."""
        return _only(ChoiceConfig, self)


C = TypeVar("C", bound=Config)


def _only(kind: type[C], config: Config) -> C:
    """The part of a config that is of a kind it extends."""
    return kind(**{name: getattr(config, name) for name in kind.model_fields})


def _exactly_one(config: Config, *names: str) -> None:
    if sum(getattr(config, name) is not None for name in names) != 1:
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        raise ValueError(f"state exactly one of {listed}")


JUDGE = "judge.safetensors"
TRUST = "trust.json"
"""How a score was made and, where it was learnt, how far it can be trusted."""
LABELLED = Path("labelled") / shard_name(0)
"""A row a labelled document: its label, whether that counts as good, the score it got out of fold, and its facts."""
MATRIX = "labelled.safetensors"
"""Their features, in the same order."""
THRESHOLD = "threshold.json"
QUALITY = "quality.json"
"""All that the report tells of a filter."""
CHECKPOINT = "checkpoint."
"""What the names of those inputs of features begin with that are models of the recipe."""
