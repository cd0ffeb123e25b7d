from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend

from hornbook.core.errors import ConfigError, StageError
from hornbook.model.config import TrainConfig
from hornbook.model.kernels import attention
from hornbook.model.phi import Phi
from hornbook.model.plan import find_device, require_kernel

CONFIG = TrainConfig(
    tokens=1, tokens_per_step=1, peak_learning_rate=1e-3, warmup_steps=0, dropout=0.0, precision="bf16"
)


@pytest.mark.parametrize("masked", [False, True])
def test_a_kernel_that_exists_is_found_and_one_that_does_not_is_a_clear_line(
    model: Phi, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"document_mask": masked})
    require_kernel(model, config, "cpu")
    dropped = config.model_copy(update={"dropout": 0.1})  # which the CPU's flash kernel does not do
    for place in ("kernels.attention", "plan"):
        monkeypatch.setattr(f"hornbook.model.{place}.kernel", lambda *_: SDPBackend.FLASH_ATTENTION)
    with pytest.raises(
        StageError, match=r"flash attention does not run on cpu in bf16 with heads of 32 \(.*another"
    ):
        require_kernel(model, dropped, "cpu")


@pytest.mark.parametrize(
    ("capability", "dtype", "masked", "expected"),
    [
        ((8, 0), torch.bfloat16, False, SDPBackend.FLASH_ATTENTION),
        ((9, 0), torch.float16, False, SDPBackend.FLASH_ATTENTION),
        ((9, 0), torch.bfloat16, True, SDPBackend.EFFICIENT_ATTENTION),
        ((9, 0), torch.float32, False, SDPBackend.EFFICIENT_ATTENTION),
        ((7, 0), torch.float16, False, SDPBackend.EFFICIENT_ATTENTION),
    ],
)
def test_on_cuda_the_kernel_follows_from_the_gpu_the_precision_and_the_mask(
    capability: tuple[int, int],
    dtype: torch.dtype,
    masked: bool,
    expected: SDPBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    with torch._subclasses.FakeTensorMode():
        q = torch.empty(1, 1, 1, 64, dtype=dtype, device="cuda")
    assert attention.kernel(q, 0.1, masked) == expected


@pytest.mark.parametrize("device", ["banana", "cuda:99"])
def test_a_device_that_is_not_there_is_a_clear_line(device: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"device is '{device}', but torch cannot use {device} here \(.+\); set"
    ):
        find_device(device)
    assert find_device("cpu") == "cpu"


def test_each_process_of_a_launch_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(torch, "empty", lambda _, device: tried.append(device))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert (
        [find_device("auto"), find_device("cuda"), find_device("cpu")] == tried == ["cuda:3", "cuda:3", "cpu"]
    )
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert find_device("auto") == "cuda"
