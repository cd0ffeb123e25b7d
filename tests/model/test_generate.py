from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from hornbook.core.errors import ConfigError
from hornbook.model.generate import choose, generate, score, stream
from hornbook.model.phi import Phi, PhiConfig
from hornbook.model.sampling import Sampling
from hornbook.model.tokenizer import Tokenizer

PROMPTS = [
    "def wrap(text):\n",
    "import re\n\nclass A:\n    pass\n\n",
    "x",
    "for i in range(3):\n    print(i)\n",
]


def _uncached_greedy(model: Phi, tokenizer: Tokenizer, prompt: str, tokens: int) -> list[int]:
    ids = [tokenizer.end_of_text, *tokenizer.encode(prompt)]
    start = len(ids)
    while len(ids) < start + tokens:
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
        if ids[-1] == tokenizer.end_of_text:
            return ids[start:-1]
    return ids[start:]


def test_greedy_equals_the_uncached_forward_token_by_token(model: Phi, tokenizer: Tokenizer) -> None:
    completions = generate(model, tokenizer, PROMPTS, Sampling(max_new_tokens=24))
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        ids = _uncached_greedy(model, tokenizer, prompt, 24)
        assert completion.text == tokenizer.decode(ids)
    assert len({completion.text for completion in completions}) > 1


def test_a_sequence_is_drawn_by_its_own_seed_whatever_stands_beside_it(
    model: Phi, tokenizer: Tokenizer
) -> None:
    sampling = Sampling(max_new_tokens=20, temperature=0.8, top_p=0.95)
    together = generate(model, tokenizer, [*PROMPTS, *PROMPTS], sampling, range(8))
    apart = [
        generate(model, tokenizer, [prompt], sampling, [seed])[0]
        for seed, prompt in enumerate([*PROMPTS, *PROMPTS])
    ]
    assert together == apart
    assert together[:4] != together[4:]


def test_small_batches_give_what_one_batch_gives(model: Phi, tokenizer: Tokenizer) -> None:
    whole = generate(model, tokenizer, PROMPTS, Sampling(max_new_tokens=12))
    assert whole == generate(model, tokenizer, PROMPTS, Sampling(max_new_tokens=12, batch_size=3))


def test_a_stop_string_ends_a_completion_and_is_left_out(model: Phi, tokenizer: Tokenizer) -> None:
    free = generate(model, tokenizer, PROMPTS, Sampling(max_new_tokens=24))
    stop = free[0].text[5:8]
    assert stop in free[0].text
    stopped = generate(model, tokenizer, PROMPTS, Sampling(max_new_tokens=24, stop=(stop,)))
    for before, after in zip(free, stopped, strict=True):
        assert after.text == before.text.split(stop)[0]
        assert (after.ended == "stop") == (stop in before.text)
    assert stopped[0].tokens < free[0].tokens


def test_end_of_text_ends_a_completion(model: Phi, tokenizer: Tokenizer) -> None:
    with torch.no_grad():
        model.head.bias[tokenizer.end_of_text] = 1000
    completion = generate(model, tokenizer, ["x\n"], Sampling(max_new_tokens=5))[0]
    assert (completion.text, completion.tokens, completion.ended) == ("", 1, "end")


def test_the_nucleus_holds_the_likeliest_tokens_only() -> None:
    class Always(float):
        def random(self) -> float:
            return float(self)

    logits = torch.tensor([[0.1, 0.5, 0.15, 0.25]]).log()
    drawn = {
        (top_p, die): int(choose(logits, Sampling(temperature=1.0, top_p=top_p), [Always(die)]))  # type: ignore[list-item]
        for top_p in (0.4, 0.7, 1.0)
        for die in (0.0, 0.6, 0.999)
    }
    assert [drawn[0.4, die] for die in (0.0, 0.6, 0.999)] == [1, 1, 1]
    assert [drawn[0.7, die] for die in (0.0, 0.6, 0.999)] == [1, 1, 3]
    assert [drawn[1.0, die] for die in (0.0, 0.6, 0.999)] == [1, 3, 0]


