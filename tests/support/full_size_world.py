"""What the recipes of full size name, small and on loopback: the Hub's dataset and model, the dump, and the teacher."""

from __future__ import annotations

import json
import random
import re
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pyarrow as pa
import pyarrow.parquet as pq

TEACHER = "Qwen2.5-Coder-32B-Instruct"
STACK = "datasets/bigcode/the-stack-dedup/main/data/python"
CODEGEN = "models/Salesforce/codegen-350M-mono/main"
DUMP = "stackoverflow.com"


def build(folder: Path) -> None:
    """`hub/` for a mirror, and the dump as a user has it beside the recipe."""
    _stack(folder / "hub" / STACK)
    _codegen(folder / "hub" / CODEGEN)
    _dump(folder / DUMP)


def _modules() -> list[Path]:
    found = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-z]*.py"))
    return [path for path in found if 2_000 < path.stat().st_size < 30_000]


def _stack(data: Path) -> None:
    """Modules of the standard library in The Stack's columns."""
    data.mkdir(parents=True)
    modules = _modules()
    for shard in range(2):
        here = modules[shard::2]
        rows = {
            "hexsha": [f"{n:040x}" for n in range(len(here))],
            "content": [path.read_text(encoding="utf-8") for path in here],
            "max_stars_repo_name": [f"owner/{path.stem}" for path in here],
            "max_stars_repo_path": [path.name for path in here],
            "max_stars_repo_licenses": [["PSF-2.0"] for _ in here],
            "max_stars_count": [None if n % 3 else n for n in range(len(here))],
        }
        pq.write_table(pa.table(rows), data / f"data-0000{shard}-of-00002.parquet", row_group_size=50)


def _codegen(folder: Path) -> None:
    """The architecture and the files of the Hub's codegen-350M-mono, with tiny random weights as a .bin."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import CodeGenConfig, CodeGenForCausalLM

    folder.mkdir(parents=True)
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2_000, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator([path.read_text(encoding="utf-8") for path in _modules()[:60]], trainer)
    core.add_tokens(
        [
            AddedToken(blank * n, normalized=True)
            for blank, most in ((" ", 31), ("\t", 9))
            for n in range(most, 1, -1)
        ]
    )
    core.save(str(folder / "tokenizer.json"))
    named = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    settings = {
        "add_prefix_space": False,
        "model_max_length": 2048,
        "tokenizer_class": "CodeGenTokenizer",
        **named,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps(named))
    made = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(made["vocab"]))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in made["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    torch.manual_seed(1)
    config = CodeGenConfig(
        vocab_size=2_304, n_positions=2048, n_ctx=2048, n_embd=64, n_layer=2, n_head=4, rotary_dim=8
    )
    config.architectures = ["CodeGenForCausalLM"]
    config.save_pretrained(folder)
    torch.save(CodeGenForCausalLM(config).half().state_dict(), folder / "pytorch_model.bin")


def _dump(folder: Path) -> None:
    """Posts.xml of a Stack Exchange dump: half of the questions are about Python."""
    folder.mkdir(parents=True)
    rows = []
    for n in range(0, 80, 2):
        code = f"def f{n}(values):\n    return [v * {n} for v in values if v &gt; {n}]\n"
        body = f"<p>How do I scale number {n} of a list of values?</p><pre><code>{code}</code></pre>"
        told = {
            "Id": n + 1,
            "PostTypeId": 1,
            "AcceptedAnswerId": n + 2,
            "Score": n % 5,
            "Title": f"Scaling by {n}",
        }
        rows.append({**told, "Tags": "<python><list>" if n % 4 else "<c++>", "Body": body})
        answer = (
            f"<p>Use a comprehension, number {n}:</p><pre><code>{code}print(f{n}([1, {n + 1}]))</code></pre>"
        )
        rows.append({"Id": n + 2, "PostTypeId": 2, "ParentId": n + 1, "Score": 3, "Body": answer})
    dated = {"CreationDate": "2012-05-01T10:00:00.000", "ContentLicense": "CC BY-SA 3.0"}
    lines = [" ".join(f"{k}={quoteattr(str(v))}" for k, v in {**row, **dated}.items()) for row in rows]
    text = "\n".join(
        ['<?xml version="1.0" encoding="utf-8"?>', "<posts>", *(f"  <row {line} />" for line in lines)]
    )
    (folder / "Posts.xml").write_text(f"{text}\n</posts>\n", encoding="utf-8")


ENDS = ("bek", "dan", "fip", "gus", "kol", "nar", "pim", "sot", "tev", "wux")
WORDS = [begin + end for begin in ("lo", "mi", "ra", "tu", "ve", "zo") for end in ENDS]


class Teacher(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that answers each of hornbook's prompts as a good model might."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = answer(body["messages"][-1]["content"])
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 50, "completion_tokens": 40, "total_tokens": 90}
        made = {"id": f"chatcmpl-{id(said)}", "model": body["model"], "choices": [choice], "usage": usage}
        data = json.dumps(made).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def answer(prompt: str) -> str:
    """What is said to a prompt of hornbook's."""
    number = sum(map(ord, prompt))
    if "a whole number from 0 to 5" in prompt:
        return json.dumps({"reason": f"It is number {number}.", "score": number % 6})
    if "grade, each from 0 to 10" in prompt:
        return json.dumps({"argument": "It stops short.", "understanding": number % 11, "logic": number % 7})
    if function := re.search(r"Write one Python function named (\w+)", prompt):
        name = function[1]
        return (
            f'```python\ndef {name}(values: list[int]) -> int:\n    """Return the sum of the positive of {name}, '
            f'plus {number}; {number} for none."""\n    total = {number}\n    for value in values:\n'
            "        if value > 0:\n            total += value\n    return total\n```"
        )
    if tested := re.search(r"def (\w+)\(values.*plus (\d+);", prompt, re.DOTALL):
        name, plus = tested[1], int(tested[2])
        cases = [[], [1], [-1], [1, 2], [0, 5], [7, -3, 1]]
        lines = [f"assert {name}({c}) == {plus + sum(v for v in c if v > 0)}" for c in cases]
        return "```python\n" + "\n".join(lines) + "\n```"
    return _page(prompt, number)


def _page(prompt: str, number: int) -> str:
    """A page of a textbook, about the function where the prompt shows one."""
    words = " ".join(random.Random(number).sample(WORDS, 60))
    shown = re.search(r"```python\n(.*?)```", prompt, re.DOTALL)
    real = f"```python\n{shown[1]}```\n\n" if shown else ""
    code = f"```python\nvalues = [{number}, 2, 3]\nprint(sum(values))\n```\n\n```output\n{number + 5}\n```"
    return f"A sum adds what a list holds. {words}.\n\n{real}Add three values:\n\n{code}\n\nRemember the sum."


@contextmanager
def teaching() -> Iterator[str]:
    """The address of the teacher while it answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Teacher)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def machine(folder: Path, address: str, **more: Any) -> Path:
    """A machine file that says where the teacher answers."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    lines += [f'[teachers."{TEACHER}"]', f'url = "{address}"']
    path = folder / "machine.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
