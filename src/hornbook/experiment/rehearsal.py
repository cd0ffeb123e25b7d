"""A rehearsal: the same recipe with little of everything, to see each step work before it is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hornbook.core.machine import Machine
from hornbook.core.settings import parse
from hornbook.experiment.recipe import Recipe

SUFFIX = "-rehearsal"
STEP_ROWS = 2
"""Rows of a training step, at least; a machine of several processes gives each of them some."""
STEPS = 4
TRAINED_INSTEAD = "nano"
AT_MOST: Mapping[str, int] = {
    "read.shard_bytes": 500_000,
    "annotate.labels": 40,
    "again.*.labels": 10,
    "filter.keep_tokens": 300_000,
    "filters.*.keep_tokens": 300_000,
    "textbooks.pages": 20,
    "textbooks.pages_a_round": 8,
    "textbooks.plain_pages": 4,
    "textbooks.books.count": 1,
    "textbooks.books.chapters": 2,
    "textbooks.books.pages": 2,
    "exercises.*.asks": 16,
    "exercises.*.shard_asks": 8,
    "exercises.*.ask_for_tests": 4,
    "exercises.*.count": 200,
    "exercises.*.heldout_count": 60,
    "exercises.*.mutated": 20,
    "exercises.*.shard_exercises": 100,
    "tokenizer.sample_bytes": 1_000_000,
    "evaluate.heldout_problems": 10,
    "evaluate.samples": 2,
    "evaluate.max_answer_tokens": 32,
    "evaluate.mutants": 1,
    "evaluate.robustness_problems": 2,
    "evaluate.grade.problems": 4,
    "evaluate.grade.repeats": 2,
    **{
        f"{stage}.{setting}": most
        for stage in ("pretrain", "finetune")
        for setting, most in (
            ("warmup_steps", 1),
            ("checkpoint_every_steps", STEPS // 2),
            ("choose_exercises", 5),
            ("heldout_rows", 4),
        )
    },
}
"""Amount -> the most of it that is left. What is not named here is the recipe's own: prompts, models, thresholds."""
STEPS_AT_MOST: Mapping[str, int] = {
    "mixes.*.tokens": STEPS,
    "pretrain.tokens": STEPS,
    "finetune.tokens": STEPS,
    "pretrain.tokens_per_step": 1,
    "finetune.tokens_per_step": 1,
}
"""The same in training steps of `step_rows` rows."""
SOURCE_BYTES = 1_000_000
"""Of each source so much is read, in place of what the recipe says."""


def rehearsal(recipe: Recipe, step_rows: int = STEP_ROWS, own_size: bool = False) -> Recipe:
    """The recipe under a name of its own, with every amount cut to what ends in minutes.

    A tiny model is trained in place of the recipe's, unless `own_size`: then a step of `step_rows` rows shows whether
    the real one fits into memory.
    """
    values = recipe.model_dump(mode="json")
    step_tokens = step_rows * (recipe.row_tokens or 1)
    for path, most in {**AT_MOST, **{path: n * step_tokens for path, n in STEPS_AT_MOST.items()}}.items():
        _cut(values, path.split("."), most)
    if values["read"]:
        values["read"]["max_bytes"] = 0
        for source in values["read"]["sources"]:
            source["first_bytes"] = min(source["first_bytes"] or SOURCE_BYTES, SOURCE_BYTES)
    if values["pretrain"] and not own_size:
        values["pretrain"]["size"] = TRAINED_INSTEAD
    return parse(
        Recipe, {**values, "name": recipe.name + SUFFIX, "rehearses": recipe.name}, recipe.name + SUFFIX
    )


def rehearsed_on(recipe: Recipe, machine: Machine) -> Recipe:
    """The rehearsal for this machine: on CUDA with the recipe's own model, and as many rows as fill its memory."""
    from hornbook.model.plan import MICRO_BATCH_TOKENS, find_device

    on_cuda = recipe.row_tokens is not None and find_device(machine.device).startswith("cuda")
    rows = -(-STEP_ROWS // machine.launch)
    if on_cuda and recipe.row_tokens:
        rows = max(rows, machine.micro_batch or MICRO_BATCH_TOKENS["cuda"] // recipe.row_tokens)
    return rehearsal(recipe, machine.launch * rows, on_cuda)


def _cut(values: Any, path: list[str], most: int) -> None:
    """Lower the amount at the path, or the amounts where it says *; one that the recipe does not have stays away."""
    name, *rest = path
    for key in (list(values) if name == "*" else [name]) if isinstance(values, dict) else ():
        if rest:
            _cut(values.get(key), rest, most)
        elif values.get(key) is not None:
            values[key] = min(values[key], most)
