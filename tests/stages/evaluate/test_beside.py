"""What stands beside a score: margins over mutants, robustness, grades, emergence."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from adding import PROBLEMS, Scripted

from hornbook.core.errors import StageError
from hornbook.core.progress import Silent
from hornbook.core.records import Document, documents_table
from hornbook.core.shards import read_json, write_table
from hornbook.model.sampling import Score
from hornbook.sandbox import Program, Sandbox
from hornbook.stages.evaluate.evaluator import Evaluator
from hornbook.stages.evaluate.grading import Grader, agreement, check, grade
from hornbook.stages.evaluate.library_probes import count_imports, emergence, imported, judge, load_probes
from hornbook.stages.evaluate.minimal_pairs import add_margins, failing_mutants, margins
from hornbook.stages.evaluate.robustness import grown, growth, robustness, without_last
from hornbook.stages.evaluate.scores import score_suite
from hornbook.teachers import Canned, FailureCap, load_prompt

Make = Callable[..., Evaluator]


class Knowing(Scripted):
    """Finds a problem's own solution likelier than anything else."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Score] | None:
        gold = set(self.solutions.values())
        return [
            Score(-(0.1 if c in gold else 0.5) * len(c), len(c), len(c), len(c.encode())) for _, c in pairs
        ]


# ---- margins


def test_mutants_count_only_where_they_were_seen_failing(sandbox: Sandbox, tmp_path: Path) -> None:
    wrong = failing_mutants(PROBLEMS, 4, sandbox, tmp_path, Silent())
    for problem in PROBLEMS:
        assert 1 <= len(wrong[problem.id]) <= 4
        for text in wrong[problem.id]:
            assert text != problem.solution
            verdict = sandbox.verdict(Program(problem.prompt + text, problem.tests, problem.entry_point))
            assert verdict.outcome == "failed"
    assert failing_mutants(PROBLEMS, 4, None, tmp_path, Silent()) == wrong  # type: ignore[arg-type]


def test_a_model_that_knows_beats_every_mutant_and_one_that_does_not_beats_none(
    evaluator: Make, sandbox: Sandbox, tmp_path: Path
) -> None:
    wrong = failing_mutants(PROBLEMS, 3, sandbox, tmp_path, Silent())
    for model, share in ((Knowing(), 1.0), (Scripted(), 0.0)):
        scored = score_suite("adding", PROBLEMS, made := evaluator(model, str(share)), [1], ["as_is"])
        found = margins("adding", PROBLEMS, made, scored["by_problem"], wrong)
        assert found is not None
        assert found["choice"][0] == found["over_mutants"][0] == share
        assert found["mutants"] == sum(map(len, wrong.values()))
        assert 0 < found["chance"] <= 0.5
        add_margins(scored, found)
        assert scored["by_problem"]["add/1"]["over_mutants"] == share
    assert margins("adding", PROBLEMS, evaluator(Scripted(tells=False), "mute"), {}, wrong) is None


# ---- robustness


def test_a_model_that_knows_prompts_by_heart_drops_on_every_other_wording(evaluator: Make) -> None:
    made = evaluator(Scripted())
    scored = score_suite("adding", PROBLEMS, made, [1], ["as_is"])
    found = robustness("adding", PROBLEMS, made, scored["by_problem"], 2)
    assert found["problems"] == 2
    kinds = found["kinds"]
    assert kinds["longer"]["problems"] == 2
    assert kinds["longer"]["pass_at_1"] == {"before": 1.0, "after": 0.0, "drop": [1.0, 1.0, 1.0]}
    assert kinds["renamed"]["character_probability"]["before"] == pytest.approx(0.6065, abs=1e-3)
    assert kinds["reordered"] == {"problems": 0}  # one sentence has no other order
    assert "character_probability" in kinds["no_examples"]


def test_one_problem_has_no_interval(evaluator: Make) -> None:
    made = evaluator(Scripted())
    scored = score_suite("adding", PROBLEMS, made, [1], ["as_is"])
    found = robustness("adding", PROBLEMS, made, scored["by_problem"], 1)["kinds"]["longer"]
    assert (found["problems"], found["pass_at_1"]) == (1, {"before": 1.0, "after": 0.0, "drop": None})


