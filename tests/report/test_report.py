"""report: one self-contained page, every number of it in results.json, and no claim beyond the data."""

from __future__ import annotations

import html.parser
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import MODELS, RECIPE, SyntheticRun, synthetic_quality

from hornbook.core.context import Tools
from hornbook.core.records import Document, Drop
from hornbook.core.shards import read_json, write_json, write_shard
from hornbook.report import annotation_and_filter as judging
from hornbook.report import step as report
from hornbook.report.compare import headline, in_words, verdict
from hornbook.report.figures import Axis, histogram, intervals
from hornbook.report.paper import counterpart
from hornbook.stages.textbooks.coverage import Coverage
from hornbook.stages.textbooks.curriculum import load_curriculum
from hornbook.stages.textbooks.stats import account

VOID = {"meta", "img", "br", "link", "input"}


class _Page(html.parser.HTMLParser):
    """Every tag with its attributes; `open` is what was never closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.requests: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.requests += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag


def _report(root: Path, effect: float = 0.05) -> tuple[dict[str, Any], str]:
    run = SyntheticRun(root / "steps", effect)
    out = root / "out"
    out.mkdir()
    report.run(report.ReportConfig(recipe=RECIPE), run.folders, out, Tools(seed=7))
    return read_json(out / "results.json"), (out / "report.html").read_text()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    return _report(tmp_path_factory.mktemp("report"))


def test_a_rehearsal_says_that_its_numbers_mean_nothing_and_answers_no_question(tmp_path: Path) -> None:
    run, out = SyntheticRun(tmp_path / "steps", 0.05), tmp_path / "out"
    out.mkdir()
    manifest = run.folders["read"] / "manifest.json"
    write_json(manifest, {**read_json(manifest), "revisions": {"owner/name@main": "c0ffee"}})
    recipe = {**RECIPE, "name": "big-rehearsal", "rehearses": "big", "pretrain": {"size": "nano"}}
    report.run(report.ReportConfig(recipe=recipe), run.folders, out, Tools(seed=7))
    found, page = read_json(out / "results.json"), (out / "report.html").read_text()
    assert found["command"] == "hornbook run big --rehearse"
    assert in_words(found) == "A rehearsal of big: every step worked here, and its numbers mean nothing."
    assert "Does every step of big work here?" in page
    assert "it trained a tiny model" in page
    assert "Was the better data better?" not in page
    assert "<code>owner/name@main</code> was commit <code>c0ffee</code>" in page


def test_the_page_is_whole_and_asks_nothing_of_a_network(made: tuple[dict[str, Any], str]) -> None:
    page = _Page()
    page.feed(made[1])
    assert page.open == []
    assert page.requests == []
    assert page.tags["script"] == page.tags["img"] == page.tags["link"] == 0
    assert not re.search(r"@import|url\(", made[1])
    assert page.tags["svg"] == 2 * 3 + 5 + 2


def test_the_filter_is_told_with_its_rivals_its_annotator_and_what_it_does(
    made: tuple[dict[str, Any], str],
) -> None:
    found, page = made
    assert found["agreement"]["reworded"]["rank_correlation"][0] == 0.71
    assert found["feature_costs"]["statistics"] == pytest.approx(1180)
    assert "random forest, used here" in page
    assert "logistic regression" in page
    assert "&lt;b&gt;0&lt;/b&gt;" in page
    assert "4 others" in page
    assert ">none named<" not in page
    assert "by 0.062" in page
    assert found["curation"].keys() >= {"filter"}


def test_a_filter_that_learns_nothing_is_told_as_such(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "steps")
    quality = read_json(run.folders["filter"] / "quality.json")
    told = ("score_histogram", "effects", "examples", "threshold", "strata", "stratum_share", "rule")
    plain = {**{name: quality[name] for name in told}, "score": "random", "features": []}
    chance = tmp_path / "chance"
    write_json(chance / "quality.json", plain)
    write_json(chance / "manifest.json", read_json(run.folders["filter"] / "manifest.json"))
    for folders in ({**run.folders, "filter.chance": chance}, {**run.folders, "filter": chance}):
        out = tmp_path / str(len(folders))
        out.mkdir()
        report.run(report.ReportConfig(recipe=RECIPE), folders, out, Tools(seed=7))
        page = (out / "report.html").read_text()
        assert ("Other filters of this recipe" in page) == ("filter.chance" in folders)
        assert ("a plain baseline that learns nothing" in page) == ("filter.chance" not in folders)


def test_where_there_is_no_plain_filter_the_page_is_about_the_first(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "steps")
    folders = {("filter.own" if key == "filter" else key): folder for key, folder in run.folders.items()}
    quality = read_json(folders["filter.own"] / "quality.json")
    cost = {"documents": 50, "seconds": {"ngrams": 2.0}}
    write_json(folders["features"] / "costs" / "other" / "timing.json", cost)
    told = {"groups": 1, "rule": {"min_score": 0.57}, "roc_auc": [0.56, 0.48, 0.64]}
    write_json(folders["filter.own"] / "quality.json", {**quality, **told})
    report.run(report.ReportConfig(recipe=RECIPE), folders, tmp_path, Tools(seed=7))
    page = (tmp_path / "report.html").read_text()
    assert "The filter <small>filter.own</small>" in page
    assert f"hornbook show {RECIPE['name']} filter.own --id ID" in page
    assert "Kept are the documents that score 0.57 or more, and of each topic the best 5%" in page
    assert "Other filters" not in page
    assert "these numbers flatter" in page
    assert "cannot be told from chance" in page
    assert re.search(r"ngrams <small>of another filter</small>.*>25<", page)
    assert "learnt without its package" not in page


def test_columns_that_mean_nothing_alone_count_as_their_set(made: tuple[dict[str, Any], str]) -> None:
    quality = {
        "importances": [["ngrams.3", 0.4], ["documented_share", 0.3], ["ngrams.1", 0.2], ["log_chars", 0.1]],
        "importance_by_set": {"statistics": 0.4, "ngrams": 0.6},
    }
    assert judging.importance_rows(quality) == [
        ("ngrams", 0.6),
        ("documented_share", 0.3),
        ("log_chars", 0.1),
    ]
    assert "the best 30% of the documents" in made[1]
    assert "cannot be told from chance" not in made[1]
    assert "Of every topic some is kept" in made[1]
    told = synthetic_quality()
    del told["effects"]["kept"]["topic"]["algorithms"]
    assert judging.vanished(told) == ["algorithms"]
    rows = judging.mix_rows(_quality_without("random"), "licence")
    assert rows[-1]["name"] == "4 others"
    assert rows[-1]["random"] == 0
    assert sum(row["kept"] for row in rows) == pytest.approx(1)
    assert "learnt without its package, repository or folder (the labels are of 31)" in made[1]
    assert "over whole packages, whose documents are alike, that of the ROC AUC is 0.610–0.850" in made[1]
    budget = {"rule": {"keep_tokens": 500_000, "bytes_per_token": 3.0}}
    assert judging.rule(budget) == "the best documents that fit into 500,000 tokens of 3 bytes each"


def _quality_without(way: str) -> dict[str, Any]:
    """The synthetic filter's numbers, where one way of choosing holds nothing."""
    told = synthetic_quality()
    told["effects"][way] = {**told["effects"][way], "licence": {}, "topic": {}, "documents": 0, "bytes": 0}
    return told


