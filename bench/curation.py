"""Curation: megabytes a second of every step and what is found, ours beside datatrove's and tokenizers', in one run.

    python -m venv peer && peer/bin/pip install 'datatrove[io,processing]==0.10.*' spacy orjson
    python bench/curation.py --peer-python peer/bin/python

The corpus is the Python on this machine (this interpreter's library and packages), with exact copies, near copies and
HumanEval solutions planted. Ours are whole stages, from Parquet shards to zstd Parquet shards, in one process.
datatrove runs in an environment of its own, on a part of the same documents; it writes plain JSONL, but for one row
with the gzip that its writer has by default. Rates are per wall and per CPU second; on a busy machine compare the
latter. Libraries are loaded before the clock starts, on both sides. The last rows are the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
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
VOCABULARY = 16_384


def main() -> None:
    """Print one JSON object a line: corpus, each piece of work, the whole, and the peers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=100, help="of Python; 20 at least")
    parser.add_argument("--peer-python", default="")
    parser.add_argument("--peer-megabytes", type=float, default=20)
    parser.add_argument("--sample", type=int, default=1_500, help="documents compared by brute force")
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours(folder, options.megabytes)
        against_brute_force(folder, options.sample)
        if options.peer_python:
            export(folder, folder / "peer", options.peer_megabytes)
            peer(options.peer_python, folder / "peer")
    ratios()


ROWS: dict[str, dict[str, Any]] = {}
"""What was shown so far, by work."""
AGAINST = {
    "read and write, nothing else": ("datatrove exact, gzip",),
    "exact": ("datatrove exact, gzip", "datatrove exact"),
    "exact and near-duplicates": ("datatrove near-duplicates",),
    "decontaminate (13 words)": ("datatrove decontaminate",),
    "pack": ("tokenizers encode_batch_fast",),
    "our encoder on the same texts": ("tokenizers encode_batch_fast",),
}
"""Our work -> the work of others that it stands beside."""


def peer(python: str, folder: Path) -> None:
    """datatrove's rows, as its script prints them."""
    script = Path(__file__).parent / "peers" / "datatrove_curation.py"
    log = folder / "log"
    with log.open("w") as errors:
        done = subprocess.run(
            [python, script, str(folder)], stdout=subprocess.PIPE, stderr=errors, check=False
        )
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{log.read_text()[-2_000:]}")
    for line in done.stdout.splitlines():
        row = json.loads(line)
        ROWS[row["work"]] = row
        print(json.dumps(row), flush=True)


def ratios() -> None:
    """Ours over theirs, per wall and per CPU second."""
    for work, others in AGAINST.items():
        for other in others:
            if other in ROWS:
                rates = ("mb_per_second", "mb_per_cpu_second")
                wall, cpu = (round(ROWS[work][rate] / ROWS[other][rate], 1) for rate in rates)
                print(json.dumps({"ratio": f"{work} / {other}", "wall": wall, "cpu": cpu}), flush=True)


def show(work: str, megabytes: float, seconds: tuple[float, float], **facts: Any) -> None:
    wall, cpu = seconds
    row = {
        "work": work,
        "mb_per_second": round(megabytes / wall, 2),
        "mb_per_cpu_second": round(megabytes / cpu, 2),
        "seconds": round(wall, 2),
        "peak_mb": peak_mb(),
    }
    ROWS[work] = {**row, **facts}
    print(json.dumps(ROWS[work]), flush=True)


