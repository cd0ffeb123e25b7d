"""Batched completion with a cache of keys and values, and the likelihood of given completions.

Both put end-of-text in front: that is what a model saw before every document it was trained on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from hornbook.core.errors import ConfigError
from hornbook.model.likelihood import likelihoods
from hornbook.model.phi import Cache, Phi
from hornbook.model.sampling import Completion, Sampling, Score
from hornbook.model.tokenizer import Tokenizer

COMPACT_BELOW = 0.75
"""Finished sequences leave the batch once the others are less than this share of it."""


def generate(
    model: Phi, tokenizer: Tokenizer, prompts: Sequence[str], sampling: Sampling, seeds: Sequence[int] = ()
) -> list[Completion]:
    """A completion of each prompt; `seeds` holds one seed a prompt where temperature is above 0.

    What a prompt gets depends on its seed, not on the prompts beside it (but for rounding). A prompt longer than
    the model's context less max_new_tokens loses its beginning.
    """
    if sampling.temperature > 0 and len(seeds) != len(prompts):
        raise ConfigError(f"sampling {len(prompts)} prompts needs as many seeds, not {len(seeds)}")
    encoded = _encoded(model, tokenizer, prompts, sampling)
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    found: dict[int, Completion] = {}
    for start in range(0, len(order), sampling.batch_size):
        chosen = order[start : start + sampling.batch_size]
        dice = [random.Random(seeds[i] if seeds else 0) for i in chosen]
        batch = Batch(model, tokenizer, sampling, [encoded[i] for i in chosen], dice)
        found |= dict(zip(chosen, batch.completions(), strict=True))
    return [found[i] for i in range(len(prompts))]


def stream(model: Phi, tokenizer: Tokenizer, prompt: str, sampling: Sampling, seed: int = 0) -> Iterator[str]:
    """The completion that `generate` gives a prompt, in pieces as soon as each is certain.

    What may be the beginning of a stop string, or of a character, is held back until it is known.
    """
    encoded = _encoded(model, tokenizer, [prompt], sampling)
    batch = Batch(model, tokenizer, sampling, encoded, [random.Random(seed)])
    shown = 0
    for _ in batch.steps():
        text = batch.completion(0).text
        certain = len(text) if batch.ended[0] else len(_certain(text, sampling.stop))
        yield text[shown:certain]
        shown = max(shown, certain)
    yield batch.completion(0).text[shown:]


def _certain(text: str, stops: Sequence[str]) -> str:
    """A text without what the next token may take back."""
    text = text.rstrip("\ufffd")
    held = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return text[: len(text) - max(held, default=0)]


def _encoded(model: Phi, tokenizer: Tokenizer, prompts: Sequence[str], sampling: Sampling) -> list[list[int]]:
    """The ids of prompts, end-of-text in front, their beginnings cut to leave room for what is written."""
    context = model.config.context_tokens
    if sampling.max_new_tokens >= context:
        raise ConfigError(
            f"max_new_tokens is {sampling.max_new_tokens}; the model's context has {context} tokens"
        )
    room = context - sampling.max_new_tokens
    return [[tokenizer.end_of_text, *ids][-room:] for ids in tokenizer.encode_batch(prompts)]


class Batch:
    """Sequences that are written together, one token each a step."""

    def __init__(
        self,
        model: Phi,
        tokenizer: Tokenizer,
        sampling: Sampling,
        prompts: Sequence[list[int]],
        dice: Sequence[random.Random],
    ) -> None:
        self.model, self.tokenizer, self.sampling = model, tokenizer, sampling
        self.prompts, self.dice = prompts, dice
        self.written: list[list[int]] = [[] for _ in prompts]
        self.ended: list[Literal["end", "stop", "length"] | None] = [None] * len(prompts)
        self.rows = list(range(len(prompts)))
        """Which sequence stands in each row of the batch."""
        self.tail_tokens = 1 + max((len(text.encode()) for text in sampling.stop), default=0)
        """Tokens at the end that can hold a stop string that has just come about."""

    def completions(self) -> list[Completion]:
        for _ in self.steps():
            pass
        return [self.completion(i) for i in range(len(self.prompts))]

    @torch.inference_mode()
    def steps(self) -> Iterator[None]:
        """Write a token to every sequence that goes on, again and again until all have ended."""
        device, dtype = self.model.head.weight.device, self.model.head.weight.dtype
        longest = max(map(len, self.prompts))
        padding = torch.tensor([longest - len(ids) for ids in self.prompts], device=device)
        padded = [[self.tokenizer.end_of_text] * (longest - len(ids)) + ids for ids in self.prompts]
        cache = Cache(self.model.config, padding, dtype)
        tokens = torch.tensor(padded, device=device)
        for _ in range(self.sampling.max_new_tokens):
            logits = self.model.head(self.model.hidden(tokens, cache)[:, -1])
            tokens = choose(logits.float(), self.sampling, [self.dice[i] for i in self.rows])[:, None]
            self._write(tokens[:, 0].tolist())
            yield
            going = [row for row, i in enumerate(self.rows) if not self.ended[i]]
            if not going:
                break
            if len(going) < COMPACT_BELOW * len(self.rows):
                kept = torch.tensor(going, device=device)
                cache.keep(kept)
                tokens = tokens[kept]
                self.rows = [self.rows[row] for row in going]

    def _write(self, drawn: Sequence[int]) -> None:
        """Add a token to each sequence that goes on, and end those that are done."""
        live = [(i, token) for i, token in zip(self.rows, drawn, strict=True) if not self.ended[i]]
        for i, token in live:
            self.written[i].append(token)
            if token == self.tokenizer.end_of_text:
                self.ended[i] = "end"
        if self.sampling.stop:
            tails = self.tokenizer.decode_batch([self.written[i][-self.tail_tokens :] for i, _ in live])
            for (i, _), tail in zip(live, tails, strict=True):
                if not self.ended[i] and any(stop in tail for stop in self.sampling.stop):
                    self.ended[i] = "stop"

    def completion(self, i: int) -> Completion:
        """What sequence i holds so far, up to its stop string."""
        ids = self.written[i]
        text = self.tokenizer.decode(ids[:-1] if self.ended[i] == "end" else ids)
        cuts = [text.find(stop) for stop in self.sampling.stop if stop in text]
        return Completion(text[: min(cuts, default=len(text))], len(ids), self.ended[i] or "length")


def choose(logits: Tensor, sampling: Sampling, dice: Sequence[random.Random]) -> Tensor:
    """The next token [B] from logits [B, V]: the likeliest, or drawn from the nucleus (Holtzman et al. 2020)."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    probabilities, tokens = (logits / sampling.temperature).softmax(-1).sort(-1, descending=True)
    reached = probabilities.cumsum(-1)
    probabilities = probabilities.where(reached - probabilities < sampling.top_p, 0.0)
    reached = probabilities.cumsum(-1)
    thrown = torch.tensor([die.random() for die in dice], device=logits.device)[:, None] * reached[:, -1:]
    places = (reached <= thrown).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return tokens.gather(-1, places)[:, 0]


def score(model: Phi, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[Score]:
    """The likelihood of each (prompt, completion), encoded apart, with end-of-text in front and none behind.

    Where a pair exceeds the context, each token is predicted from at least the half of the context before it.
    """
    encoded = []
    for prompt, completion in pairs:
        before, after = tokenizer.encode_pair(prompt, completion)
        encoded.append(([tokenizer.end_of_text, *before], after))
    device = model.head.weight.device
    return likelihoods(pairs, encoded, model.config.context_tokens, lambda ids: model(ids.to(device)))
