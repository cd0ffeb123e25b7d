"""Peak memory of each curation stage on a corpus and on one ten times as large: it must not grow with the corpus.

    python bench/memory.py [--megabytes 30] [--times 10]

The larger corpus is the smaller one over and over, each time with other words, so that nothing is a copy; every
tenth document has one. Each stage runs in a fresh process of its own, serially; what is shown is that process' peak.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORD = re.compile(r"\b[a-z]{7,}\b")
LIMIT = 1.2


def main() -> int:
    """Print one JSON object a line for each stage; 1 where a peak grew by more than a fifth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=30)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--stage", nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage(options.stage[0], Path(options.stage[1]))
        return 0
    peaks: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as name:
        for times in (1, options.times):
            folder = Path(name) / str(times)
            write_corpus(folder, options.megabytes, times)
            for work in STAGES:
                command = [sys.executable, __file__, "--stage", work, str(folder)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                peaks.setdefault(work, []).append(json.loads(done.stdout)["peak_mb"])
    for work, (small, large) in peaks.items():
        row = {
            "work": work,
            "peak_mb": small,
            f"peak_mb_{options.times}x": large,
            "growth": round(large / small, 3),
        }
        print(json.dumps(row), flush=True)
    return int(any(large > LIMIT * small for small, large in peaks.values()))


def write_corpus(folder: Path, megabytes: float, times: int) -> None:
    """The same files `times` over in one JSONL, their long words renamed each time."""
    from hornbook.core.context import Tools
    from hornbook.core.shards import read_documents
    from hornbook.stages.read import step as read

    base = folder / "base"
    base.mkdir(parents=True)
    read.run(read.ReadConfig(max_bytes=int(megabytes * 1e6)), {}, base, Tools())
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for turn in range(times):
            for number, document in enumerate(read_documents(base)):
                text = renamed(document.text, turn)
                for copy in [text] + [text + "\n# again\n"] * (number % 10 == 0):
                    file.write(json.dumps({"text": copy}) + "\n")


def renamed(text: str, turn: int) -> str:
    """The text with its long words turned by `turn` letters: as many words, but others."""
    return (
        WORD.sub(lambda match: match[0][turn % 7 :] + match[0][: turn % 7] + "xyz"[: turn // 7], text)
        if turn
        else text
    )


def stage(work: str, folder: Path) -> None:
    """Run one stage on what the ones before it left, and print this process' peak."""
    out = folder / work
    out.mkdir()
    STAGES[work](folder, out)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(json.dumps({"peak_mb": int(status.partition("VmHWM:")[2].split()[0]) // 1024}))


def run_read(folder: Path, out: Path) -> None:
    from hornbook.core.context import Tools
    from hornbook.stages.read import step as read

    config = read.ReadConfig.model_validate(
        {"sources": [{"kind": "jsonl", "path": str(folder / "corpus.jsonl")}]}
    )
    read.run(config, {}, out, Tools())


def run_dedup(folder: Path, out: Path) -> None:
    from hornbook.core.context import Tools
    from hornbook.stages.dedup import step as dedup

    dedup.run(dedup.DedupConfig(copied_functions=1.0), {"documents": folder / "read"}, out, Tools())


def run_decontaminate(folder: Path, out: Path) -> None:
    from hornbook.core.context import Tools
    from hornbook.stages.decontaminate import step as decontaminate

    decontaminate.run(decontaminate.DecontaminateConfig(), {"documents": folder / "dedup"}, out, Tools())


def run_pack(folder: Path, out: Path) -> None:
    from hornbook.core.context import Tools
    from hornbook.stages.tokenize import pack

    documents = folder / "decontaminate"
    train(documents, out / "tokenizer")
    size = sum(path.stat().st_size for path in (documents / "kept").iterdir())
    config = pack.PackConfig(parts={"all": 1.0}, tokens=size, row_tokens=2048)
    (out / "rows").mkdir()
    pack.run(config, {"tokenizer": out / "tokenizer", "part.all": documents}, out / "rows", Tools())


def train(documents: Path, folder: Path) -> None:
    """A small tokenizer from the first documents: the same work for either size."""
    from hornbook.model.tokenizer import train_tokenizer

    train_tokenizer(first_texts(documents, 300), 4_096).save(folder)


def first_texts(documents: Path, count: int) -> Iterator[str]:
    from hornbook.core.shards import read_documents

    for _, document in zip(range(count), read_documents(documents), strict=False):
        yield document.text


STAGES: dict[str, Any] = {
    "read": run_read,
    "dedup": run_dedup,
    "decontaminate": run_decontaminate,
    "pack": run_pack,
}

if __name__ == "__main__":
    sys.exit(main())