def peak_mb() -> int:
    """The peak of this process alone: getrusage starts at that of the process which started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def ours(folder: Path, megabytes: float) -> None:
    """Read and plant; then exact, near, decontaminate and pack, and what they found; then the whole in one row."""
    from hornbook.core.shards import read_documents
    from hornbook.stages.decontaminate import step as decontaminate
    from hornbook.stages.dedup import step as dedup
    from hornbook.stages.read import step as read

    reading, _ = timed(read.run, read.ReadConfig(max_bytes=int(megabytes * 1e6)), {}, folder / "read")
    documents = list(read_documents(folder / "read"))
    show("read", size_of(documents), reading, documents=len(documents))
    planted = plant(documents, folder)
    size = size_of(planted)

    warm_up(folder, documents[0])
    inputs = {"documents": folder / "planted"}
    only_exact = dedup.DedupConfig(near=False)
    seconds, counts = timed(dedup.run, only_exact, inputs, folder / "exact")
    show("exact", size, seconds, dropped=counts["dropped"])

    show("read and write, nothing else", size, clocked(lambda: copy(folder / "planted", folder / "copy"))[0])

    copies, counts = timed(dedup.run, dedup.DedupConfig(), inputs, folder / "dedup")
    gone = sources(folder / "dedup")
    shown = {f"{kind}_found": copies_found(kind, planted, gone) for kind in ("exact", "near")}
    show("exact and near-duplicates", size, copies, **shown, clusters=counts["clusters"])

    clean, _ = timed(decontaminate.run, decontaminate.DecontaminateConfig(), inputs, folder / "clean")
    gone = sources(folder / "clean")
    found = sum(name.startswith("leak/") for name in gone)
    by_expression = {document.source for document in planted if plain_match(document.text)}
    false, plain_false = (sum(not n.startswith("leak/") for n in names) for names in (gone, by_expression))
    show(
        "decontaminate (13 words)",
        size,
        clean,
        leaks_found=f"{found}/41",
        false_removals=false,
        false_removals_of_a_plain_match=plain_false,
    )
    by_trees(folder, planted[::10])
    packing = pack(folder, planted, size)
    whole = [sum(side) for side in zip(reading, copies, clean, packing, strict=True)]
    show("read, exact, near, decontaminate, pack", size, (whole[0], whole[1]))


def copy(dataset: Path, out: Path) -> None:
    """The ceiling of every stage that writes what it keeps: each shard decoded, encoded and written once."""
    from hornbook.core.shards import KEPT, read_table, shards, write_table

    for path in shards(dataset):
        write_table(out / KEPT / path.name, read_table(path))


def warm_up(folder: Path, document: Any) -> None:
    """Load what the stages need, on one document."""
    from hornbook.core.shards import shard_name, write_shard
    from hornbook.stages.decontaminate import step as decontaminate
    from hornbook.stages.dedup import step as dedup

    write_shard(folder / "one", shard_name(0), [document])
    for stage, config in (
        (dedup, dedup.DedupConfig()),
        (decontaminate, decontaminate.DecontaminateConfig(benchmarks=())),
    ):
        timed(stage.run, config, {"documents": folder / "one"}, folder / f"one-{config.__class__.__name__}")


def by_trees(folder: Path, documents: list[Any]) -> None:
    """The same with syntax trees compared as well, at the lowest rate that the paper tried."""
    from hornbook.core.shards import shard_name, write_shard
    from hornbook.stages.decontaminate import step as decontaminate

    write_shard(folder / "tenth", shard_name(0), documents)
    config = decontaminate.DecontaminateConfig(ast_match=0.8)
    seconds, counts = timed(decontaminate.run, config, {"documents": folder / "tenth"}, folder / "trees")
    found = counts.get("dropped.benchmark_ast", 0)
    show("decontaminate (13 words, trees)", size_of(documents), seconds, found_by_trees_alone=found)


def plant(documents: list[Any], folder: Path) -> list[Any]:
    """The documents with copies and leaks among them, in shards of `folder/planted`."""
    from hornbook.core.shards import shard_name, shards, write_shard

    planted = [*documents, *plants(documents)]
    random.Random(1).shuffle(planted)
    step = -(-len(planted) // max(1, len(shards(folder / "read"))))
    for number, begin in enumerate(range(0, len(planted), step)):
        write_shard(folder / "planted", shard_name(number), planted[begin : begin + step])
    return planted


def pack(folder: Path, documents: list[Any], size: float) -> tuple[float, float]:
    """Encode and pack everything with a tokenizer of the corpus' own, beside tokenizers' encode_batch_fast."""
    from hornbook.model.tokenizer import load_tokenizer, train_tokenizer
    from hornbook.stages.tokenize import pack as stage

    texts = [document.text for document in documents]
    train_tokenizer(texts[::8], VOCABULARY).save(folder / "tokenizer")
    tokenizer = load_tokenizer(folder / "tokenizer")
    config = stage.PackConfig(parts={"all": 1.0}, tokens=10**12, row_tokens=2048, heldout_share=0.0)
    config = config.model_copy(update={"tokens": token_count(texts, tokenizer)})
    inputs = {"tokenizer": folder / "tokenizer", "part.all": folder / "planted"}
    seconds, counts = timed(stage.run, config, inputs, folder / "pack")
    show("pack", size, seconds, tokens=counts["tokens"])

    sample = texts[:: max(1, int(size / 20))]
    part = sum(len(text.encode()) for text in sample) / 1e6
    fast, by_tokenizers = clocked(lambda: tokenizer.encode_batch(sample))
    show("tokenizers encode_batch_fast", part, fast)
    cold, by_pieces = clocked(lambda: list(load_tokenizer(folder / "tokenizer").encode_arrays(sample)))
    differing = sum(a.tolist() != b for a, b in zip(by_pieces, by_tokenizers, strict=True))
    show("our encoder on the same texts", part, cold, texts_with_other_ids=differing)
    return seconds


def token_count(texts: list[str], tokenizer: Any) -> int:
    """Tokens of all texts, an end-of-text after each."""
    return sum(len(ids) + 1 for ids in tokenizer.encode_arrays(texts))


def size_of(documents: list[Any]) -> float:
    """Megabytes of text."""
    return sum(len(document.text.encode()) for document in documents) / 1e6


def timed(run: Callable[..., Any], config: Any, inputs: Any, out: Path) -> tuple[tuple[float, float], Any]:
    from hornbook.core.context import Tools

    out.mkdir()
    return clocked(lambda: run(config, inputs, out, Tools()))


def clocked(work: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Wall and CPU seconds, and what came of it."""
    begin, cpu = time.perf_counter(), time.process_time()
    made = work()
    return (time.perf_counter() - begin, time.process_time() - cpu), made


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


