"""Settings: frozen, strict, never repaired; and the Machine, which never changes a result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from hornbook.core.settings import Config


class Prices(Config):
    """Money for a million tokens, in whatever currency the budgets are in."""

    tokens_in: float = Field(0.0, ge=0)
    """For a million tokens of prompts."""
    tokens_out: float = Field(0.0, ge=0)
    """For a million tokens of answers."""
    batch_share: float = Field(0.5, ge=0, le=1)
    """What the batch interface costs of that."""

    def money(self, tokens_in: float, tokens_out: float) -> float:
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6

    def in_batch(self) -> Prices:
        """The prices of the batch interface."""
        share = self.batch_share
        return Prices(tokens_in=self.tokens_in * share, tokens_out=self.tokens_out * share)


class Budget(Config):
    """The most that teachers may cost a stage or step of that name, or in all (NAME = run); 0 is no limit.

    What was spent under a recipe's name is remembered from run to run, in cache/spendings.sqlite.
    """

    asks: int = Field(0, ge=0)
    """Calls that a server may charge for, tries included."""
    tokens: int = Field(0, ge=0)
    """Of prompts and answers together."""
    money: float = Field(0.0, ge=0)
    """By the prices of the teacher."""


class LocalPlace(Config):
    """A GGUF file answers, in this process."""

    kind: Literal["local"] = "local"
    """May be left out."""
    path: str = ""
    """The GGUF file; empty: the embedded model, fetched once."""
    concurrency: int = Field(8, ge=1, le=1024)
    """Asks in flight at once."""


class CannedPlace(Config):
    """A script answers: for tests, and for trying a recipe without a model."""

    kind: Literal["canned"] = "canned"
    path: str
    """A JSONL of scripted answers."""
    concurrency: int = Field(8, ge=1, le=1024)
    """Asks in flight at once."""


class EndpointPlace(Config):
    """An OpenAI-compatible server answers: hosted, vLLM, llama.cpp's server, Ollama."""

    kind: Literal["endpoint"] = "endpoint"
    """May be left out: what has a url is an endpoint."""
    url: str
    """Up to but not including /chat/completions; usually it ends in /v1."""
    key_variable: str = Field("", pattern=r"^[A-Za-z_]?[A-Za-z0-9_]*$")
    """The environment variable that holds the key, as in "OPENAI_API_KEY"; empty: no key is sent."""
    concurrency: int = Field(32, ge=1, le=1024)
    """Asks in flight at once."""
    requests_per_minute: int = Field(0, ge=0)
    """A limit to keep beside those that the server tells; 0: only those."""
    tokens_per_minute: int = Field(0, ge=0)
    """The same for tokens of prompts and answers together."""
    call_seconds: float = Field(120.0, gt=0)
    """The longest that one call may take, to the last byte."""
    ask_seconds: float = Field(1800.0, gt=0)
    """The longest that one ask may take with all its calls and waits."""
    tries: int = Field(6, ge=1)
    """Calls for one ask; being told to wait for a rate limit does not count."""
    first_backoff_seconds: float = Field(0.5, gt=0)
    """The wait after a first failure without a hint; it doubles with each further one, up to a minute."""
    served_as: str = ""
    """What the server calls the model, where that is another name than the recipe's."""
    revision: str = ""
    """Which weights answer under that name, as far as you know; another revision is asked anew."""
    schema_as: Literal["json_schema", "json_object", "prompt"] = "json_schema"
    """How a wanted structure is asked for; where a server refuses one way the next is taken, and said."""
    without: tuple[Literal["max_tokens", "seed", "temperature", "top_p"], ...] = Field((), strict=False)
    """What this server refuses to be told; found out by itself, but not in batches. max_tokens gets its other name."""
    batch: bool = False
    """Ask through the server's batch interface: cheaper, hours slower, found again after any kill."""
    batch_asks: int = Field(20_000, ge=1, le=50_000)
    """Asks in one job of the batch interface."""
    poll_seconds: float = Field(30.0, gt=0)
    """How often such a job is looked at."""
    gather_seconds: float = Field(1.0, gt=0)
    """A job is sent when no further ask has come for so long."""
    prices: Prices = Prices()

    def charged(self) -> Prices:
        """The prices of the way that asks go."""
        return self.prices.in_batch() if self.batch else self.prices

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not re.fullmatch(r"https?://[^\s?#@]+", url):
            raise ValueError(
                "it should be like http://localhost:8080/v1, without a name, password or question mark"
            )
        return url.rstrip("/")


