"""The docs say what the code does: settings pages are generated, and the README's commands are the ones CI runs."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

from hornbook.core.settings import parse
from hornbook.experiment.recipe import Recipe
from hornbook.experiment.steps import steps

ROOT = Path(__file__).resolve().parents[1]


def test_the_settings_page_is_what_the_code_generates() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.page() == (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"), (
        "run docs/generate.py"
    )


def test_the_readmes_commands_are_what_ci_runs() -> None:
    commands = re.findall(r"^\$ (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    venv, install, run = commands[0].split(" && ")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert venv in ci
    assert install.replace("pip install", "pip install --quiet") in ci
    assert run == ".venv/bin/hornbook run recipes/nano.toml"
    assert commands[1] in ci.splitlines()


def test_the_recipe_for_ones_own_data_compares_the_two_sources() -> None:
    text = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    recipe = parse(Recipe, tomllib.loads(written), "own-data.md")
    laid_out = {step.key: step for step in steps(recipe)}
    assert laid_out["decontaminate/source/mine"].inputs == {"documents": "source/mine"}
    assert laid_out["pack/mine"].inputs["part.source/mine"] == "decontaminate/source/mine"
    assert list(recipe.arms) == ["theirs-1", "theirs-2", "theirs-3", "mine-1", "mine-2", "mine-3"]


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").glob("*.md"),
    ]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