def test_text_of_records_is_escaped(made: tuple[dict[str, Any], str]) -> None:
    assert "<script>alert(1)" not in made[1]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made[1]


def test_results_hold_the_numbers_that_the_steps_left(made: tuple[dict[str, Any], str]) -> None:
    found, page = made
    assert found["curation"]["read"]["reasons"] == {"generated": 210, "empty": 180, "huge": 29}
    assert found["curation"]["exercises/teacher"]["kept_share"] == 1 / 40
    assert "<strong>1 survived</strong> (2.5%)" in page
    assert found["steps"]["textbooks"]["seconds"] == 61.0
    assert found["training"]["pretrain/raw"]["tokens"] == 1_500_000
    assert found["models"]["textbook.finetuned"]["benchmarks"]["heldout"]["passed"] == 186
    assert set(found["models"]) == set(MODELS)
    assert "93.0%" in page
    assert "by_problem" not in page


def test_it_names_the_papers_numbers_as_the_papers(made: tuple[dict[str, Any], str]) -> None:
    found, page = made
    assert [found["models"][name]["counterpart"] for name in MODELS] == ["raw", "textbook", "finetuned"]
    assert "the paper’s own numbers (Textbooks Are All You Need, arXiv 2306.11644v2)" in page
    for number in ("12.2%", "20.1%", "45.0%", "29.0%", "50.6%"):
        assert number in page


