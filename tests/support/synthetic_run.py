"""A finished run in miniature, in the layout that the stages leave: what the report reads, with known numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from hornbook.core.records import Document, Drop, documents_table, drops_table, text_id
from hornbook.core.scores import mean_interval, ratio_interval, wilson
from hornbook.core.shards import write_json, write_table

RECIPE: dict[str, Any] = {
    "name": "nano",
    "seed": 7,
    "teacher": "smollm2-135m-instruct",
    "mixes": {
        "raw": {"tokens": 1_500_000, "parts": {"dedup": 1.0}},
        "textbook": {
            "tokens": 1_500_000,
            "parts": {"filter": 0.5, "textbooks": 0.1, "exercises/grammar": 0.4},
        },
        "practice": {"tokens": 1_000_000, "parts": {"exercises/grammar": 1.0}},
    },
    "arms": {
        "raw": {"mix": "raw", "finetune": None, "seed": 0},
        "textbook": {"mix": "textbook", "finetune": "practice", "seed": 0},
    },
}
HOSTILE = 'x = "</pre><script>alert(1)</script>"  # <img src=http://example.invalid/x.png> & "quotes"\n'
CODE = '''def running_mean(values, window):
    """Return the mean of every run of `window` values.

    >>> running_mean([1, 2, 3, 4], 2)
    [1.5, 2.5, 3.5]
    """
    total = sum(values[:window])
    means = [total / window]
    for left, right in zip(values, values[window:]):
        total += right - left
        means.append(total / window)
    return means
'''
TABLE = "CODEPOINTS = {\n" + "".join(f"    0x{n:04x}: 0x{n * 7 % 65536:04x},\n" for n in range(40)) + "}\n"
PAGE = """# Loops that count

A loop does the same thing many times. When you know how often, let `range` count for you.

```python
for number in range(3):
    print(number * number)
```