def test_sampling_follows_the_probabilities(model: Phi, tokenizer: Tokenizer) -> None:
    sampling = Sampling(max_new_tokens=1, temperature=1.0, batch_size=500)
    drawn = generate(model, tokenizer, ["x"] * 500, sampling, range(500))
    texts = Counter(completion.text for completion in drawn)
    likeliest = max((text for text in texts if text.isascii()), key=texts.__getitem__)
    found = score(model, tokenizer, [("x", likeliest)])[0]
    assert found.tokens == 1
    assert texts[likeliest] / 500 == pytest.approx(math.exp(found.log_probability), abs=0.08)


def test_a_prompt_longer_than_the_context_loses_its_beginning(model: Phi, tokenizer: Tokenizer) -> None:
    sampling = Sampling(max_new_tokens=10)
    long = "y = 1\n" * 100
    assert generate(model, tokenizer, [long], sampling) == generate(
        model, tokenizer, ["z\n" * 50 + long], sampling
    )


def test_settings_that_cannot_work_are_refused(model: Phi, tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="max_new_tokens is 64"):
        generate(model, tokenizer, ["x"], Sampling(max_new_tokens=64))
    with pytest.raises(ConfigError, match="as many seeds"):
        generate(model, tokenizer, ["x"], Sampling(max_new_tokens=4, temperature=1.0))


def test_scores_are_the_log_probabilities_of_the_completions_tokens(model: Phi, tokenizer: Tokenizer) -> None:
    pairs = [("def f(x):\n", "    return é\n"), ("a\n", "b"), ("x = 1\n", "")]
    for (prompt, completion), found in zip(pairs, score(model, tokenizer, pairs), strict=True):
        before, after = tokenizer.encode_pair(prompt, completion)
        ids = [tokenizer.end_of_text, *before, *after]
        logs = model(torch.tensor([ids]))[0].log_softmax(-1)
        expected = sum(logs[i - 1, ids[i]].item() for i in range(1 + len(before), len(ids)))
        assert found.log_probability == pytest.approx(expected, abs=1e-4)
        assert (found.tokens, found.characters) == (len(after), len(completion))
        assert found.bytes == len(completion.encode())


def test_a_pair_longer_than_the_context_is_scored_in_windows(model: Phi, tokenizer: Tokenizer) -> None:
    config: PhiConfig = model.config
    completion = "value = value + other\n" * 40
    found = score(model, tokenizer, [("start\n", completion)])[0]
    before, after = tokenizer.encode_pair("start\n", completion)
    ids = [tokenizer.end_of_text, *before, *after]
    assert len(ids) > 3 * config.context_tokens
    expected, first = 0.0, 1 + len(before)
    while first < len(ids):
        end = min(len(ids), max(config.context_tokens, first + config.context_tokens // 2))
        seen = ids[max(0, end - config.context_tokens) : end]
        logs = model(torch.tensor([seen]))[0].log_softmax(-1)
        offset = end - len(seen)
        expected += sum(logs[i - offset - 1, ids[i]].item() for i in range(first, end))
        first = end
    assert found.log_probability == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_stream_adds_up_to_the_completion(model: Phi, tokenizer: Tokenizer, temperature: float) -> None:
    for seed, prompt in enumerate(PROMPTS):
        sampling = Sampling(max_new_tokens=24, temperature=temperature)
        whole = generate(model, tokenizer, [prompt], sampling, [seed])[0].text
        pieces = list(stream(model, tokenizer, prompt, sampling, seed))
        assert "".join(pieces) == whole
        assert len([piece for piece in pieces if piece]) > 3


def test_a_stream_shows_nothing_of_a_stop_string(model: Phi, tokenizer: Tokenizer) -> None:
    free = generate(model, tokenizer, PROMPTS[:1], Sampling(max_new_tokens=24))[0].text
    sampling = Sampling(max_new_tokens=24, stop=(free[9:14],))
    shown = ""
    for piece in stream(model, tokenizer, PROMPTS[0], sampling):
        shown += piece
        assert free.split(free[9:14])[0].startswith(shown)
    assert shown == generate(model, tokenizer, PROMPTS[:1], sampling)[0].text