@pytest.mark.parametrize(
    ("effect", "answer", "said"),
    [
        (0.05, "Yes, in this run", "better"),
        (-0.05, "No, in this run", "worse"),
        (0.0, "Cannot tell", "cannot tell"),
    ],
)
def test_the_answer_follows_the_data_whichever_way_it_goes(
    effect: float, answer: str, said: str, tmp_path: Path
) -> None:
    found, page = _report(tmp_path, effect)
    first = found["comparisons"][0]
    assert (first["ours"], first["theirs"], first["benchmark"]) == ("textbook.base", "raw.base", "humaneval")
    assert first["verdict"] == said
    assert f">{answer}.</p>" in page
    told = in_words(found)
    assert told.startswith(
        f"Was the better data better? {answer}. To the characters of HumanEval's own solutions textb"
    )
    assert told.endswith(" over problems, one training of each).")


def test_it_says_what_each_arm_read_and_how_often(made: tuple[dict[str, Any], str]) -> None:
    found, page = made
    (raw, textbook, practice) = found["mixes"]
    assert (raw["stage"], raw["arms"], practice["stage"]) == ("pretrain", ["raw"], "finetune")
    assert [part["dataset"] for part in textbook["parts"]] == ["filter", "exercises/grammar", "textbooks"]
    assert textbook["parts"][2]["times"] == pytest.approx(0.1 * 15 * 1.5)
    assert "<em>textbook</em> read 50% filter, 40% exercises/grammar, 10% textbooks" in page
    assert '<td class="n">2.2</td>' in page  # textbooks: 0.1 of 1.5M tokens out of 100k, 1.5 passes


def test_the_answer_rests_on_one_benchmark_and_says_of_how_many_arms_it_is_the_best() -> None:
    def compared(arm: str, benchmark: str, difference: float) -> dict[str, Any]:
        interval = [difference, difference - 0.01, difference + 0.01]
        said = {"measure": "character_probability", "verdict": verdict(*interval[1:], True)}
        found = {"ours": f"{arm}.base", "theirs": "raw.base", "benchmark": benchmark, "over_runs": None}
        return {**found, **said, "difference": interval}

    rows = [compared("a", "humaneval", 0.02), compared("b", "humaneval", -0.05), compared("a", "mbpp", 0.2)]
    told = headline({"raw.base": {}, "a.base": {}, "b.base": {}}, rows)
    assert (told["answer"], told["on"], told["rivals"]) == ("Yes, in this run", rows[0], 2)
    rows[0]["over_runs"] = [0.02, 0.01, 0.03]
    assert headline({"raw.base": {}}, rows)["answer"] == "Yes"


def test_a_run_without_models_still_has_a_report(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "steps")
    some = {key: run.folders[key] for key in ("read", "dedup")}
    out = tmp_path / "out"
    out.mkdir()
    report.run(report.ReportConfig(recipe={"name": "data"}), some, out, Tools())
    page = (out / "report.html").read_text()
    assert ">No model was trained.</p>" in page
    assert "trained once" not in page


def _page(number: int, says: str, **meta: Any) -> Document:
    text = f"Page {number} of many.\n\n```python\nprint({number})\n```\nIt prints {says}."
    claim = {
        "kind": "prose",
        "says": says,
        "block": 0,
        "verdict": "holds" if says == str(number) else "wrong",
    }
    return Document(text, f"textbooks/numbers/x/{number}", "textbook", {**meta, "claims": [claim]})


