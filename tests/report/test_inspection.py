"""What was made can be looked at, part by part; what no run uses can be removed, and nothing that one still needs."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest

from hornbook.core.errors import InputError
from hornbook.core.machine import CannedPlace, Machine
from hornbook.core.progress import Silent
from hornbook.core.records import Document
from hornbook.core.settings import parse
from hornbook.core.shards import read_json, write_json, write_shard
from hornbook.experiment.execute import execute
from hornbook.experiment.plan import plan
from hornbook.experiment.recipe import Recipe
from hornbook.report import explain as explanation
from hornbook.report import inspect as inspection

ANSWERS = (
    {"match": "def |class ", "text": "Yes", "logprobs": [{"Yes": -y, "No": -1.0} for y in (0.2, 0.6, 2.0)]},
    {"match": "", "text": "No", "logprobs": [{"Yes": -0.9, "No": -0.5}, {"Yes": -1.4, "No": -0.3}]},
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A corpus of small modules of the standard library, and a scripted teacher."""
    (tmp_path / "corpus").mkdir()
    found = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-z]*.py"))
    for source in [path for path in found if 2_000 < path.stat().st_size < 8_000][:30]:
        (tmp_path / "corpus" / source.name).write_bytes(source.read_bytes())
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in ANSWERS))
    teachers = {"scripted": CannedPlace(kind="canned", path=str(tmp_path / "answers.jsonl"))}
    (tmp_path / "corpus" / "copy.py").write_text(
        "# again\n" + (tmp_path / "corpus" / "bisect.py").read_text()
    )
    return Machine(root=str(tmp_path / "root"), workers=1, teachers=teachers)


def _run(machine: Machine, name: str, **filter_: object) -> dict[str, str]:
    """Make a filtered corpus; the folder of each step in the store."""
    values = {
        "name": name,
        "teacher": "scripted",
        "read": {"sources": [{"kind": "folder", "path": str(Path(machine.root).parent / "corpus")}]},
        "dedup": {},
        "annotate": {"labels": 20},
        "filter": {"good_share": 0.4, "trees": 5, **filter_},
        "filters": {"chance": {"score": "random", "keep_share": 0.5}},
        "decontaminate": {},
    }
    recipe = parse(Recipe, values, "small.toml")
    run = execute(recipe, machine, plan(recipe, machine), Silent())
    lock = read_json(run / "lock.json")
    return {key: f"{step['stage']}/{step['fingerprint']}" for key, step in lock.items()}


def _in_store(machine: Machine) -> set[str]:
    return {str(Path(*path.parts[-3:-1])) for path in Path(machine.root).glob("store/*/*/manifest.json")}


def test_the_parts_of_a_run_and_why_its_documents_are_there(machine: Machine) -> None:
    _run(machine, "one", keep_share=0.5, features=["statistics", "ngrams"])
    parts = {row["step"]: row["parts"] for row in inspection.datasets(machine, "one")}
    assert parts["dedup"].startswith("clusters 1, dropped 1, kept ")
    assert parts["judge"] == f"{parts['dedup'].rpartition(', ')[2]}, labelled"
    (row,) = inspection.records(machine, "one", "dedup", "clusters", "similarity > 0.9", 5)
    assert (row["kept_source"], row["source"]) == ("corpus/copy.py", "corpus/bisect.py")
    with pytest.raises(InputError, match="no part 'cluster'; its parts: clusters, dropped, kept"):
        inspection.records(machine, "one", "dedup", "cluster", "", 5)
    (gone,) = inspection.records(machine, "one", "dedup", "dropped", "", 5)
    with pytest.raises(
        InputError, match=r"dedup dropped corpus/bisect\.py as near_copy: copy of corpus/copy\.py.*is longer"
    ):
        explanation.find(machine, "one", "filter", gone["id"][:12])
    with pytest.raises(InputError, match="`hornbook show one filter` lists them"):
        explanation.find(machine, "one", "filter", "zzz")
    _, stays = explanation.find(machine, "one", "dedup", row["kept_id"])
    copies = explanation.explain(machine, "one", "dedup", stays)
    assert "kept instead of 1 other" in explanation.describe(copies, "kept")
    assert "corpus/bisect.py  (near copy; this one is longer)" in explanation.describe(copies, "kept")
    assert explanation.explain(machine, "one", "dedup", gone) == {}
    labelled = inspection.records(machine, "one", "judge", "labelled", "good", 50)
    assert 0 < len(labelled) < 20
    part, record = explanation.find(machine, "one", "filter", labelled[0]["id"])
    why = explanation.explain(machine, "one", "filter", record)
    assert "ngrams" in [row["feature"] for row in why["moved"]]
    assert not any(row["feature"].startswith("ngrams.") for row in why["moved"])
    assert why["label"]["good"]
    assert part in explanation.describe(why, part)
    chance = explanation.explain(machine, "one", "filter.chance", record)
    assert chance["label"]["label"] == why["label"]["label"]  # a plain baseline learns nothing from it
    assert chance["label"]["good"] is None


def test_clean_removes_what_no_run_names_and_keeps_what_runs_share(machine: Machine) -> None:
    first = _run(machine, "one", keep_share=0.5)
    other = _run(machine, "two", keep_share=0.2)
    assert first["judge"] == other["judge"]
    assert inspection.clean(machine, yes=True) == []

    again = _run(machine, "one", keep_share=0.5, score="linear")  # the same run, made otherwise
    gone = {first[key] for key in ("filter", "decontaminate/filter", "report")}
    assert {row["folder"] for row in inspection.clean(machine, yes=False)} == gone
    assert gone < _in_store(machine)
    inspection.clean(machine, yes=True)
    assert _in_store(machine) == {*again.values(), *other.values()}
    assert {other["judge"], other["features"], again["judge"]} <= _in_store(machine)

    third = _run(machine, "two", keep_share=0.2, score="random")
    assert {row["folder"] for row in inspection.clean(machine, yes=True)} == set(other.values()) - {
        *again.values(),
        *third.values(),
    }
    assert other["judge"] not in _in_store(machine)
    assert other["features"] in _in_store(machine)  # the first run learns from them still
    for run in ("one", "two"):
        links = Path(machine.root) / "runs" / run / "steps"
        assert all(link.exists() for link in links.rglob("*") if link.is_symlink() and link.name in third)


def test_records_are_shown_wherever_the_root_is(tmp_path: Path) -> None:
    """Brackets are no pattern, and a folder with an equals sign is no column."""
    machine = Machine(root=str(tmp_path / "runs [1]" / "year=2026"))
    folder = Path(machine.root) / "store" / "read" / "f00d"
    write_shard(folder, "shard-00000.parquet", [Document("x = 1", "one.py", "code")])
    write_json(Path(machine.root) / "runs/mine/lock.json", {"read": {"stage": "read", "fingerprint": "f00d"}})
    (record,) = inspection.records(machine, "mine", "read", "kept", "source = 'one.py'", 5)
    assert sorted(record) == ["id", "kind", "meta", "source", "text"]
    with pytest.raises(inspection.NoSuchPart, match="no part 'dropped'; its parts: kept"):
        inspection.records(machine, "mine", "read", "dropped", "", 5)
