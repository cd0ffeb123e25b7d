"""Any OpenAI-compatible completion interface: vLLM, llama.cpp's server, hosted base models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hornbook.core.errors import InputError
from hornbook.core.machine import EndpointPlace
from hornbook.model.sampling import Completion, Sampling, Score

if TYPE_CHECKING:
    from pydantic import SecretStr

    from hornbook.stages.evaluate.models import ModelConfig
MOST_STOPS = 4
"""The most stop strings that hosted servers take; the others are found here in what was written."""
DETAIL_CHARS = 300


class CompletionEndpoint:
    """A model behind /completions, asked with one request a prompt.

    Whether equal seeds give equal texts is the server's affair: attempts are kept, so each is asked for once.
    """

    def __init__(self, config: ModelConfig, place: EndpointPlace, key: SecretStr) -> None:
        self.config, self.place, self._key = config, place, key

    @property
    def fingerprint(self) -> str:
        return f"endpoint:{self.config.source}@{self.config.revision or self.place.revision}"

    @cached_property
    def _client(self) -> Any:
        import openai

        return openai.OpenAI(
            api_key=self._key.get_secret_value() or "none",
            base_url=self.place.url,
            max_retries=self.place.tries - 1,
            timeout=self.place.call_seconds,
        )

    def complete(
        self, prompts: Sequence[str], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Completion]]:
        """Completions as they arrive; InputError, after those under way, where the server does not give one."""
        jobs = list(zip(prompts, seeds or [0] * len(prompts), strict=True))
        with ThreadPoolExecutor(self.place.concurrency, thread_name_prefix="completions") as pool:
            waiting = {
                pool.submit(self._write, prompt, sampling, seed): n for n, (prompt, seed) in enumerate(jobs)
            }
            try:
                for future in as_completed(waiting):
                    yield waiting[future], future.result()
            finally:
                for future in waiting:
                    future.cancel()

    def _write(self, prompt: str, sampling: Sampling, seed: int) -> Completion:
        reply = self._ask(
            prompt=prompt,
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=seed % 2**31,
            stop=list(sampling.stop[:MOST_STOPS]) or None,
        )
        text, finish = reply.choices[0].text, reply.choices[0].finish_reason
        cuts = [text.find(stop) for stop in sampling.stop if stop in text]
        tokens = reply.usage.completion_tokens if reply.usage else 0
        if cuts:
            return Completion(text[: min(cuts)], tokens, "stop")
        return Completion(text, tokens, "length" if finish == "length" else "end")

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Score] | None:
        """By echoed log-probabilities; None where the server does not give them.

        Prompt and completion are tokenised together there: a token that holds the end of one and the beginning of
        the other counts with the completion.
        """
        if not pairs or (first := self._score(pairs[0])) is None:
            return None
        with ThreadPoolExecutor(self.place.concurrency, thread_name_prefix="likelihoods") as pool:
            found = [first, *pool.map(self._score, pairs[1:])]
        scores = [score for score in found if score is not None]
        return scores if len(scores) == len(found) else None

    def _score(self, pair: tuple[str, str]) -> Score | None:
        import openai

        prompt, completion = pair
        try:
            reply = self._ask(
                prompt=prompt + completion, max_tokens=1, temperature=0.0, echo=True, logprobs=1
            )
        except InputError as error:
            if isinstance(error.__cause__, openai.BadRequestError | openai.UnprocessableEntityError):
                return None
            raise
        told = reply.choices[0].logprobs
        if not told or not told.token_logprobs or not told.text_offset:
            return None
        ends = [*told.text_offset[1:], len(reply.choices[0].text)]
        whole = len(prompt) + len(completion)
        chosen = [
            value
            for value, begin, end in zip(told.token_logprobs, told.text_offset, ends, strict=True)
            if end > len(prompt) and begin < whole and value is not None
        ]
        if len(reply.choices[0].text) < whole or not chosen:
            return None  # nothing was echoed
        return Score(sum(chosen), len(chosen), len(completion), len(completion.encode()))

    def _ask(self, **body: Any) -> Any:
        """One request with the client's own retries; InputError says what the server said."""
        import openai

        model = self.place.served_as or self.config.source
        try:
            reply = self._client.completions.create(model=model, **body)
            if not getattr(reply, "choices", None) or reply.choices[0].text is None:
                raise InputError(f"the model at {self.place.url} gave no completion; url should end in /v1")
        except openai.OpenAIError as error:
            said = " ".join(str(error).split())
            if secret := self._key.get_secret_value():
                said = said.replace(secret, "***")
            raise InputError(
                f"the model {model} at {self.place.url} does not complete ({said[:DETAIL_CHARS]}); it must offer "
                "/completions under url, which often ends in /v1; attempts so far are kept"
            ) from error
        return reply