def _with_diversity(run: SyntheticRun, root: Path, plain: bool) -> str:
    """The report of a run whose textbooks step says what it covers."""
    curriculum = load_curriculum("", ["numbers"])
    cells = Coverage(curriculum, 1, 2).plan(range(12))
    pages = [
        _page(n, str(n if n % 4 else n + 1), area="numbers", topic=c.topic.name, audience=c.audience.name)
        for n, c in enumerate(cells)
    ]
    drops = [Drop(page, "wrong_claim", "") for page in pages[::4]]
    write_shard(root / "tb", "shard-00000.parquet", [p for n, p in enumerate(pages) if n % 4], drops)
    if plain:
        write_shard(
            root / "tb/plain", "shard-00000.parquet", [_page(1, "1")], [Drop(_page(1, "1"), "duplicate", "")]
        )
    told = account(root / "tb", root / "tb/plain", curriculum, ["primes <b>"])
    write_json(run.folders["textbooks"] / "diversity.json", told)
    out = root / "out"
    out.mkdir()
    report.run(report.ReportConfig(recipe=RECIPE), run.folders, out, Tools())
    return (out / "report.html").read_text()


@pytest.mark.parametrize("plain", [True, False])
def test_the_page_shows_what_textbooks_cover_beside_plain_prompting(plain: bool, tmp_path: Path) -> None:
    text = _with_diversity(SyntheticRun(tmp_path / "steps"), tmp_path, plain)
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.tags["svg"] == 2 * 3 + 5 + 2 + 2
    assert "12 pages were asked for" in text
    assert "9 were kept" in text
    assert "3 of them say something that it does not print" in text
    assert "1 that kept yielding nothing new was left" in text
    assert ("plain prompt</th>" in text) is plain
    assert ("more diverse" in text) is plain
    found = read_json(tmp_path / "out/results.json")["diversity"]
    assert found["coverage"]["topics"]["kept"] == 9
    if plain:
        assert found["written"]["tokens"] == found["plain"]["tokens"]
        assert (found["plain"]["kept"], found["plain"]["asked"]) == (1, 2)


def test_a_step_trained_twice_after_a_kill_counts_once(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "steps")
    path = run.folders["pretrain/raw"] / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:100] + lines[90:]) + "\n")
    out = tmp_path / "out"
    out.mkdir()
    report.run(report.ReportConfig(recipe=RECIPE), run.folders, out, Tools())
    assert read_json(out / "results.json")["training"]["pretrain/raw"]["steps"] == 183


@pytest.mark.parametrize(
    ("low", "high", "higher", "said"),
    [
        (0.1, 0.2, True, "better"),
        (0.1, 0.2, False, "worse"),
        (-0.2, -0.1, True, "worse"),
        (-0.2, -0.1, False, "better"),
        (-0.1, 0.1, True, "cannot tell"),
        (0.0, 0.0, True, "cannot tell"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low: float, high: float, higher: bool, said: str) -> None:
    assert verdict(low, high, higher) == said


def test_the_papers_counterpart_is_found_by_what_was_mixed() -> None:
    assert counterpart({"dedup": 1.0}, "base") == "raw"
    assert counterpart({"filter": 1.0}, "base") == "filtered"
    assert counterpart({"filter": 0.5, "exercises/corpus": 0.5}, "base") == "textbook"
    assert counterpart({"dedup": 1.0}, "finetuned") == "finetuned"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 163), (-3.2, 0.4), (2.01, 2.02), (5, 5), (0, 1.5e6)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = Axis(low, high, 0, 100).ticks()
    assert 1 <= len(ticks) <= 6
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_figures_stand_degenerate_data() -> None:
    assert "<svg" in histogram([0.0, 1.0], [0], 0.5, "empty", "x")
    assert "<svg" in intervals([("a", "s0", (0.0, 0.0, 0.0))], "zero")
    assert "&lt;b&gt;" in intervals([("<b>", "s0", (0.0, 0.0, 1.0))], "hostile name")
