from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend

from hornbook.model.kernels.attention import attention, document_mask, kernel
from hornbook.model.phi import Phi


@pytest.mark.parametrize("length", [1, 7, 64, 100])
@pytest.mark.parametrize("blocks", [1, 3, 4])
@pytest.mark.parametrize("packed", [False, True])
def test_both_attention_paths_compute_the_same(length: int, blocks: int, packed: bool) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, length, 8, requires_grad=True) for _ in range(3))
    weight = torch.randn(2, 3, length, 8)
    ends = torch.zeros(2, length, dtype=torch.long)
    ends[:, 4::9] = 1
    mask = document_mask(ends, 1) if packed else None
    results = []
    for path in (0, blocks):
        out = attention(q, k, v, blocks=path, mask=mask)
        results.append((out, *torch.autograd.grad((out * weight).sum(), (q, k, v))))
    for fused, blocked in zip(*results, strict=True):
        torch.testing.assert_close(fused, blocked, atol=1e-5, rtol=1e-5)


def test_attention_dropout_keeps_the_mean() -> None:
    torch.manual_seed(0)
    q, k = torch.zeros(64, 4, 32, 8), torch.zeros(64, 4, 32, 8)
    v = torch.ones(64, 4, 32, 8)
    dropped = attention(q, k, v, dropout=0.5, blocks=2)
    assert dropped.std() > 0.1
    assert dropped.mean() == pytest.approx(1, abs=0.02)


def test_the_kernel_is_required_not_hoped_for(monkeypatch: pytest.MonkeyPatch) -> None:
    q = torch.randn(1, 2, 8, 16)
    assert kernel(q, 0.0, False) == SDPBackend.FLASH_ATTENTION
    assert kernel(q, 0.1, False) == SDPBackend.MATH
    monkeypatch.setattr("hornbook.model.kernels.attention.kernel", lambda *_: SDPBackend.FLASH_ATTENTION)
    with pytest.raises(RuntimeError):
        attention(q, q, q, dropout=0.5)  # which the CPU's flash kernel does not do


@pytest.mark.parametrize("blocks", [0, 2])
def test_packed_documents_do_not_see_each_other(model: Phi, blocks: int) -> None:
    model.attention_blocks = blocks
    end = 0
    first, second = torch.randint(1, 500, (1, 20)), torch.randint(1, 500, (1, 43))
    row = torch.cat([first, torch.tensor([[end]]), second], dim=1)
    alone = model.loss(torch.cat([first, torch.tensor([[end]])], dim=1)) + model.loss(second)
    join = -model(row[:, :21])[0, -1].log_softmax(-1)[second[0, 0]]
    hidden = model.hidden(row, mask=document_mask(row, end))
    masked = model.loss(row, end_of_text=end)
    assert masked.item() != pytest.approx(model.loss(row).item(), rel=1e-3)
    assert masked.item() == pytest.approx((alone + join).item(), rel=1e-5)
    torch.testing.assert_close(hidden[:, 21:], model.hidden(second), atol=1e-4, rtol=1e-4)
