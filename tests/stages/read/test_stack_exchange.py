from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import orjson
import pytest

from hornbook.stages.read import stack_exchange
from hornbook.stages.read.source import Posts

BODY = "<p>How do I <b>reverse</b> a list?</p>\n<pre><code>x = [1, 2]\nif x &lt; []:\n    x\n</code></pre>"


def row(**attributes: object) -> str:
    values = {
        "CreationDate": "2020-05-01T10:00:00.000",
        "Score": 5,
        "ContentLicense": "CC BY-SA 4.0",
        **attributes,
    }
    said = " ".join(f"{k}={quoteattr(str(v), {chr(10): '&#xA;'})}" for k, v in values.items())
    return f"  <row {said} />"


def question(id_: int, **attributes: object) -> str:
    values = {"Title": f"Question {id_}", "Tags": "<python><list>", "Body": BODY, **attributes}
    return row(Id=id_, PostTypeId=1, **values)


def answer(id_: int, parent: int, **attributes: object) -> str:
    return row(Id=id_, PostTypeId=2, ParentId=parent, **{"Body": f"<p>Answer {id_}</p>", **attributes})


def dump(path: Path, rows: Iterable[str]) -> Path:
    lines = ['\ufeff<?xml version="1.0" encoding="utf-8"?>', "<posts>", *rows, "</posts>"]
    data = "\r\n".join(lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["Posts.xml", "Posts.xml.gz"])
def test_a_question_with_its_accepted_answer_is_one_document(
    tmp_path: Path, read: Callable[..., Any], name: str
) -> None:
    rows = [
        question(1, AcceptedAnswerId=7),
        answer(3, 1, Score=50),
        answer(7, 1, Score=9),
        row(Id=9, PostTypeId=5),
    ]
    kept, dropped, _ = read({"kind": "stack-exchange", "path": str(dump(tmp_path / name, rows))})
    assert not dropped
    (document,) = kept.values()
    assert document.text == (
        "# Question 1\n\nHow do I reverse a list?\n\n```\nx = [1, 2]\nif x < []:\n    x\n```\n\n## Answer\n\nAnswer 7\n"
    )
    assert (document.source, document.kind) == (f"{name}:1", "qa")
    assert document.meta == {
        "licence": "CC BY-SA 4.0",
        "score": 5,
        "tags": ["python", "list"],
        "date": "2020-05-01",
        "answers": [7],
        "answer_scores": [9],
        "accepted": True,
    }


def test_tag_score_and_date_limits_and_the_choice_of_answers(
    tmp_path: Path, read: Callable[..., Any]
) -> None:
    rows = [
        question(1, AcceptedAnswerId=11),
        question(2, Tags="|java|", AcceptedAnswerId=11),
        question(3, Score=0),
        question(4, CreationDate="2010-01-01T00:00:00.000"),
        question(5),
        question(6, CreationDate="2020-12-31T23:59:59.000", Tags="|python|"),
        answer(11, 1, Score=1),
        answer(12, 1, Score=8),
        answer(13, 1, Score=9),
        answer(14, 5, Score=-3),
        *(answer(20 + q, q) for q in (2, 3, 4, 6)),
    ]
    path = str(dump(tmp_path / "Posts.xml", rows))

    def found(**posts: object) -> dict[int, list[int]]:
        limits = {"tags": ["python"], "min_score": 1, "since": "2020-01-01", "until": "2020-12-31", **posts}
        chosen = Posts.model_validate_json(orjson.dumps(limits))
        source = {"kind": "stack-exchange", "path": path, "posts": chosen}
        kept, _, _ = read(source)
        return {int(name.rpartition(":")[2]): document.meta["answers"] for name, document in kept.items()}

    assert found() == {1: [11], 6: [26]}
    assert found(answers="best", max_answers=2) == {1: [13, 12], 6: [26]}
    assert found(answers="accepted") == {1: [11]}
    assert found(answers="accepted-first", max_answers=9, min_answer_score=-9) == {
        1: [11, 13, 12],
        5: [14],
        6: [26],
    }


def test_a_malformed_row_is_quarantined_and_the_others_are_read(
    tmp_path: Path, read: Callable[..., Any]
) -> None:
    rows = [
        question(1),
        '  <row Id="2" PostTypeId="1" Body="cut of',
        '  <row Id="x" PostTypeId="1" Score="1" CreationDate="2020-01-01" Body="" />',
        '  <row Id="4" PostTypeId="1" Score="1" Body="" />',
        '  <!DOCTYPE a [<!ENTITY b "bb">]><row Id="&b;" />',
        '  <row Id="6" PostTypeId="1" Score="1" CreationDate="2020-01-01" Body="a\x01b" />',
        answer(3, 1),
    ]
    kept, dropped, _ = read({"kind": "stack-exchange", "path": str(dump(tmp_path / "Posts.xml", rows))})
    assert list(kept) == ["Posts.xml:1"]
    assert {name: why for name, (why, _) in dropped.items()} == {
        f"Posts.xml:{n}": "broken_row" for n in range(4, 9)
    }
    assert "no attribute CreationDate" in dropped["Posts.xml:6"][1]


def test_answers_far_behind_are_found_whatever_the_number_of_files(
    tmp_path: Path, read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*(question(n) for n in range(1, 1_500)), *(answer(10_000 + n, n) for n in range(1_499, 0, -1))]
    path = dump(tmp_path / "Posts.xml", rows)
    one, _, counts = read({"kind": "stack-exchange", "path": str(path)}, shard_bytes=50_000)
    monkeypatch.setattr(stack_exchange, "PART_BYTES", path.stat().st_size // 7)
    several, _, _ = read({"kind": "stack-exchange", "path": str(path)}, shard_bytes=50_000)
    assert counts["kept"] == 1_499
    assert one == several
    assert all(
        document.meta["answers"] == [10_000 + int(name.split(":")[1])] for name, document in one.items()
    )
    assert not list(tmp_path.rglob("posts-*"))


def test_the_beginning_of_a_dump_is_read_where_its_first_bytes_are_wanted(
    tmp_path: Path, read: Callable[..., Any]
) -> None:
    rows = [row for n in range(1, 400, 2) for row in (question(n), answer(n + 1, n))]
    path = dump(tmp_path / "Posts.xml", rows)
    source = {"kind": "stack-exchange", "path": str(path), "first_bytes": path.stat().st_size // 4}
    kept, dropped, _ = read(source)
    assert not dropped
    assert len(kept) == pytest.approx(50, abs=2)
    assert "Posts.xml:1" in kept
