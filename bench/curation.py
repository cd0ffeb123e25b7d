"""Near-duplicates and decontamination: megabytes a second and what is found, ours beside datatrove's, in one run.

    python bench/curation.py [--megabytes 100] [--peer-python PATH --peer-megabytes 20]

The corpus is the Python on this machine (this interpreter's library and packages), with exact copies, near copies and
HumanEval solutions planted. Ours is the whole stage, from Parquet shards to Parquet shards, in one process. The peer
runs where `--peer-python` names an interpreter that has datatrove, on a part of the same documents.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

PLANTS = 200
WORD = re.compile(r"[A-Za-z0-9_\u0080-\U0010ffff]+")


def main() -> None:
    """Print one JSON object a line: corpus, then each piece of work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--peer-python", default="")
    parser.add_argument("--peer-megabytes", type=float, default=20)
    parser.add_argument("--peer-folder", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer_folder:
        datatrove(Path(options.peer_folder))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours(folder, options.megabytes)
        if options.peer_python:
            export(folder, folder / "peer", options.peer_megabytes)
            command = [options.peer_python, __file__, "--peer-folder", str(folder / "peer")]
            subprocess.run(command, check=True)


def show(work: str, megabytes: float, seconds: float, **facts: Any) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rate = round(megabytes / seconds, 2)
    row = {"work": work, "mb_per_second": rate, "seconds": round(seconds, 2), "peak_mb": peak, **facts}
    print(json.dumps(row), flush=True)


def ours(folder: Path, megabytes: float) -> None:
    """Read, plant, then time dedup and decontaminate and count what they found."""
    from hornbook.core.shards import read_documents, shards, write_shard
    from hornbook.stages import decontaminate, dedup, read

    read_seconds, _ = timed(read.run, read.ReadConfig(max_bytes=int(megabytes * 1e6)), {}, folder / "read")
    documents = list(read_documents(folder / "read"))
    size = sum(len(document.text.encode()) for document in documents) / 1e6
    show("read", size, read_seconds, documents=len(documents))
    planted = [*documents, *plants(documents)]
    random.Random(1).shuffle(planted)
    step = -(-len(planted) // max(1, len(shards(folder / "read"))))
    for number, begin in enumerate(range(0, len(planted), step)):
        write_shard(folder / "planted", f"shard-{number:05d}.parquet", planted[begin : begin + step])
    size = sum(len(document.text.encode()) for document in planted) / 1e6

    inputs = {"documents": folder / "planted"}
    seconds, counts = timed(dedup.run, dedup.DedupConfig(), inputs, folder / "dedup")
    gone = sources(folder / "dedup")
    shown = {f"{kind}_found": copies_found(kind, planted, gone) for kind in ("exact", "near")}
    show("dedup (exact and near)", size, seconds, **shown, clusters=counts["clusters"])

    seconds, _ = timed(decontaminate.run, decontaminate.DecontaminateConfig(), inputs, folder / "clean")
    gone = sources(folder / "clean")
    found = sum(name.startswith("leak/") for name in gone)
    by_expression = {document.source for document in planted if plain_match(document.text)}
    false, plain_false = (sum(not n.startswith("leak/") for n in names) for names in (gone, by_expression))
    show(
        "decontaminate (13 words)",
        size,
        seconds,
        leaks_found=f"{found}/41",
        false_removals=false,
        false_removals_of_a_plain_match=plain_false,
    )


def timed(run: Callable[..., Any], config: Any, inputs: Any, out: Path) -> tuple[float, Any]:
    from hornbook.core.tools import Tools

    out.mkdir()
    begin = time.perf_counter()
    counts = run(config, inputs, out, Tools())
    return time.perf_counter() - begin, counts


def plants(documents: list[Any]) -> list[Any]:
    """Copies with other spacing, copies with a few changed lines, and documents with a solution inside."""
    from hornbook.benchmarks import load
    from hornbook.core.records import Document

    draw = random.Random(2)
    chosen = draw.sample([d for d in documents if 1_000 < len(d.text) < 50_000], 2 * PLANTS + 41)
    exact = [Document(d.text.replace("\n", "\n\n"), f"exact/{d.source}", "code") for d in chosen[:PLANTS]]
    near = [Document(edited(d.text, draw), f"near/{d.source}", "code") for d in chosen[PLANTS : 2 * PLANTS]]
    leaks = [
        Document(f"{d.text}\n\n{p.prompt}{p.solution}", f"leak/{p.id}", "code")
        for d, p in zip(chosen[2 * PLANTS :], draw.sample(load("humaneval"), 41), strict=True)
    ]
    return [*exact, *near, *leaks]


def edited(text: str, draw: random.Random) -> str:
    """The text with one word in 80 replaced: about 0.88 of the shingles stay in common."""
    words = re.split(r"(\W+)", text)
    places = range(0, len(words), 2)
    for place in draw.sample(places, max(1, len(places) // 80)):
        words[place] = f"changed{draw.randrange(10**6)}"
    return "".join(words)


def shingles(text: str, length: int = 5) -> set[tuple[str, ...]]:
    words = [word.lower() for word in WORD.findall(text)]
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def copies_found(kind: str, planted: list[Any], gone: set[str]) -> str:
    """Of the planted copies that are true ones by brute force, how many lost either side."""
    texts = {document.source: document.text for document in planted}
    true = found = 0
    for source, text in texts.items():
        if source.startswith(f"{kind}/"):
            original = source.removeprefix(f"{kind}/")
            one, other = shingles(text), shingles(texts[original])
            if len(one & other) >= 0.75 * len(one | other):
                true += 1
                found += source in gone or original in gone
    return f"{found}/{true}"


def plain_match(text: str) -> bool:
    """A 13-gram match by regular expression and sets of tuples: the reference for false removals."""
    return not benchmark_grams().isdisjoint(shingles(text, 13))


@cache
def benchmark_grams() -> set[tuple[str, ...]]:
    from hornbook.benchmarks import load

    return {gram for problem in load("humaneval") for gram in shingles(problem.prompt + problem.solution, 13)}


def sources(out: Path) -> set[str]:
    from hornbook.core.shards import read_documents

    return {document.source for document in read_documents(out, "dropped")}


def export(folder: Path, peer: Path, megabytes: float) -> None:
    """The first documents of the planted corpus as JSONL, and the benchmark's texts, for a peer to read."""
    from hornbook.benchmarks import load
    from hornbook.core.shards import read_documents

    (peer / "input").mkdir(parents=True)
    left = megabytes * 1e6
    with (peer / "input" / "part.jsonl").open("w", encoding="utf-8") as file:
        for document in read_documents(folder / "planted"):
            left -= len(document.text)
            if left < 0:
                break
            file.write(json.dumps({"text": document.text, "id": document.source}) + "\n")
    (peer / "tasks").mkdir()
    with (peer / "tasks" / "humaneval.jsonl").open("w", encoding="utf-8") as file:
        for problem in load("humaneval"):
            file.write(json.dumps({"text": problem.prompt + problem.solution, "id": problem.id}) + "\n")


def datatrove(folder: Path) -> None:
    """datatrove's MinHash, its four steps in one process, on the exported part."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    reader = JsonlReader(str(folder / "input"))
    work = {name: str(folder / name) for name in ("signatures", "buckets", "remove", "kept", "removed")}
    removed = JsonlWriter(work["removed"], compression=None)
    steps: list[list[Any]] = [
        [reader, MinhashDedupSignature(work["signatures"], config=config)],
        [MinhashDedupBuckets(work["signatures"], work["buckets"], config=config)],
        [MinhashDedupCluster(work["buckets"], work["remove"], config=config)],
        [
            reader,
            MinhashDedupFilter(work["remove"], exclusion_writer=removed),
            JsonlWriter(work["kept"], compression=None),
        ],
    ]
    begin = time.perf_counter()
    for number, step in enumerate(steps):
        tasks = config.num_buckets if number == 1 else 1
        logs = str(folder / f"logs{number}")
        LocalPipelineExecutor(pipeline=step, tasks=tasks, workers=1, logging_dir=logs).run()
    seconds = time.perf_counter() - begin
    size = (
        sum(
            len(json.loads(line)["text"]) for line in (folder / "input" / "part.jsonl").open(encoding="utf-8")
        )
        / 1e6
    )
    show("datatrove minhash", size, seconds, interpreter=sys.version.split()[0])


if __name__ == "__main__":
    main()