Read it aloud: for each number below three, print its square.
"""


DATASETS: dict[str, tuple[int, dict[str, int], float]] = {
    "read": (5632, {"generated": 210, "empty": 180, "huge": 29}, 8.1),
    "dedup": (5011, {"near_copy": 433, "exact_copy": 188}, 6.4),
    "filter": (1503, {"low_score": 3508}, 17.5),
    "textbooks": (41, {"code_fails": 19, "no_code": 4}, 61.0),
    "exercises/corpus": (1420, {"doctest_failed": 212}, 22.0),
    "exercises/teacher": (1, {"tests_failed": 39}, 31.5),
    "exercises/grammar": (12_000, {}, 9.0),
    "decontaminate/dedup": (5003, {"benchmark_ngram": 8}, 2.2),
}
"""Step -> kept, dropped by reason, seconds."""
MODELS = {"raw.base": (0.0, 0.0), "textbook.base": (1.0, 0.04), "textbook.finetuned": (1.2, 0.93)}
"""Model -> how much of the effect it has, share of held-out exercises that it solves."""
SUITES = {"humaneval": 164, "heldout": 200}
ISOLATION = [
    "process",
    "user namespace",
    "pid namespace",
    "network namespace",
    "seccomp",
    "landlock",
    "rlimits",
]


def code(number: int) -> Document:
    return Document(f"# part {number}\n{CODE}", f"statistics/rolling_{number}.py", "code")


def table(number: int) -> Document:
    return Document(f"# table {number}\n{TABLE}", f"encodings/cp{number}.py", "code")


class SyntheticRun:
    """Step folders under `root`; `folders` maps step key to folder.

    `effect` is what the textbook arm gains over raw in probability per character.
    """

    def __init__(self, root: Path, effect: float = 0.05) -> None:
        self.root = root
        self.folders: dict[str, Path] = {}
        for key, (kept, reasons, seconds) in DATASETS.items():
            self._dataset(key, kept, reasons, seconds)
        self._step("annotate", {"kept": 120, "dropped": 0, "labels": 118, "failed.unreadable": 2}, 58.8)
        again = self._step("annotate.reworded", {"labels": 16}, 9.0)
        agreed = {
            "documents": 16,
            "points": 0,
            "rank_correlation": [0.71, 0.4, 0.9],
            "same_half": [0.8, 0.6, 1],
        }
        write_json(again / "agreement.json", agreed)
        measured = self._step("features", {"kept": 5011, "dropped": 0}, 3.0)
        for shard, documents in (("shard-00000", 18), ("shard-00001", 100)):
            cost = {"documents": documents, "seconds": {"statistics": documents / 1180}}
            write_json(measured / "costs" / shard / "timing.json", cost)
        self._step("tokenizer", {"vocabulary": 4096}, 4.0)
        for mix in RECIPE["mixes"]:
            folder = self._step(f"pack/{mix}", {"rows": 2930}, 2.5)
            write_json(folder / "parts.json", _parts(**RECIPE["mixes"][mix]))
        self._trained("pretrain/raw", 1_500_000, 3.1, 71.2)
        self._trained("pretrain/textbook", 1_500_000, 1.9, 74.9)
        self._trained("finetune/textbook", 1_000_000, 0.9, 83.0)
        for name, (share, solved) in MODELS.items():
            self._evaluated(name, effect * share, solved)

    def _step(
        self, key: str, counts: Mapping[str, Any], seconds: float, config: Mapping[str, Any] | None = None
    ) -> Path:
        folder = self.root / key.replace("/", "-") / text_id(key)[:16]
        manifest = {
            "stage": key.partition("/")[0].partition(".")[0],
            "version": 1,
            "config": config or {},
            "seed": 7,
        }
        write_json(folder / "manifest.json", {**manifest, "identity": {}, "inputs": {}, "counts": counts})
        write_json(folder / "timing.json", {"seconds": seconds})
        self.folders[key] = folder
        return folder

    def _dataset(self, key: str, kept: int, reasons: Mapping[str, int], seconds: float) -> None:
        """Counts as given, and a few records of each side to look at."""
        dropped = sum(reasons.values())
        named = {f"dropped.{reason}": count for reason, count in reasons.items()}
        folder = self._step(key, {"kept": kept, "dropped": dropped, **named}, seconds)
        some = (
            [Document(PAGE, "loops for beginners", "textbook")] if key == "textbooks" else [code(0), code(1)]
        )
        gone = [Drop(table(n), reason, f"matched HumanEval/{n}") for n, reason in enumerate(reasons)]
        write_table(folder / "kept" / "shard-00000.parquet", documents_table(some))
        write_table(folder / "dropped" / "shard-00000.parquet", drops_table(gone))
        if key == "filter":
            write_json(folder / "quality.json", synthetic_quality())

    def _trained(self, key: str, tokens: int, floor: float, seconds: float) -> None:
        folder = self._step(
            key, {"tokens": tokens, "epochs": 1.5, "parameters": 1_120_000}, seconds, {"tokens": tokens}
        )
        random_ = random.Random(key)
        with (folder / "metrics.jsonl").open("w") as file:
            for step in range(1, 184):
                loss = floor + (8.3 - floor) * 0.965**step + random_.gauss(0, 0.05)
                row = {"step": step, "tokens": step * tokens // 183, "loss": loss}
                file.write(json.dumps(row | ({"heldout_loss": loss} if step == 183 else {})) + "\n")

    def _evaluated(self, name: str, shift: float, solved: float) -> None:
        scored = {
            suite: _suite(suite, count, shift, solved if suite == "heldout" else 0.0)
            for suite, count in SUITES.items()
        }
        folder = self._step(f"evaluate/{name}", {"problems": 364}, 14.2)
        sampling = {
            "temperature": 0,
            "top_p": 1.0,
            "samples": 1,
            "stop_rule": "top_level",
            "pattern": "^[A-Za-z_@#]",
            "stops": ["\ndef "],
        }
        proof = {"verdicts": 728, "isolation": ISOLATION}
        write_json(folder / "scores.json", {"proof": proof, "sampling": sampling, "benchmarks": scored})
        for suite in SUITES:
            rows = [_attempt(suite, number) for number in range(3)]
            write_table(folder / "attempts" / suite / "shard-00000.parquet", pa.Table.from_pylist(rows))


def _parts(tokens: int, parts: Mapping[str, float]) -> dict[str, Any]:
    """What pack writes: every dataset has 100,000 tokens, and those that run short are repeated."""
    return {
        name: {
            "share": share,
            "tokens": round(tokens * share),
            "distinct_tokens": 100_000,
            "documents": 50,
            "epochs": tokens * share / 100_000,
        }
        for name, share in parts.items()
    }


def _attempt(suite: str, number: int) -> dict[str, str]:
    failed = number > 0
    return {
        "id": f"{suite}/{number}",
        "completion": "    return x\n",
        "ended": "end",
        "judged": "    return x\n",
        "outcome": "failed" if failed else "passed",
        "reason": "NameError: name 'x' is not defined" if failed else "",
        "failure": "name" if failed else "",
    }


def synthetic_quality() -> dict[str, Any]:
    random_ = random.Random(1)
    counts = [round(260 * (1 - abs(n - 8) / 12) ** 2) + random_.randrange(20) for n in range(20)]
    edges = [n / 20 for n in range(21)]
    hostile = Document(HOSTILE, "hostile.py", "code")
    trusted = {
        "roc_auc": [0.74, 0.65, 0.83],
        "average_precision": [0.71, 0.6, 0.82],
        "rank_correlation": [0.41, 0.24, 0.56],
    }
    parts = [{"documents": 39, "mean_score": n / 4, "good_share": 0.2 + n / 7} for n in (1, 2, 3)]
    return {
        "score": "forest",
        "features": ["statistics"],
        "strata": "topic",
        "stratum_share": 0.05,
        "rule": {"keep_share": 0.3, "bytes_per_token": 3.0},
        "labels": 118,
        "good": 59,
        "good_label": 0.61,
        "groups": 31,
        "roc_auc_over_groups": [0.74, 0.61, 0.85],
        "threshold": 0.57,
        **trusted,
        "learners": {"forest": trusted, "linear": {**trusted, "rank_correlation": [None, None, None]}},
        "label_histogram": {"edges": edges, "counts": [n // 22 for n in counts]},
        "score_histogram": {"edges": edges, "counts": counts},
        "importances": [["documented_share", 0.14], ["comment_line_share", 0.08], ["log_chars", 0.07]],
        "importance_by_set": {"statistics": 1.0},
        "columns": 62,
        "calibration": parts,
        "calibration_before": parts,
        "calibration_error": 0.031,
        "calibration_error_before": 0.113,
        "learning_curve": [
            {"labels": n, "roc_auc": 0.6 + n / 1000, "lowest": 0.55, "highest": 0.75} for n in (24, 48, 94)
        ],
        "out_of_fold": [],
        "effects": {
            "all": _held(5011, 1),
            "kept": _held(1503, 2),
            "random": _held(1503, 1),
            "comment_density": _held(1800, 3),
        },
        "against": {
            "share": 0.3,
            "documents": {"judge": 40, "comment_density": 35},
            "judge": [0.64, 0.62, 0.66],
            "random": [0.58, 0.57, 0.59],
            "comment_density": [0.57, 0.56, 0.59],
            "beats": {"random": [0.06, 0.04, 0.08], "comment_density": [0.062, 0.04, 0.082]},
        },
        "examples": {
            "kept": [_example(code(0), 0.83, 0.91), _example(hostile, 0.71, None)],
            "dropped": [_example(table(n), 0.12, None) for n in range(2)],
        },
    }


def _held(documents: int, weight: int) -> dict[str, Any]:
    return {
        "documents": documents,
        "bytes": 10_000 * documents,
        "density_sum": 0.1 * weight * documents,
        "lengths": {"11": documents // 2, "12": documents - documents // 2},
        "topic": {"algorithms": 4000 * weight, "web and network": 6000},
        "licence": {f"<b>{n}</b>": 1000 // (n + 1) for n in range(12)} | {"": 70 * weight},
    }


def _example(document: Document, score: float, label: float | None) -> dict[str, Any]:
    return {
        "id": document.id,
        "source": document.source,
        "meta": {},
        "score": score,
        "label": label,
        "characters": len(document.text),
        "text": document.text,
    }


def _suite(suite: str, count: int, shift: float, solved: float) -> dict[str, Any]:
    """What evaluate writes for one benchmark, of numbers drawn around the sketches' own."""
    random_ = random.Random(suite)
    rows = {}
    for n in range(count):
        noise = random.Random(f"{suite}{n}{shift}").gauss(0, 0.01)
        rows[f"{suite}/{n}"] = {
            "passed": int(n < solved * count),
            "bytes": 200,
            "bits_per_byte": max(0.1, random_.gauss(2.35 - 6 * shift, 0.2) - 6 * noise),
            "character_probability": min(0.99, max(0.01, random_.gauss(0.187 + shift, 0.03) + noise)),
        }
    passed = sum(row["passed"] for row in rows.values())
    bits = [row["bits_per_byte"] * row["bytes"] for row in rows.values()]
    triples = {
        "pass_at_1": wilson(int(passed), count),
        "bits_per_byte": ratio_interval(bits, [row["bytes"] for row in rows.values()]),
        "character_probability": mean_interval([row["character_probability"] for row in rows.values()]),
    }
    failed = count - int(passed)
    return {
        "problems": count,
        "samples": 1,
        "attempts": count,
        "passed": int(passed),
        "pass_at": {"1": [triples["pass_at_1"].value, triples["pass_at_1"].low, triples["pass_at_1"].high]},
        "boundaries": {},
        **{key: [t.value, t.low, t.high] for key, t in triples.items()},
        "failures": {"assertion": failed // 2, "name": failed - failed // 2} if failed else {},
        "concepts": {},
        "by_problem": rows,
    }
