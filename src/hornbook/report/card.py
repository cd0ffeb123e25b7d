"""The model card of an exported model: what it was made from, how, and what it scores; nothing that is not recorded."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from hornbook import __version__
from hornbook.core.shards import read_json
from hornbook.model.checkpoint import CONFIG_FILE, MODEL_FILE
from hornbook.model.convert import config_from_transformers
from hornbook.report.compare import TITLES


def model_card(folder: Path, results: Mapping[str, Any], arm: str = "", state: str = "") -> str:
    """The card of the model in `folder` as Markdown; `results` are its run's numbers, where it belongs to one."""
    from jinja2 import Environment, StrictUndefined

    text = (files("hornbook.report") / "card.md.j2").read_text(encoding="utf-8")
    pages = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    config = config_from_transformers(read_json(folder / CONFIG_FILE))
    record = read_json(folder / MODEL_FILE) if (folder / MODEL_FILE).exists() else {}
    model = results.get("models", {}).get(f"{arm}.{state}", {})
    return pages.from_string(text).render(
        name=f"{results['name']}-{arm}-{state}" if results else folder.resolve().name,
        version=__version__,
        config=config,
        parameters=config.parameters,
        recipe=results.get("recipe"),
        arm=arm,
        state=state,
        seed=record.get("seed"),
        mixes=_mixes(results, arm, state),
        curation=results.get("curation"),
        trained=record if "training" in record else None,
        pretrained=results.get("training", {}).get(f"pretrain/{arm}", {}).get("tokens", 0),
        scores=model.get("benchmarks", {}),
        titles=TITLES,
    )


def _mixes(results: Mapping[str, Any], arm: str, state: str) -> list[Mapping[str, Any]]:
    """What each training that led to the model read, as the report has it."""
    stages = ("pretrain", "finetune") if state == "finetuned" else ("pretrain",)
    return [mix for mix in results.get("mixes", []) if arm in mix["arms"] and mix["stage"] in stages]
