"""Checkpoints of a training that is not finished: each whole or absent, the last few and the best kept."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from hornbook.core.errors import StageError
from hornbook.core.shards import read_json, write_json
from hornbook.model import ranks
from hornbook.model.engine import Engine

FACTS_FILE = "facts.json"


@dataclass(frozen=True)
class Checkpoints:
    """Folders `step-<steps done>` under one folder; what an engine wrote, and facts.json with its score."""

    folder: Path
    keep: int

    def save(self, engine: Engine, step: int, score: float) -> None:
        """Write the engine's state after `step` steps, then let go of what is neither recent nor best."""
        whole = self._of(step)
        partial = whole.with_name(f".{whole.name}.partial")
        if ranks.rank() == 0:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        ranks.wait()
        engine.save(partial)
        ranks.wait()
        if ranks.rank() == 0:
            write_json(partial / FACTS_FILE, {"step": step, "score": score, "layout": engine.layout})
            shutil.rmtree(whole, ignore_errors=True)
            partial.rename(whole)
            kept = {*self._whole()[-self.keep :], self.best()}
            for old in self._whole():
                if old not in kept:
                    shutil.rmtree(old)
        ranks.wait()

    def resume(self, engine: Engine) -> int:
        """Put the engine back to the newest checkpoint that can be read; the steps done, 0 without any.

        StageError where another kind of engine wrote it.
        """
        for folder in reversed(self._whole()):
            facts = self.facts(folder)
            if facts.get("layout", engine.layout) != engine.layout:
                raise StageError(
                    f"{folder} was written by {facts['layout']}, and {engine.layout} cannot go on from it: train with "
                    f"the former's launch and deepspeed settings, or delete {self.folder} to start anew"
                )
            try:
                engine.load(folder)
                return int(facts["step"])
            except (OSError, SafetensorError):
                continue  # cut short by a full or failing disk: the one before it is as good
        return 0

    def best(self) -> Path:
        """The checkpoint of the highest score, of equal ones the last."""
        return max(self._whole(), key=lambda folder: (self.facts(folder)["score"], folder.name))

    def facts(self, folder: Path) -> dict[str, Any]:
        """Its step and score, and the layout of the engine that wrote it."""
        return dict(read_json(folder / FACTS_FILE))

    def _of(self, step: int) -> Path:
        return self.folder / f"step-{step:08}"

    def _whole(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))
