"""Stops a training whose loss is no number or has jumped, and names the documents of that step."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from hornbook.core.errors import StageError
from hornbook.core.shards import write_json
from hornbook.model import ranks
from hornbook.model.sequences import Rows

STOPPED_FILE = "stopped.json"
"""Step, loss, rows and all documents of the step that a training stopped at."""
REMEMBERED = 32
SHOWN = 8
MOST_SKIPPED = 40
"""fp16 leaves a step out whose gradients overflow, and halves its scale; so many in a row are not the scale's fault."""


@dataclass
class Watch:
    """The losses of the last steps, and what is out of order after them."""

    steps: int
    spike_nats: float
    """How far above the mean of the last REMEMBERED losses is a spike; 0: nothing is."""
    rows: Rows
    out: Path
    skips: bool = False
    """Whether gradients that are no numbers are left out by loss scaling."""
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    skipped: int = 0

    def remember(self, losses: Iterable[float]) -> None:
        """Take these for the losses of the steps just done."""
        self.losses.clear()
        self.losses.extend(losses)

    def see(self, number: int, loss: float, norm: float | None, chosen: npt.NDArray[np.int64]) -> None:
        """Remember a step's loss; StageError if it, or the gradients' norm, is no number, or the loss a spike."""
        self.skipped = 0 if norm is None or math.isfinite(norm) else self.skipped + 1
        if not math.isfinite(loss):
            self._stop(number, f"became {loss}", loss, chosen)
        if self.skipped > (MOST_SKIPPED if self.skips else 0):
            self._stop(number, f"is {loss:.3f}, but the gradients' norm {norm},", loss, chosen)
        usual = sum(self.losses) / max(1, len(self.losses))
        if self.spike_nats and len(self.losses) == REMEMBERED and loss > usual + self.spike_nats:
            self._stop(number, f"jumped from about {usual:.2f} to {loss:.2f}", loss, chosen)
        self.losses.append(loss)

    def _stop(self, number: int, what: str, loss: float, chosen: npt.NDArray[np.int64]) -> NoReturn:
        names = self.rows.sources([int(row) for row in chosen])
        shown = ", ".join(names[:SHOWN])
        if ranks.rank() == 0:
            facts = {"step": number + 1, "loss": str(loss), "rows": chosen, "documents": names}
            write_json(self.out / STOPPED_FILE, facts)
        more = (
            f" and {len(names) - SHOWN} more (all in {self.out / STOPPED_FILE})" if len(names) > SHOWN else ""
        )
        raise StageError(
            f"the loss {what} at step {number + 1} of {self.steps}, on documents {shown}{more}; "
            "lower peak_learning_rate, lengthen the warm-up, or look at these documents"
            + (" (the machine's stop_at_spike_nats = 0 goes on)" if "jumped" in what else "")
        )
