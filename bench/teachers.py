"""How fast and how good the embedded teacher is here: labels and their AUC, pages and how many survive.

    python bench/teachers.py [--labels 120] [--pages 40] [--folder FOLDER] ...

Labels: documented functions of the standard library against beginnings of its files. The answers are cached
in FOLDER (default: a fresh one), so a second run with the same folder measures the cache.
"""

from __future__ import annotations

import argparse
import ast
import random
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hornbook.core.context import Tools
from hornbook.core.machine import LocalPlace
from hornbook.core.progress import open_progress
from hornbook.core.records import Document
from hornbook.core.shards import read_table, shards, write_shard
from hornbook.sandbox import Sandbox
from hornbook.stages.annotate import step as annotate
from hornbook.stages.textbooks import step as textbooks
from hornbook.teachers import open as embedded
from hornbook.teachers import open_teacher


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--labels", type=int, default=120)
    arguments.add_argument("--pages", type=int, default=40)
    arguments.add_argument("--excerpt-chars", type=int, default=350)
    arguments.add_argument("--prompt", default="textbook-small")
    arguments.add_argument("--areas", nargs="*", default=["basics", "functions", "numbers", "text"])
    arguments.add_argument("--answer-tokens", type=int, default=256)
    arguments.add_argument("--folder", type=Path, default=None)
    chosen = arguments.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="hornbook-bench-"))
    teacher = partial(open_teacher, embedded.MODEL, LocalPlace(), folder / "cache", open_progress())
    tools = Tools(seed=1, progress=open_progress(), teacher=teacher, sandbox=Sandbox)
    if chosen.labels:
        judge(
            folder, tools, annotate.AnnotateConfig(labels=chosen.labels, excerpt_chars=chosen.excerpt_chars)
        )
    if chosen.pages:
        config = textbooks.TextbooksConfig(
            pages=chosen.pages,
            prompt=chosen.prompt,
            areas=tuple(chosen.areas),
            max_answer_tokens=chosen.answer_tokens,
        )
        write(folder, tools, config)


def judge(folder: Path, tools: Tools, config: annotate.AnnotateConfig) -> None:
    """Labels of documented functions and of file beginnings, half each: speed, and whether they tell them apart."""
    functions, files = stdlib_documents(config.labels // 2)
    write_shard(folder / "documents", "shard-00000.parquet", [*functions, *files])
    begun = time.perf_counter()
    annotate.run(config, {"documents": folder / "documents"}, folder / "labels", tools)
    seconds = time.perf_counter() - begun
    table = read_table(shards(folder / "labels")[0]).to_pylist()
    good, other = (
        [r["label"] for r in table if r["label"] is not None and r["source"].startswith(part)]
        for part in ("functions/", "files/")
    )
    wins = sum((a > b) + (a == b) / 2 for a in good for b in other)
    print(
        f"annotate: {len(table)} labels in {seconds:.0f} s, {len(table) / seconds:.1f}/s, "
        f"AUC of functions over file beginnings {wins / len(good) / len(other):.2f}"
    )


def stdlib_documents(count: int) -> tuple[list[Document], list[Document]]:
    """`count` documented functions and as many whole files, one of either from a file, in a seeded order."""
    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(p for p in folder.rglob("*.py") if not {"site-packages", "test", "tests"} & set(p.parts))
    random.Random(1).shuffle(paths)
    functions: list[Document] = []
    files: list[Document] = []
    for path in paths:
        text = path.read_text("utf-8", errors="ignore")
        name = path.relative_to(folder).as_posix()
        found = next(documented_functions(text), None)
        if found and len(functions) < count and len(functions) <= len(files):
            functions.append(Document(found, f"functions/{name}", "code"))
        elif len(text) > 500 and len(files) < count:
            files.append(Document(text, f"files/{name}", "code"))
    return functions, files


def documented_functions(text: str) -> Iterator[str]:
    """Functions at the top of a file with a docstring of more than 80 characters and fewer than 2,500 in all."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return
    for node in body:
        if isinstance(node, ast.FunctionDef) and len(ast.get_docstring(node) or "") > 80:
            source = ast.get_source_segment(text, node) or ""
            if 300 < len(source) < 2500:
                yield source


def write(folder: Path, tools: Tools, config: textbooks.TextbooksConfig) -> None:
    """Pages, and what became of them."""
    begun = time.perf_counter()
    counts = textbooks.run(config, {}, folder / "pages", tools)
    seconds = time.perf_counter() - begun
    reasons = ", ".join(
        f"{key.removeprefix('dropped.')} {n}" for key, n in counts.items() if "dropped." in key
    )
    print(
        f"textbooks ({config.prompt}): {config.pages} pages in {seconds:.0f} s, "
        f"{counts['kept']} kept; dropped: {reasons}"
    )


if __name__ == "__main__":
    main()