def kind(values: Any) -> str:
    """The `kind` of a teacher's place: where it is not said, a url can only be an endpoint's."""
    if isinstance(values, Mapping):
        return str(values.get("kind", "endpoint" if "url" in values else "local"))
    return str(getattr(values, "kind", ""))


TeacherPlace = Annotated[
    Annotated[LocalPlace, Tag("local")]
    | Annotated[CannedPlace, Tag("canned")]
    | Annotated[EndpointPlace, Tag("endpoint")],
    Discriminator(kind),  # its name is the key that errors name
]
"""Where one model answers from; what it answers does not depend on it."""


class DeepSpeedPlace(Config):
    """How DeepSpeed spreads a training over its processes; the losses are the same to rounding."""

    zero: int = Field(2, ge=0, le=3)
    """What processes share out: 0 nothing, 1 the optimiser, 2 gradients too, 3 weights too."""
    offload_optimizer: Literal["none", "cpu", "nvme"] = "none"
    """Where the optimiser's state lies: cpu needs zero of 1 or more, nvme of 3."""
    offload_parameters: Literal["none", "cpu", "nvme"] = "none"
    """Where weights lie that are not at work; needs zero of 3."""
    nvme_path: str = ""
    """Folder on a fast local disk, for nvme."""

    @model_validator(mode="after")
    def _zero_shares_out_what_is_offloaded(self) -> Self:
        least = {"cpu": 1, "nvme": 3}.get(self.offload_optimizer, 0)
        if self.zero < least:
            raise ValueError(
                f"offload_optimizer is {self.offload_optimizer!r}, which needs zero of {least} or more"
            )
        if self.offload_parameters != "none" and self.zero < 3:
            raise ValueError(f"offload_parameters is {self.offload_parameters!r}, which needs zero of 3")
        if "nvme" in (self.offload_optimizer, self.offload_parameters) and not self.nvme_path:
            raise ValueError("nvme needs nvme_path, a folder on a fast local disk")
        return self


class Machine(Config):
    """Where and how fast: nothing in here enters a fingerprint."""

    root: str = Field("hornbook-data", min_length=1)
    """Folder of this machine that holds store/, runs/ and cache/."""
    workers: int = Field(0, ge=0, le=4096)
    """Worker processes; 0 means one a processor."""
    store: str = ""
    """An fsspec URL (s3://bucket/store) where finished work is published and fetched from; empty: only under root."""
    engine: Literal["serial", "pool", "ray"] = "pool"
    """One process; worker processes here; or a Ray cluster, the one RAY_ADDRESS names or a new one here."""
    device: str = "auto"
    """A torch device (cpu, cuda, cuda:1); auto takes CUDA where there is one."""
    micro_batch: int = Field(0, ge=0)
    """Sequences a forward pass; 0 chooses by device."""
    compile: bool | None = None
    """torch.compile for training; unset: where the run is long enough to repay it."""
    launch: int = Field(1, ge=1, le=1024)
    """Processes that train one model together on this machine, on CUDA one for each GPU."""
    deepspeed: DeepSpeedPlace | None = None
    """Train with DeepSpeed (extra deepspeed); unset: torch's DistributedDataParallel between processes."""
    keep_checkpoints: int = Field(2, ge=1)
    """Checkpoints of an unfinished training that are kept, beside the best: the last so many."""
    stop_at_spike_nats: float = Field(3.0, ge=0)
    """Stop where a step's loss exceeds the mean of the 32 before it by more; 0 never stops for it."""
    tracker: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Where metrics go beside metrics.jsonl; tensorboard and wandb write under root/tracking."""
    tracker_project: str = "hornbook"
    """The project that wandb and trackio file a run under."""
    require_isolation: str = ""
    """Refuse to execute anything below this sandbox level (process, filtered, full) or without this layer; empty takes
    the best that holds here."""
    teachers: dict[str, TeacherPlace] = Field(default_factory=dict)
    """Model name (as recipes call it) -> where it answers."""
    models: dict[str, EndpointPlace] = Field(default_factory=dict)
    """Model made elsewhere (as recipes call it) -> the server whose /completions evaluation asks."""
    budgets: dict[str, Budget] = Field(default_factory=dict)
    """What teachers may cost: "run" for a whole recipe, or the name of a stage or step -> its limits."""

    @field_validator("root")
    @classmethod
    def _is_a_folder(cls, root: str) -> str:
        if "://" in root:
            raise ValueError(f"{root} is a URL; root is a folder of this machine, and `store` may be a URL")
        return str(Path(root).expanduser())
