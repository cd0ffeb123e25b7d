"""datatrove's exact, MinHash and 13-gram steps on an exported part of a corpus; run by bench/curation.py.

python bench/peers/datatrove_curation.py FOLDER     # FOLDER/input/*.jsonl, FOLDER/tasks/*.jsonl
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.decont import NGramsDecontConfig, NGramsDecontFilter
from datatrove.pipeline.dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import create_hash_func
from datatrove.utils.text import ngrams, simplify_text
from datatrove.utils.word_tokenizers import load_word_tokenizer

Steps = list[tuple[list[Any], int]]


def main() -> None:
    """Print one JSON object a line for each piece of work."""
    folder = Path(sys.argv[1])
    rows = [json.loads(line) for line in (folder / "input" / "part.jsonl").open(encoding="utf-8")]
    megabytes = sum(len(row["text"].encode()) for row in rows) / 1e6
    for name, steps in WORK.items():
        wall, cpu = run(folder, name, steps)
        peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
        removed = [
            json.loads(line)["id"] for p in (folder / name / "removed").glob("*.jsonl") for line in p.open()
        ]
        row = {
            "work": f"datatrove {name}",
            "mb_per_second": round(megabytes / wall, 2),
            "mb_per_cpu_second": round(megabytes / cpu, 2),
            "seconds": round(wall, 2),
            "peak_mb": peak,
            "removed": len(removed),
            "leaks_found": sum(id_.startswith("leak/") for id_ in removed),
        }
        print(json.dumps(row), flush=True)


def run(folder: Path, name: str, steps: Callable[[JsonlReader, Path], Steps]) -> tuple[float, float]:
    """Wall and CPU seconds of a chain of pipelines, each in this process."""
    begin, cpu = time.perf_counter(), time.process_time()
    for number, (pipeline, tasks) in enumerate(steps(JsonlReader(str(folder / "input")), folder / name)):
        logs = str(folder / f"logs-{name}-{number}")
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=1, logging_dir=logs).run()
    return time.perf_counter() - begin, time.process_time() - cpu


def written(out: Path, compression: str | None = None) -> tuple[JsonlWriter, JsonlWriter]:
    kept = JsonlWriter(str(out / "kept"), compression=compression)
    return kept, JsonlWriter(str(out / "removed"), compression=None)


def exact_gzip(reader: JsonlReader, out: Path) -> Steps:
    """With the compression that its writer has by default."""
    return exact(reader, out, "gzip")


def exact(reader: JsonlReader, out: Path, compression: str | None = None) -> Steps:
    config = ExactDedupConfig(content_getter=lambda document: " ".join(document.text.split()))
    kept, removed = written(out, compression)
    return [
        ([reader, ExactDedupSignature(str(out / "signatures"), config)], 1),
        ([ExactFindDedups(str(out / "signatures"), str(out / "copies"), config=config)], 1),
        ([reader, ExactDedupFilter(str(out / "copies"), config=config, exclusion_writer=removed), kept], 1),
    ]


def minhash(reader: JsonlReader, out: Path) -> Steps:
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    kept, removed = written(out)
    signatures, buckets, remove = (str(out / name) for name in ("signatures", "buckets", "remove"))
    return [
        ([reader, MinhashDedupSignature(signatures, config=config)], 1),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, remove, config=config)], 1),
        ([reader, MinhashDedupFilter(remove, exclusion_writer=removed), kept], 1),
    ]


def decontaminate(reader: JsonlReader, out: Path) -> Steps:
    """Its indexer wants lighteval, which has no HumanEval of ours: the index is written as the indexer writes it."""
    config = NGramsDecontConfig(n_grams=13)
    tokenizer, hash_ = load_word_tokenizer("eng"), create_hash_func(config.hash_config)
    hashes: set[int] = set()
    for line in (out.parent / "tasks" / "humaneval.jsonl").open(encoding="utf-8"):
        found = tokenizer.word_tokenize(simplify_text(json.loads(line)["text"], config.norm_config))
        hashes.update(hash_(" ".join(gram)) for gram in ngrams(found, config.n_grams))
    (out / "index").mkdir(parents=True)
    np.array(sorted(hashes), config.hash_config.np_descr).tofile(out / "index" / "humaneval.index.hashes")
    kept, removed = written(out)
    return [([reader, NGramsDecontFilter(str(out / "index"), config, removed), kept], 1)]


WORK: dict[str, Callable[[JsonlReader, Path], Steps]] = {
    "exact, gzip": exact_gzip,
    "exact": exact,
    "near-duplicates": minhash,
    "decontaminate": decontaminate,
}

if __name__ == "__main__":
    main()