def edited(text: str, draw: random.Random, words_a_change: int = 80) -> str:
    """The text with one word in so many replaced: with one in 80, about 0.88 of the shingles stay in common."""
    words = re.split(r"(\W+)", text)
    places = range(0, len(words), 2)
    for place in draw.sample(places, max(1, len(places) // words_a_change)):
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


def against_brute_force(folder: Path, count: int) -> None:
    """Recall and precision on a sample whose every pair is compared, at three thresholds.

    A fifth of the sample are documents with a copy each in which one word of 10 to 400 is another: from hardly alike
    to nearly the same.
    """
    from hornbook.core.records import Document
    from hornbook.core.shards import read_documents, shard_name, write_shard
    from hornbook.stages.dedup import step as dedup

    draw = random.Random(3)
    documents = [d for d in read_documents(folder / "read") if len(d.text) < 100_000]
    sample = draw.sample(documents, min(len(documents), count * 4 // 5))
    sample += [
        Document(edited(d.text, draw, round(10 * 40 ** draw.random())), f"copy/{d.source}", "code")
        for d in sample[: count // 5]
    ]
    write_shard(folder / "sample", shard_name(0), sample)
    pairs = similar_pairs({document.source: shingles(document.text) for document in sample})
    for threshold in (0.6, 0.75, 0.9):
        out = folder / f"sample-{threshold}"
        _, counts = timed(
            dedup.run, dedup.DedupConfig(jaccard=threshold), {"documents": folder / "sample"}, out
        )
        kept = kept_of(out)
        true = [pair for pair, jaccard in pairs.items() if jaccard >= threshold]
        partnered = {source for pair in true for source in pair}
        found = sum(kept.get(one, one) == kept.get(other, other) for one, other in true)
        row = {
            "work": "near-duplicates against brute force",
            "jaccard": threshold,
            "documents": len(sample),
            "true_pairs": len(true),
            "recall": round(found / max(len(true), 1), 4),
            "dropped": len(kept),
            "precision": round(len(kept.keys() & partnered) / max(len(kept), 1), 4),
            "pairs_that_minhash_brought_together": counts["candidate_pairs"],
        }
        print(json.dumps(row), flush=True)


def kept_of(out: Path) -> dict[str, str]:
    """Document that went -> the one kept of its cluster."""
    import pyarrow.parquet as pq

    rows = pq.read_table(out / "clusters.parquet", columns=["source", "kept_source"]).to_pylist()
    return {row["source"]: row["kept_source"] for row in rows}


def similar_pairs(sets: dict[str, set[tuple[str, ...]]]) -> dict[tuple[str, str], float]:
    """The Jaccard of every pair at or above 0.6, by sets of tuples; sizes rule most of them out."""
    found = {}
    ranked = sorted((len(words), source) for source, words in sets.items() if words)
    for place, (size, source) in enumerate(ranked):
        for other_size, other in ranked[place + 1 :]:
            if size < 0.6 * other_size:
                break
            shared = len(sets[source] & sets[other])
            if shared >= 0.6 * (size + other_size - shared):
                found[source, other] = shared / (size + other_size - shared)
    return found


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


if __name__ == "__main__":
    sys.exit(main())
