"""Tokens a second of training, side by side: hornbook against PhiForCausalLM, same model, batch and data.

    python bench/train.py                     # the size micro at 512 tokens a row, every contender
    python bench/train.py --size nano --row-tokens 256 --seconds 10

Each contender runs in a process of its own with the same allocator and thread settings, bf16 autocast and
AdamW; the first two steps (compilation) are not counted but shown. Runs differ by up to 15 %: rank nothing
closer than 10 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

ENVIRONMENT = {
    "GOMP_SPINCOUNT": "10000",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:"
    "glibc.malloc.trim_threshold=8589934592:glibc.malloc.top_pad=268435456",
}
VOCABULARY = 4096
BATCH_TOKENS = 8192
CONTENDERS = ("transformers", "transformers, compiled", "hornbook", "hornbook, compiled")


def loss_function(contender: str, size: str, row_tokens: int) -> tuple[object, Callable[[object], object]]:
    """The model in training mode and tokens [B, T] -> mean loss."""
    import torch

    from hornbook.model.convert import transformers_config
    from hornbook.model.phi import Phi, PhiConfig

    config = PhiConfig.of_size(size, VOCABULARY, row_tokens)
    compiled = contender.endswith("compiled")
    if contender.startswith("transformers"):
        import transformers

        model = transformers.PhiForCausalLM(transformers.PhiConfig(**transformers_config(config, 0))).train()
        forward = torch.compile(model) if compiled else model
        return model, lambda tokens: forward(input_ids=tokens, labels=tokens, use_cache=False).loss
    ours = Phi(config).initialise(0).train()
    ours.attention_blocks = max(1, row_tokens // 256) if compiled else 0
    loss = torch.compile(ours.loss) if compiled else ours.loss
    return ours, lambda tokens: loss(tokens) / (tokens.shape[0] * (tokens.shape[1] - 1))


def measure(contender: str, size: str, row_tokens: int, seconds: float) -> dict[str, float]:
    """Seconds of the first two steps, then tokens a second."""
    import torch

    torch.manual_seed(0)
    model, loss = loss_function(contender, size, row_tokens)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        tokens = torch.randint(0, VOCABULARY, (BATCH_TOKENS // row_tokens, row_tokens))
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(tokens)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    begun = time.perf_counter()
    step()
    step()
    first = time.perf_counter() - begun
    begun, steps = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        step()
        steps += 1
    return {"first": first, "speed": steps * BATCH_TOKENS / (time.perf_counter() - begun)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--size", default="micro")
    arguments.add_argument("--row-tokens", type=int, default=512)
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--only", choices=CONTENDERS, help="measure this one in this process")
    given = arguments.parse_args()
    if given.only:
        print(json.dumps(measure(given.only, given.size, given.row_tokens, given.seconds)))
        return
    print(f"{'':26} tokens/s   first two steps   load")
    for contender in CONTENDERS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", contender]
        done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)
        print(
            f"{contender:26} {found['speed']:8,.0f} {found['first']:15.1f} s {os.getloadavg()[0]:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
