"""A model folder for transformers: weights, tokenizer, both configurations and a model card, nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from hornbook.core.errors import InputError
from hornbook.core.store import explained
from hornbook.model.checkpoint import CONFIG_FILE, GENERATION_FILE, MODEL_FILE, WEIGHTS_FILE
from hornbook.model.tokenizer import FILE, SETTINGS_FILE

CARD = "README.md"
EXPORTED = (WEIGHTS_FILE, CONFIG_FILE, GENERATION_FILE, MODEL_FILE, FILE, SETTINGS_FILE)


def save_hf(folder: Path, out: Path, card: str) -> None:
    """Copy the model of `folder` to `out`, whole or not at all, with `card` as its README.md.

    InputError where `out` holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; give the name of a new folder")
    out = out.resolve()  # where `out` is the folder we are in, it has no name
    partial = out.with_name(f".{out.name}.partial")
    with explained(out):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in EXPORTED:
            if (folder / name).exists():
                shutil.copyfile(folder / name, partial / name)
        (partial / CARD).write_text(card, encoding="utf-8")
        partial.replace(out)
