"""The filter's feature sets in one run: documents a second, and how well the labels are learnt from each.

    python bench/features.py [--labels 400] [--labelled ANNOTATE] [--checkpoint PRETRAIN] [--tokens 600000]

ANNOTATE and PRETRAIN are folders of such steps of a run. Without the first, the Python on this machine is read,
deduplicated and judged by the embedded teacher, as in nano; without the second, a nano model is pretrained on so many
tokens of the labelled documents. Quality is out of fold, folds by package, with 95% intervals, for a random forest
and a logistic regression. `hidden` has the shape of codegen-350M-mono with random weights: what it costs is measured,
what it is worth cannot be here. Speeds are measured in turn, a few rounds of each set, since other work may be on the
machine: compare ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line sets it

CHARS = 350
ROUNDS = 3
TIMED = 96
"""Documents of a round."""
TIMED_SLOW = 12
"""Of a model with 350M parameters."""


def main() -> None:
    """Print one JSON object a line: the labels, then each set with its speed and its quality."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=400)
    parser.add_argument("--labelled", type=Path, help="folder of an annotate step")
    parser.add_argument("--checkpoint", type=Path, help="folder of a pretrain step")
    parser.add_argument("--tokens", type=int, default=600_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labelled = options.labelled or label(folder, options.labels)
        bench(folder, labelled, options.checkpoint, options.tokens)


def label(folder: Path, count: int) -> Path:
    """nano's corpus, judged by the embedded teacher; the folder of the labels."""
    from hornbook.core.context import Tools
    from hornbook.core.machine import LocalPlace
    from hornbook.core.progress import Silent
    from hornbook.stages.annotate import step as annotate
    from hornbook.stages.dedup import step as dedup
    from hornbook.stages.read import step as read
    from hornbook.teachers import open_teacher
    from hornbook.teachers.open import MODEL

    teacher = partial(open_teacher, MODEL, LocalPlace(), folder / "cache", Silent())
    for stage in ("read", "dedup", "labels"):
        (folder / stage).mkdir()
    read.run(read.ReadConfig(max_bytes=100_000_000), {}, folder / "read", Tools(seed=1))
    dedup.run(
        dedup.DedupConfig(jaccard=0.75), {"documents": folder / "read"}, folder / "dedup", Tools(seed=1)
    )
    config = annotate.AnnotateConfig(labels=count, excerpt_chars=CHARS)
    annotate.run(config, {"documents": folder / "dedup"}, folder / "labels", Tools(seed=1, teacher=teacher))
    return folder / "labels"


def bench(folder: Path, labels: Path, model: Path | None, tokens: int) -> None:
    """Every set: its speed, and what is learnt from it; models in bf16, then their speed in fp32."""
    from hornbook.stages.filter.config import JudgeConfig
    from hornbook.stages.filter.feature_sets import Means
    from hornbook.stages.filter.learning import labelled

    known = labelled(labels, JudgeConfig(good_share=0.3))
    texts = [document.text for document in known.documents]
    show(labels=len(texts), good=int(known.good.sum()), excerpt_chars=CHARS)
    if model is None:
        pretrain(folder, texts, tokens)
    codegen(folder / "codegen")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    checkpoint, hidden = f"checkpoint:{model or folder / 'model'}", f"hidden:{folder / 'codegen'}"
    sets = {
        "statistics": ["statistics"],
        "ngrams": ["ngrams"],
        "checkpoint (nano)": [checkpoint],
        "sentence (MiniLM)": ["sentence"],
        "statistics + ngrams": ["statistics", "ngrams"],
        "statistics + checkpoint": ["statistics", checkpoint],
        "statistics + sentence": ["statistics", "sentence"],
        "hidden (codegen-350M, random)": [hidden],
    }
    for precision in ("bf16", "fp32"):
        means = Means(precision=precision)
        chosen = sets if precision == "bf16" else {k: v for k, v in sets.items() if "(" in k}
        speeds = in_turn(chosen, texts, means)
        for name, features in chosen.items():
            no_worth = precision == "fp32" or features == [hidden]
            worth = {} if no_worth else quality(features, known, texts, means)
            show(features=name, precision=precision, documents_per_second=speeds[name], **worth)


def in_turn(sets: dict[str, list[str]], texts: list[str], means: Any) -> dict[str, float]:
    """Documents a second of each set, the median of ROUNDS that take turns; models are loaded before."""
    from hornbook.stages.filter.feature_sets import extract

    found: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(ROUNDS):
        for name, features in sets.items():
            some = texts[: TIMED_SLOW if name.startswith("hidden") else TIMED]
            extract(features, some[:2], CHARS, means)
            begun = time.perf_counter()
            extract(features, some, CHARS, means)
            found[name].append(len(some) / (time.perf_counter() - begun))
    return {name: round(statistics.median(speeds), 1) for name, speeds in found.items()}


def quality(features: list[str], known: Any, texts: list[str], means: Any) -> dict[str, Any]:
    """ROC AUC and rank correlation out of fold, [value, low, high], of a forest and a linear judge."""
    from hornbook.stages.filter.feature_sets import extract
    from hornbook.stages.filter.learners import LEARNERS, Shape
    from hornbook.stages.filter.metrics import out_of_fold, splits, trust
    from hornbook.text.topics import origin

    matrix = extract(features, texts, CHARS, means).matrix
    parts = splits(known.good, [origin(d.source, d.meta) for d in known.documents], 1)
    row: dict[str, Any] = {"columns": matrix.shape[1]}
    for name in ("forest", "linear"):
        scores = out_of_fold(LEARNERS[name], matrix, known.good, parts, Shape(300, 3, 2), 1)
        told = trust(scores, known.good, known.labels, 1)
        row[name] = {m: [round(v, 3) for v in told[m]] for m in ("roc_auc", "rank_correlation")}
    return row


def pretrain(folder: Path, texts: list[str], tokens: int) -> None:
    """A nano model of the documents, as the raw arm of a recipe makes one."""
    from hornbook.core.context import Tools
    from hornbook.core.records import Document
    from hornbook.core.shards import shard_name, write_shard
    from hornbook.stages.tokenize import pack, tokenizer
    from hornbook.stages.train import pretrain

    for name in ("tokenizer", "rows", "model"):
        (folder / name).mkdir()
    write_shard(folder / "raw", shard_name(0), [Document(text, "raw", "code") for text in texts])
    config = tokenizer.TokenizerConfig(vocabulary=2048, sample_bytes=4_000_000)
    tokenizer.run(config, {"part.raw": folder / "raw"}, folder / "tokenizer", Tools(seed=1))
    inputs = {"tokenizer": folder / "tokenizer", "part.raw": folder / "raw"}
    packing = pack.PackConfig(parts={"raw": 1.0}, tokens=tokens, row_tokens=512)
    pack.run(packing, inputs, folder / "rows", Tools(seed=1))
    training = pretrain.PretrainConfig(
        size="nano",
        tokens=tokens,
        tokens_per_step=4096,
        peak_learning_rate=4e-3,
        warmup_steps=20,
        dropout=0.0,
    )
    inputs = {"rows": folder / "rows", "tokenizer": folder / "tokenizer"}
    pretrain.run(training, inputs, folder / "model", Tools(seed=1))


def codegen(folder: Path) -> None:
    """A model of codegen-350M-mono's shape, its weights random, with a small tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CodeGenConfig, CodeGenModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = CodeGenConfig(n_layer=20, n_embd=1024, n_head=16, rotary_dim=32, vocab_size=51_200)
    CodeGenModel(config).save_pretrained(folder)
    core = Tokenizer(models.WordLevel({"<unk>": 0, **{f"{n}": n for n in range(1, 100)}}, "<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel()  # about the tokens of a real one
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>").save_pretrained(folder)


def show(**row: Any) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
