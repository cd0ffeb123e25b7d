"""Tokens a second of sampling, side by side: hornbook's generate against transformers' on the same weights.

    python bench/sample.py                      # 128 sequences of 128 tokens, greedy
    python bench/sample.py --sequences 16 --rounds 5

The model is the size micro with 4,096 rows of vocabulary. Rounds of the contenders alternate in one process, and the
ratio is the median of the rounds' own: a busy neighbour slows both. No sequence may end early.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable

VOCABULARY = 4096
PROMPT_TOKENS = 32
Sample = Callable[[list[list[int]], int], list[list[int]]]


def theirs(config: object, state: dict[str, object], dtype: object) -> Sample:
    """transformers' generate with its default, growing cache."""
    import torch
    import transformers

    from hornbook.model.convert import to_transformers, transformers_config

    shape = transformers.PhiConfig(**transformers_config(config, 0))  # type: ignore[arg-type]
    model = transformers.PhiForCausalLM(shape).eval()
    model.load_state_dict(to_transformers(state, config))  # type: ignore[arg-type]
    model.to(dtype)

    def sample(prompts: list[list[int]], new: int) -> list[list[int]]:
        ids = torch.tensor(prompts)
        mask = torch.ones_like(ids)
        made = model.generate(
            ids, attention_mask=mask, max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0
        )
        return made[:, ids.shape[1] :].tolist()  # type: ignore[no-any-return]

    return sample


def ours(config: object, state: dict[str, object], dtype: object) -> Sample:
    """hornbook's batch, below the tokenizer: ids to ids."""
    from hornbook.model.generate import Batch, Sampling
    from hornbook.model.phi import Phi
    from hornbook.model.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([""], 257)
    model = Phi(config).eval()  # type: ignore[arg-type]
    model.load_state_dict(state)  # type: ignore[arg-type]
    model.to(dtype)  # type: ignore[call-overload]

    def sample(prompts: list[list[int]], new: int) -> list[list[int]]:
        dice = [random.Random(0)] * len(prompts)
        batch = Batch(model, tokenizer, Sampling(new, batch_size=len(prompts)), prompts, dice)
        batch.completions()
        return batch.written

    return sample


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as hornbook's command line does

    import torch

    from hornbook.model.phi import Phi, PhiConfig

    config = PhiConfig.of_size("micro", VOCABULARY, 512)
    model = Phi(config).initialise(0)
    with torch.no_grad():
        model.head.bias[0] = -1e9  # end-of-text never comes
    state = model.state_dict()
    draw = torch.Generator().manual_seed(1)
    prompts = torch.randint(1, VOCABULARY, (options.sequences, PROMPT_TOKENS), generator=draw).tolist()
    contenders = {
        f"{name}, {dtype}": make(config, state, getattr(torch, dtype))
        for dtype in ("float32", "bfloat16")
        for name, make in (("transformers", theirs), ("hornbook", ours))
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    written: dict[str, list[list[int]]] = {}
    for number in range(options.rounds + 1):
        for name, sample in contenders.items():
            begun = time.perf_counter()
            written[name] = sample(prompts, options.tokens)
            if number:  # the first round warms up
                rates[name].append(options.sequences * options.tokens / (time.perf_counter() - begun))
    for name, found in rates.items():
        print(f"{name:<24} {statistics.median(found):>8,.0f} tokens/s")
    for dtype in ("float32", "bfloat16"):
        pairs = zip(rates[f"hornbook, {dtype}"], rates[f"transformers, {dtype}"], strict=True)
        print(f"hornbook / transformers, {dtype}: {statistics.median(a / b for a, b in pairs):.2f}x")
    best = [max(rates[n][i] for n in rates if n.startswith("transformers")) for i in range(options.rounds)]
    mine = [max(rates[n][i] for n in rates if n.startswith("hornbook")) for i in range(options.rounds)]
    print(f"best / best: {statistics.median(a / b for a, b in zip(mine, best, strict=True)):.2f}x")
    same = written["hornbook, float32"] == written["transformers, float32"]
    print(f"greedy tokens in float32 are {'the same' if same else 'NOT the same'}")


if __name__ == "__main__":
    main()
