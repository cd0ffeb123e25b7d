"""Which labels count as good: of a share of them where many are equal, the nearest that can be had."""

from __future__ import annotations

import numpy as np
import pytest

from hornbook.stages.filter.learning import label_of_share


@pytest.mark.parametrize(
    ("labels", "share", "bar"),
    [
        ([1] * 10 + [2] * 30 + [3] * 40 + [4] * 15 + [5] * 5, 0.3, 4),  # 20% are nearer than 60%
        ([1] * 10 + [2] * 30 + [3] * 40 + [4] * 15 + [5] * 5, 0.5, 3),
        ([0] * 20 + [5] * 80, 0.3, 5),
        ([2.0] * 7, 0.3, 2),
    ],
)
def test_equal_labels_stay_on_one_side(labels: list[float], share: float, bar: float) -> None:
    assert label_of_share(np.array(labels, float), share) == bar


def test_of_labels_that_differ_the_share_is_met_to_the_document() -> None:
    labels = np.random.default_rng(1).random(200)
    assert (labels >= label_of_share(labels, 0.3)).sum() == 60
    assert (labels >= label_of_share(labels, 0.001)).sum() == 1
