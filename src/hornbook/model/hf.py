"""Any causal language model of transformers, asked the way that our own models are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hornbook.core.errors import ConfigError, InputError, first_line
from hornbook.model.generate import choose
from hornbook.model.sampling import Completion, Sampling, Score
from hornbook.model.tokenizer import Tokenizer

KEPT_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
"""What is fetched of a model on the Hub: never code, never pickled weights."""


def fetch(name: str, revision: str) -> Path:
    """The folder of a model of the Hugging Face Hub, named by its commit; InputError where it cannot be had."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=KEPT_FILES))
    except Exception as error:
        raise InputError(
            f"model {name} is no local folder and could not be fetched from the Hugging Face Hub "
            f"({first_line(error)}); check the spelling and the network, or give the path of a folder saved by "
            "transformers"
        ) from error


@dataclass(frozen=True)
class ForeignModel:
    """A transformers model and its tokenizer, with the conventions that come with them."""

    model: Any
    tokenizer: Tokenizer
    front: tuple[int, ...]
    """Special ids that its tokenizer puts before every text."""
    ends: tuple[int, ...]
    """Ids that end a text."""
    context_tokens: int

    @classmethod
    def load(cls, folder: Path, dtype: str, begin_with: str, device: str) -> ForeignModel:
        """From a folder; code that comes with a model is never run. InputError says what does not fit."""
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
        except ImportError as error:
            raise InputError(
                "evaluating a transformers model needs transformers; pip install 'hornbook[hf]'"
            ) from error
        import torch

        try:
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=getattr(torch, dtype), trust_remote_code=False, local_files_only=True
            )
            fast = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        except Exception as error:  # each architecture raises its own
            raise InputError(
                f"{folder.name} cannot be loaded by transformers: {first_line(error)}"
            ) from error
        ends = _ends(model, fast, folder)
        tokenizer = Tokenizer(_core(fast, folder), fast.convert_ids_to_tokens(ends[0]))
        model.generation_config = GenerationConfig(eos_token_id=list(ends), pad_token_id=ends[0])
        front = FRONTS[begin_with](fast)
        return cls(model.to(device).eval(), tokenizer, front, ends, _context(model))

    def complete(self, prompts: Sequence[str], sampling: Sampling, seeds: Sequence[int]) -> list[Completion]:
        """A completion of each prompt; what a prompt gets depends on its seed, not on the prompts beside it."""
        if sampling.max_new_tokens >= self.context_tokens:
            raise ConfigError(
                f"max_new_tokens is {sampling.max_new_tokens}; the model's context has {self.context_tokens} tokens"
            )
        room = self.context_tokens - sampling.max_new_tokens - len(self.front)
        encoded = [[*self.front, *ids[-room:]] for ids in self.tokenizer.encode_batch(prompts)]
        order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
        found: dict[int, Completion] = {}
        for start in range(0, len(order), sampling.batch_size):
            chosen = order[start : start + sampling.batch_size]
            dice = [random.Random(seeds[i] if seeds else 0) for i in chosen]
            found |= zip(chosen, self._write([encoded[i] for i in chosen], sampling, dice), strict=True)
        return [found[i] for i in range(len(prompts))]

    def _write(
        self, prompts: Sequence[list[int]], sampling: Sampling, dice: Sequence[random.Random]
    ) -> list[Completion]:
        import torch

        longest = max(map(len, prompts))
        padded = [[self.ends[0]] * (longest - len(ids)) + ids for ids in prompts]
        mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=torch.tensor(padded, device=self.model.device),
                attention_mask=torch.tensor(mask, device=self.model.device),
                max_new_tokens=sampling.max_new_tokens,
                do_sample=False,
                logits_processor=[Drawn(sampling, dice)],
                stopping_criteria=[Stopped(self.tokenizer, sampling.stop, longest)],
            )
        return [
            self._completion(ids, row[longest:], sampling.stop)
            for ids, row in zip(prompts, written.tolist(), strict=True)
        ]

    def _completion(self, prompt: list[int], row: list[int], stops: Sequence[str]) -> Completion:
        """What was written, read after its prompt: some tokenizers drop the blank before a first word."""
        at = next((n for n, token in enumerate(row) if token in self.ends), len(row))
        before = self.tokenizer.decode(prompt)
        text = self.tokenizer.decode([*prompt, *row[:at]])[len(before) :]
        cuts = [text.find(stop) for stop in stops if stop in text]
        if cuts:
            return Completion(text[: min(cuts)], at, "stop")
        return Completion(text, min(at + 1, len(row)), "end" if at < len(row) else "length")

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """The likelihood of each (prompt, completion), encoded apart."""
        from hornbook.model.likelihood import likelihoods

        encoded = []
        for prompt, completion in pairs:
            before, after = self.tokenizer.encode_pair(prompt, completion)
            encoded.append(([*self.front, *before], after))
        device = self.model.device
        return likelihoods(
            pairs, encoded, self.context_tokens, lambda ids: self.model(input_ids=ids.to(device)).logits
        )


def _by_tokenizer(fast: Any) -> tuple[int, ...]:
    """What its tokenizer puts before a text: not what it puts behind one."""
    return tuple(i for i in fast("")["input_ids"] if i == fast.bos_token_id or i != fast.eos_token_id)


def _bos(fast: Any) -> tuple[int, ...]:
    if fast.bos_token_id is None:
        raise ConfigError(
            "begin_with is bos, but this tokenizer names no bos token; use tokenizer or nothing"
        )
    return (fast.bos_token_id,)


FRONTS: dict[str, Callable[[Any], tuple[int, ...]]] = {
    "tokenizer": _by_tokenizer,
    "bos": _bos,
    "nothing": lambda fast: (),
}
"""What stands before every text, by convention."""


def _core(fast: Any, folder: Path) -> Any:
    core = getattr(fast, "backend_tokenizer", None)
    if core is None:
        raise InputError(f"{folder.name} has no fast tokenizer; save it with a tokenizer.json beside it")
    return core


def _ends(model: Any, fast: Any, folder: Path) -> tuple[int, ...]:
    """The ids that end a text: those of its generation settings, then its tokenizer's own."""
    said = getattr(model.generation_config, "eos_token_id", None)
    found = said if isinstance(said, list) else [said]
    ends = tuple(dict.fromkeys(i for i in (*found, fast.eos_token_id) if i is not None))
    if not ends:
        raise InputError(f"{folder.name} names no token that ends a text (eos_token)")
    return ends


def _context(model: Any) -> int:
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length"):
        if isinstance(value := getattr(model.config.get_text_config(), name, None), int):
            return value
    return 2048


class Drawn:
    """Leaves of each row's scores only the token that the row's own dice draw."""

    def __init__(self, sampling: Sampling, dice: Sequence[random.Random]) -> None:
        self.sampling, self.dice = sampling, dice

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        tokens = choose(scores.float(), self.sampling, self.dice)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)


class Stopped:
    """Ends a row once a stop string stands in what was written after `start`."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str], start: int) -> None:
        self.tokenizer, self.stops, self.start = tokenizer, stops, start
        self.tail_tokens = 1 + max((len(text.encode()) for text in stops), default=0)

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        if not self.stops:
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        tails = self.tokenizer.decode_batch(input_ids[:, self.start :][:, -self.tail_tokens :].tolist())
        found = [any(stop in tail for stop in self.stops) for tail in tails]
        return torch.tensor(found, device=input_ids.device)
