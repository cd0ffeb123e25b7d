from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from hornbook.core.context import Tools
from hornbook.core.records import Document
from hornbook.core.shards import read_documents, read_table, shards, write_shard
from hornbook.stages.dedup.functions import function_texts
from hornbook.stages.dedup.step import DedupConfig, run


def function(number: int, indent: str = "") -> str:
    body = "".join(f"{indent}    total{k} = value * {number * 100 + k} + offset\n" for k in range(8))
    return f"{indent}def step_{number}(value, offset):\n{body}{indent}    return total0 - {number}\n\n\n"


def names(*numbers: int) -> str:
    return "import os\n\n\n" + "".join(map(function, numbers))


DOCUMENTS = {
    "all.py": names(1, 2, 3, 4, 5, 6),
    "three_of_them.py": "# other\n" + names(2, 4, 6).replace("import os", "import re"),
    "half.py": names(1, 10, 11),
    "own.py": names(20, 21),
    "method.py": "class A:\n" + function(3, "    ") + function(5, "    "),
    "broken.py": names(1) + "def (",
    "tiny.py": "def f(x):\n    return x\n",
    "tiny_too.py": "import a\n\ndef f(x):\n    return x\n",
}


def dedup(folder: Path, copied_functions: float) -> dict[str, str]:
    documents = [Document(text, name, "code") for name, text in DOCUMENTS.items()]
    for number in range(4):
        write_shard(folder / "in", f"shard-{number:05d}.parquet", documents[number::4])
    out = folder / "out"
    out.mkdir()
    config = DedupConfig(copied_functions=copied_functions, jaccard=0.9)
    counts = run(config, {"documents": folder / "in"}, out, Tools())
    gone = {row["source"]: row["detail"] for p in shards(out, "dropped") for row in read_table(p).to_pylist()}
    assert {document.source for document in read_documents(out)} == DOCUMENTS.keys() - gone.keys()
    assert counts.get("dropped.copied_functions", 0) == len(gone)
    return gone


def test_files_of_copied_functions_go_and_say_where_they_stand(tmp_path: Path) -> None:
    gone = dedup(tmp_path, 1.0)
    assert sorted(gone) == ["method.py", "three_of_them.py"]
    assert gone["three_of_them.py"].startswith(
        "100% of its functions' text stands in other documents, most of it in all.py (id "
    )
    rows = read_table(tmp_path / "out" / "clusters.parquet").to_pylist()
    assert all((row["kept_because"] == "") == (row["reason"] == "copied_functions") for row in rows)
    assert {(row["source"], row["kept_source"], row["reason"]) for row in rows} == {
        ("method.py", "all.py", "copied_functions"),
        ("three_of_them.py", "all.py", "copied_functions"),
    }


@pytest.mark.parametrize(("share", "gone"), [(0.0, 0), (0.3, 3), (0.5, 2)])
def test_the_share_decides(tmp_path: Path, share: float, gone: int) -> None:
    assert len(dedup(tmp_path, share)) == gone
    assert orjson.loads((tmp_path / "out" / "dedup.json").read_bytes())["true_pairs"] == 0


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_functions_are_found_whatever_ends_a_line(ending: str) -> None:
    source = ending.join(["import os", "def f():", "    return 1", "", "def g():", "    return 2"])
    assert list(function_texts(source)) == ["def f(): return 1", "def g(): return 2"]


def test_functions_and_methods_are_alike_whatever_their_indentation() -> None:
    (plain,) = function_texts(function(3))
    (method,) = function_texts("class A:\n" + function(3, "    "))
    assert plain == method
    assert list(function_texts("def (")) == []
