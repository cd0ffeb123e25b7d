"""Models of every kind, asked alike: ours, transformers', and a server's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from adding import PROBLEMS
from pydantic import SecretStr

from hornbook.core.errors import ConfigError, InputError
from hornbook.core.machine import EndpointPlace
from hornbook.model.checkpoint import save_hf
from hornbook.model.generate import generate, score
from hornbook.model.sampling import Sampling
from hornbook.stages.evaluate.models import Checkpoint, ModelConfig, Surroundings, folder_hash, open_model

PROMPTS = [problem.prompt for problem in PROBLEMS]
PAIRS = [(problem.prompt, problem.solution) for problem in PROBLEMS]
DRAWN = Sampling(12, temperature=0.9, top_p=0.9, stop=("\ndef",), batch_size=8)
SEEDS = [5, 6, 7]
KEY = SecretStr("a-secret-key")


@pytest.fixture(scope="session")
def exported(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    save_hf(tiny, folder, "# tiny\n")
    (folder / "model.json").unlink(missing_ok=True)
    return folder


def _texts(model: Any, sampling: Sampling, seeds: list[int]) -> list[str]:
    return [done.text for _, done in sorted(model.complete(PROMPTS, sampling, seeds))]


@pytest.mark.parametrize("sampling", [DRAWN, Sampling(12, batch_size=2)], ids=["drawn", "greedy"])
def test_our_model_exported_says_the_same_through_transformers(
    checkpoint: Checkpoint, exported: Path, sampling: Sampling
) -> None:
    theirs = open_model(
        ModelConfig(source=str(exported), begin_with="bos", precision="fp32"), Surroundings(device="cpu")
    )
    assert _texts(theirs, sampling, SEEDS) == _texts(checkpoint, sampling, SEEDS)
    ours, found = checkpoint.score(PAIRS), theirs.score(PAIRS)
    assert ours is not None
    assert found is not None
    for a, b in zip(ours, found, strict=True):
        assert (a.tokens, a.characters, a.bytes) == (b.tokens, b.characters, b.bytes)
        assert b.log_probability == pytest.approx(a.log_probability, abs=1e-3)


def test_a_long_text_is_scored_in_windows_by_both(checkpoint: Checkpoint, exported: Path) -> None:
    theirs = open_model(
        ModelConfig(source=str(exported), begin_with="bos", precision="fp32"), Surroundings(device="cpu")
    )
    long = [("def f():\n", "    x = 1\n" * 120)]
    ours, found = checkpoint.score(long), theirs.score(long)
    assert ours is not None
    assert found is not None
    assert found[0].log_probability == pytest.approx(ours[0].log_probability, rel=1e-4)


def test_a_small_llama_made_here_is_evaluated(tmp_path: Path, exported: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config)
    model.generation_config.repetition_penalty = 1.7  # settings of a model for chat do not reach a benchmark
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    opened = open_model(ModelConfig(source=str(tmp_path), precision="fp32"), Surroundings(device="cpu"))
    one_by_one = [
        next(iter(opened.complete([p], DRAWN, [s])))[1].text for p, s in zip(PROMPTS, SEEDS, strict=True)
    ]
    assert _texts(opened, DRAWN, SEEDS) == one_by_one
    assert _texts(opened, DRAWN, [8, 9, 10]) != one_by_one


def test_a_fingerprint_follows_the_contents_and_not_the_place(
    tiny: Path, exported: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for path in tiny.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert folder_hash(copy) == folder_hash(tiny)
    (copy / "config.json").write_bytes((copy / "config.json").read_bytes() + b"\n")
    changed = folder_hash(copy)
    assert changed != folder_hash(tiny)
    (copy / "merges.txt").write_text("a b\n")  # a tokenizer of two files
    assert folder_hash(copy) not in (changed, folder_hash(tiny))


def test_what_is_no_model_is_said_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="holds no model"):
        open_model(ModelConfig(source=str(tmp_path), precision="fp32"), Surroundings()).fingerprint  # noqa: B018
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(InputError, match="cannot be loaded by transformers"):
        open_model(ModelConfig(source=str(tmp_path), precision="fp32"), Surroundings()).score(PAIRS)
    with pytest.raises(ConfigError, match=r'set \[models."mine"\] url'):
        open_model(ModelConfig(source="x", kind="endpoint"), Surroundings("mine"))


class _Server(ThreadingHTTPServer):
    """The completion interface over our own model, one token of log-probability a token of text."""

    daemon_threads = True

    def __init__(self, model: Checkpoint, echoes: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model, self.echoes = model, echoes
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.lock = threading.Lock()

    @property
    def place(self) -> EndpointPlace:
        return EndpointPlace(url=f"http://127.0.0.1:{self.server_port}/v1", concurrency=3, tries=2)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.keys.add(self.headers.get("authorization", ""))
            status, reply = self._reply(body)
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if not self.path.endswith("/completions") or "chat" in self.path:
            return 404, {"error": {"message": "no such path"}}
        if body["model"] != "tiny":
            return 404, {"error": {"message": f"unknown model {body['model']}"}}
        phi, tokenizer = self.server.model._loaded
        if body.get("echo"):
            if not self.server.echoes:
                return 400, {"error": {"message": "echo is not supported"}}
            return 200, self._choice(body["prompt"], "length", self._told(body["prompt"]))
        sampling = Sampling(
            body["max_tokens"], body["temperature"], body["top_p"], tuple(body.get("stop") or ()), 1
        )
        done = generate(phi, tokenizer, [body["prompt"]], sampling, [body["seed"]])[0]
        return 200, self._choice(done.text, "length" if done.ended == "length" else "stop", None)

    def _told(self, text: str) -> dict[str, Any]:
        phi, tokenizer = self.server.model._loaded
        pieces = [tokenizer.decode([i]) for i in tokenizer.encode(text)]
        offsets = [sum(map(len, pieces[:n])) for n in range(len(pieces))]
        values = [
            score(phi, tokenizer, [("".join(pieces[:n]), piece)])[0].log_probability if n else None
            for n, piece in enumerate(pieces)
        ]
        return {"tokens": pieces, "token_logprobs": values, "text_offset": offsets, "top_logprobs": None}

    def _choice(self, text: str, finish: str, logprobs: dict[str, Any] | None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": logprobs}
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        return {
            "id": "c",
            "object": "text_completion",
            "created": 0,
            "model": "tiny",
            "choices": [choice],
            "usage": usage,
        }


@pytest.fixture
def server(checkpoint: Checkpoint) -> Iterator[_Server]:
    made = _Server(checkpoint)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def _remote(server: _Server, source: str = "tiny") -> Any:
    around = Surroundings("mine", places={"mine": server.place}, keys={"mine": KEY})
    return open_model(ModelConfig(source=source, kind="endpoint"), around)


def test_a_server_completes_and_scores_like_the_model_behind_it(
    server: _Server, checkpoint: Checkpoint
) -> None:
    remote = _remote(server)
    assert _texts(remote, DRAWN, SEEDS) == _texts(checkpoint, DRAWN, SEEDS)
    assert server.keys == {f"Bearer {KEY.get_secret_value()}"}
    ours, found = checkpoint.score(PAIRS[:1]), remote.score(PAIRS[:1])
    assert ours is not None
    assert found is not None
    assert found[0].log_probability == pytest.approx(ours[0].log_probability, rel=1e-3)
    assert found[0].characters == len(PAIRS[0][1])


def test_a_server_that_does_not_echo_gives_no_likelihood(server: _Server) -> None:
    server.echoes = False
    assert _remote(server).score(PAIRS) is None


def test_a_server_takes_four_stops_and_the_others_are_found_here(server: _Server) -> None:
    many = Sampling(24, temperature=0.9, stop=tuple("qjxze"), batch_size=8)
    texts = _texts(_remote(server), many, SEEDS)
    assert all(len(body["stop"]) == 4 for body in server.bodies)
    assert not any(set(text) & set("qjxze") for text in texts)


def test_what_a_server_refuses_is_said_in_a_line_without_the_key(server: _Server) -> None:
    with pytest.raises(InputError, match=r"model other at http.*unknown model other") as caught:
        list(_remote(server, "other").complete(PROMPTS, DRAWN, SEEDS))
    assert KEY.get_secret_value() not in str(caught.value)
    place = EndpointPlace(url="http://127.0.0.1:9/v1", tries=1)
    around = Surroundings("mine", places={"mine": place})
    with pytest.raises(InputError, match="does not complete"):
        list(open_model(ModelConfig(source="x", kind="endpoint"), around).complete(["a"], DRAWN, [1]))
