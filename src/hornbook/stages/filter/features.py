"""features: what a judge can learn from, measured of every document once, whatever is kept in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hornbook.core.context import Tools
from hornbook.core.shards import Counts, read_table, run_shards, shards, write_json, write_shard
from hornbook.core.workers import Serial
from hornbook.model import precision
from hornbook.model.precision import Taking
from hornbook.stages.filter import feature_sets as features
from hornbook.stages.filter.config import CHECKPOINT, FeaturesConfig
from hornbook.stages.filter.feature_sets import COSTS, Means, to_table


def identity(config: FeaturesConfig, _cache: Path) -> Mapping[str, str]:
    """The content of the local models among the features, and what the branches of others stand for."""
    return features.identity(config.features)


def revisions(config: FeaturesConfig) -> Mapping[str, str]:
    """The branches that models are read at, and their commits."""
    return features.revisions(config.features)


def settled(config: FeaturesConfig, taking: Taking) -> FeaturesConfig:
    """The config with the precision that is taken, if a model is among the features."""
    return precision.settled(config, taking) if config.uses_model else config


@dataclass(frozen=True)
class Job:
    """One shard to measure."""

    shard: Path
    config: FeaturesConfig
    out: Path
    means: Means


def run(config: FeaturesConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """A row for each document, in its own shard and place: its id and its features, 4 bytes each before zstd.

    Where a model is among the features one process reads with all of the device. costs/ tells the seconds.
    """
    means = _means(config, inputs, tools)
    jobs = {path.name: Job(path, config, out, means) for path in shards(inputs["documents"])}
    return run_shards(
        "measure", _measure, jobs, out, replace(tools, workers=Serial()) if config.uses_model else tools
    )


def _means(config: FeaturesConfig, inputs: Mapping[str, Path], tools: Tools) -> Means:
    """With what the features are opened; torch is imported where a model is among them."""
    if not config.uses_model:
        return Means()
    from hornbook.model.plan import find_device

    checkpoints = tuple(
        (name.removeprefix(CHECKPOINT), folder)
        for name, folder in sorted(inputs.items())
        if name.startswith(CHECKPOINT)
    )
    taken = precision.take(config.precision, tools.machine)
    return Means(find_device(tools.machine.device), taken, config.model_tokens, checkpoints)


def _measure(job: Job) -> Counts:
    assert job.config.excerpt_chars is not None  # laid_out
    table = read_table(job.shard, ["id", "text"])
    texts, seconds = table["text"].to_pylist(), dict[str, float]()
    found = features.extract(job.config.features, texts, job.config.excerpt_chars, job.means, seconds)
    write_json(
        job.out / COSTS / job.shard.stem / "timing.json", {"documents": len(texts), "seconds": seconds}
    )
    return write_shard(job.out, job.shard.name, to_table(table["id"].to_pylist(), found))
