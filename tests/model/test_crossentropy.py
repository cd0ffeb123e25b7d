from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from hornbook.model.kernels.loss import CHUNK_BYTES, FEWEST_TOKENS, IGNORED, chunk_tokens, head_loss


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # the compiler's own
@pytest.mark.parametrize("compiled", [False, True])
def test_loss_and_gradients_are_those_of_all_logits_at_once(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hornbook.model.kernels.loss.chunk_tokens", lambda *_: 64
    )  # three, the last cut short
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*s, requires_grad=True) for s in ((150, 32), (300, 32), (300,)))
    targets = torch.randint(0, 300, (150,))
    targets[::7] = IGNORED
    ours = head_loss(x, weight, bias, targets, compiled)
    theirs = F.cross_entropy(x @ weight.t() + bias, targets, reduction="sum", ignore_index=IGNORED)
    torch.testing.assert_close(ours, theirs)
    inputs = (x, weight, bias)
    for mine, reference in zip(
        torch.autograd.grad(ours / 3, inputs), torch.autograd.grad(theirs / 3, inputs), strict=True
    ):
        torch.testing.assert_close(mine, reference, atol=1e-4, rtol=1e-4)


def test_in_bf16_it_is_as_near_as_autocast_is() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(256, 64), torch.randn(500, 64) / 8, torch.zeros(500)
    targets = torch.randint(0, 500, (256,))
    exact = F.cross_entropy(F.linear(x, weight, bias), targets, reduction="sum")
    with torch.autocast("cpu", torch.bfloat16):
        half = head_loss(x.requires_grad_(), weight, bias, targets)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=2e-3)


def test_a_chunk_fits_a_cache_but_for_large_vocabularies() -> None:
    assert [chunk_tokens(v, "cpu") * v * 4 for v in (2048, 4096)] == [CHUNK_BYTES["cpu"]] * 2
    assert chunk_tokens(51_200, "cpu") == FEWEST_TOKENS
    assert CHUNK_BYTES["cuda"] / 2 < chunk_tokens(51_200, "cuda") * 51_200 * 4 <= CHUNK_BYTES["cuda"]