def test_robustness_without_likelihoods_has_its_pass_rates(evaluator: Make) -> None:
    made = evaluator(Scripted(tells=False))
    scored = score_suite("adding", PROBLEMS, made, [1], ["as_is"])
    found = robustness("adding", PROBLEMS, made, scored["by_problem"], 3)["kinds"]["longer"]
    assert found["pass_at_1"]["before"] == 1.0
    assert found["character_probability"] is None


def test_tasks_grow_a_layer_at_a_time_and_each_layer_counts(evaluator: Make) -> None:
    known = [grown(number, layers, 0) for number in range(12) for layers in (3, 5)]
    found = growth(evaluator(Scripted(known)), 12)
    assert 10 <= found["problems"] <= 12
    assert list(found["kinds"]) == ["4_layers", "5_layers", "6_layers"]
    assert all(kind["problems"] >= 9 for kind in found["kinds"].values())
    assert found["kinds"]["4_layers"]["pass_at_1"] == {"before": 1.0, "after": 0.0, "drop": [1.0, 1.0, 1.0]}
    assert found["kinds"]["5_layers"]["pass_at_1"] == {"before": 1.0, "after": 1.0, "drop": [0.0, 0.0, 0.0]}
    low, high = found["kinds"]["6_layers"]["character_probability"]["drop"][1:]
    assert low <= 0 <= high


def test_a_grown_task_is_the_shorter_one_and_one_layer_more() -> None:
    three, four = grown(7, 3, 1), grown(7, 4, 1)
    assert (three.id, without_last(four)) == (four.id, three.solution)
    told = three.prompt.removesuffix('    """\n')
    assert four.prompt.startswith(told)
    assert four.prompt.removeprefix(told).startswith("    Layer 4: ")
    assert grown(7, 3, 1) == three != grown(7, 3, 2)


# ---- grades


def _grader(tmp_path: Path, lines: list[dict[str, str]], repeats: int = 2, share: float = 0.0) -> Grader:
    script = tmp_path / "script.jsonl"
    script.write_text("\n".join(json.dumps(line) for line in lines))
    prompt = load_prompt("grade", ("prompt", "solution"))
    cap = FailureCap("evaluate.grade", 3 * repeats, share)
    return Grader(Canned("canned", script), prompt, repeats, 200, cap)


def _said(understanding: float, logic: float) -> str:
    return json.dumps({"argument": "It adds.", "understanding": understanding, "logic": logic})


def test_grades_are_averaged_and_held_against_execution(evaluator: Make, tmp_path: Path) -> None:
    made = evaluator(Scripted(PROBLEMS[:1]))  # solves the first, writes `pass` for the others
    attempts = made.attempts("adding", PROBLEMS)
    grader = _grader(
        tmp_path,
        [{"match": "value [+] 1", "text": _said(9, 10)}, {"match": "", "text": f"Well.\n{_said(4, 1)}"}],
    )
    path = tmp_path / "grades.json"
    found = grade(PROBLEMS, attempts, grader, path, Silent(), 0)
    assert found["problems"] == 3
    assert found["understanding"][0] == pytest.approx((9 + 4 + 4) / 3)
    assert found["score"][0] == pytest.approx(10 * ((9 + 10) / 2 + 2.5 + 2.5) / 3)
    assert found["agreement"] == 1.0
    kept = read_json(path)
    assert kept["add/1"]["passed"] is True
    assert [one["argument"] for one in kept["add/1"]["grades"]] == ["It adds."] * 2


def test_a_grader_that_cannot_be_read_is_counted_and_then_stops(evaluator: Make, tmp_path: Path) -> None:
    attempts = evaluator(Scripted()).attempts("adding", PROBLEMS)
    lines = [{"match": "", "text": "Fine work."}]
    found = grade(PROBLEMS, attempts, _grader(tmp_path, lines, share=1.0), tmp_path / "g.json", Silent(), 0)
    assert found["failed"] == {"no_json": 6}
    assert found["score"] is None
    with pytest.raises(StageError, match=r"more than 0% of 6 asks failed"):
        grade(PROBLEMS, attempts, _grader(tmp_path, lines), tmp_path / "g.json", Silent(), 0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"understanding": 3, "logic": 3}, "argument"),
        ({"argument": "x", "understanding": 11, "logic": 3}, "from 0 to 10"),
        ({"argument": "x", "understanding": 1, "logic": "good"}, "logic"),
        ([1], "argument"),
    ],
)
def test_grades_out_of_range_are_refused(value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(value)


def test_agreement_is_the_chance_of_the_right_order() -> None:
    assert agreement({"a": 9, "b": 5, "c": 5}, {"a": True, "b": True, "c": False}) == 0.75
    assert agreement({"a": 9}, {"a": True}) is None


# ---- emergence


def test_own_solutions_of_probes_hold(sandbox: Sandbox) -> None:
    probes, names = load_probes()
    assert len({probe.problem.id for probe in probes}) == len(probes) >= 18
    for probe in probes:
        source = probe.problem.prompt + probe.problem.solution
        assert probe.library in imported(source)
        if not probe.executed:
            assert set(judge(source, probe.library, names[probe.library]).values()) == {1.0}
            continue
        verdict = sandbox.verdict(Program(source, probe.problem.tests, probe.problem.entry_point))
        assert verdict.passed, (probe.problem.id, verdict.reason)


def test_imports_are_counted_by_their_first_name(tmp_path: Path) -> None:
    texts = [
        "import os.path as p, csv\nfrom xml.etree import ElementTree\n",
        "    import csv\n",
        "x = 'import'\n",
    ]
    documents = [Document(text, "a", "code") for text in texts]
    write_table(tmp_path / "kept" / "shard-00000.parquet", documents_table(documents))
    assert count_imports([tmp_path]) == {"os": 1, "csv": 2, "xml": 1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    return pygame.display.set_mode((1, 2))\n", (1.0, 1.0, 1.0)),
        ("    if pygame.key == pygame.K_w: pass\n", (1.0, 1.0, 1.0)),
        ("    return pygame.display.make_window(1)\n", (1.0, 1.0, 0.0)),
        ("    return 1\n", (1.0, 0.0, 0.0)),
        ("    from pygame import Rect, Square as S\n    return Rect(1), S(2)\n", (1.0, 1.0, 0.5)),
        ("    return (\n", (0.0, 0.0, 0.0)),
    ],
)
def test_what_is_not_executed_is_read(body: str, said: tuple[float, ...]) -> None:
    _, names = load_probes()
    assert tuple(judge("import pygame\ndef f():\n" + body, "pygame", names["pygame"]).values()) == said


def test_only_libraries_that_the_data_lacks_are_probed(evaluator: Make) -> None:
    problems = [probe.problem for probe in load_probes()[0]]
    made = evaluator(Scripted(problems))
    scored, told = emergence(made, {"csv": 3, "pygame": 1}, [1])
    assert told["libraries"]["csv"] == 3
    assert not {"csv", "pygame"} & set(told["absent"])
    assert scored["problems"] == told["executed"] + told["read"] == len(problems) - 4
    assert scored["pass_at_1"][0] == 1.0
    assert scored["concepts"]["tkinter"] == [2, 2]
    every = dict.fromkeys((probe.library for probe in load_probes()[0]), 1)
    assert emergence(made, every, [1])[0] == {}


def test_what_is_read_says_so_and_is_never_executed(evaluator: Make) -> None:
    probes, _ = load_probes()
    made = evaluator(Scripted([]))  # knows nothing: every attempt is `pass`
    scored, _ = emergence(made, {}, [1])
    rows = {row["id"]: row for row in made.attempts("emergence", [probe.problem for probe in probes])}
    for probe in probes:
        row = rows[probe.problem.id]
        said = f"not executed but read: it does not use {probe.library}"
        assert (row["reason"] == said) is (row["failure"] == "unused") is not probe.executed
        assert row["outcome"] == "failed"
    assert scored["failures"]["unused"] == sum(not probe.executed for probe in probes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("    pygame.init()\n", ("passed", "it parses, uses pygame, and only names that pygame has", "")),
        ("    pygame.init(\n", ("failed", "it does not parse", "syntax")),
        (
            "    pygame.init()\n    pygame.open_it()\n",
            ("failed", "50% of the names that it uses are pygame's", "invented"),
        ),
    ],
)
def test_a_reading_says_what_it_found(text: str, said: tuple[str, ...], evaluator: Make) -> None:
    probe = next(probe for probe in load_probes()[0] if probe.library == "pygame")
    made = evaluator(Scripted([replace(probe.problem, solution=text)]))
    emergence(made, {p.library: 1 for p in load_probes()[0] if p.library != "pygame"}, [1])
    row = made.attempts("emergence", [probe.problem])[0]
    outcome, found, failure = said
    assert (row["outcome"], row["reason"], row["failure"]) == (
        outcome,
        f"not executed but read: {found}",
        failure,
    )
