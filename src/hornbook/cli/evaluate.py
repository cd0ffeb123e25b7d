"""evaluate: any model on any benchmark, outside a recipe, and beside the models of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from hornbook.cli import completion
from hornbook.cli.options import (
    JsonOption,
    MachineOption,
    RootOption,
    WorkersOption,
    read_keys,
    read_machine,
)
from hornbook.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from hornbook.core.machine import Machine
    from hornbook.stages.evaluate.step import OtherModelConfig
ModelOption = Annotated[
    str,
    typer.Argument(
        help="A model folder, a Hub id, RUN/ARM of a run, or what --url calls it.",
        metavar="MODEL",
        autocompletion=completion.models,
    ),
]
Benchmarks = Annotated[
    list[str], typer.Option("--benchmark", "-b", help="A name, or NAME:FILE; may be given again.")
]
Samples = Annotated[int, typer.Option("--n", "-n", help="Attempts at each problem.", min=1)]
Temperature = Annotated[float, typer.Option(help="0 takes the likeliest token.", min=0)]
TopP = Annotated[float, typer.Option(help="Draw from the likeliest that have this share.", max=1)]
Tokens = Annotated[int, typer.Option(help="Tokens of an answer, at most.", min=1)]
StopRule = Annotated[str, typer.Option(help="top_level or human_eval.")]
Boundaries = Annotated[list[str], typer.Option(help="as_is or stripped; given again, both are reported.")]
Mutants = Annotated[int, typer.Option(help="Wrong versions to hold each solution against.", min=0)]
Robustness = Annotated[int, typer.Option(help="Problems to ask in other wordings too.", min=0)]
Probes = Annotated[bool, typer.Option("--probes", help="Ask for uses of libraries too.")]
Seed = Annotated[int, typer.Option(help="Of the draws.")]
Url = Annotated[str, typer.Option(help="An OpenAI-compatible server, as http://host:8000/v1.")]
KeyVariable = Annotated[str, typer.Option(help="Environment variable that holds its key.")]
Kind = Annotated[str, typer.Option(help="auto, hornbook, huggingface or endpoint.")]
Revision = Annotated[str, typer.Option(help="Commit or tag on the Hub.")]
Precision = Annotated[str, typer.Option(help="auto, bf16, fp16 or fp32 (transformers).")]
BeginWith = Annotated[str, typer.Option(help="tokenizer, bos or nothing (transformers).")]
Name = Annotated[str, typer.Option(help="What to call it. [default: from MODEL]")]
Beside = Annotated[
    Optional[str],  # noqa: UP045  (typer reads it at run time)
    typer.Option(help="A finished run whose models stand beside it.", metavar="RUN"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; only the result.")]


def evaluate(
    model: ModelOption,
    benchmark: Benchmarks = ["humaneval"],  # noqa: B006
    samples: Samples = 1,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    tokens: Tokens = 512,
    stop_rule: StopRule = "top_level",
    boundary: Boundaries = ["as_is"],  # noqa: B006
    mutants: Mutants = 0,
    robustness: Robustness = 0,
    probes: Probes = False,
    seed: Seed = 0,
    url: Url = "",
    key_variable: KeyVariable = "",
    kind: Kind = "auto",
    revision: Revision = "",
    precision: Precision = "auto",
    begin_with: BeginWith = "tokenizer",
    name: Name = "",
    beside: Beside = None,
    root: RootOption = None,
    machine: MachineOption = None,
    workers: WorkersOption = None,
    quiet: Quiet = False,
    as_json: JsonOption = False,
) -> None:
    """Score a model by execution and likelihood; asked again for more attempts, it keeps those it has."""
    where = read_machine(machine, root, workers)
    settings = {
        "name": name or _name(model),
        "model": {
            "source": _source(model, where, bool(url)),
            "kind": "endpoint" if url else kind,
            **{"revision": revision, "precision": precision, "begin_with": begin_with},
        },
        **{"benchmarks": benchmark, "heldout_problems": 0, "boundaries": boundary, "stop_rule": stop_rule},
        **{"samples": samples, "temperature": temperature, "top_p": top_p, "max_answer_tokens": tokens},
        **{"mutants": mutants, "robustness_problems": robustness, "probes": probes},
    }
    if url:
        where = _with_place(where, str(settings["name"]), url, key_variable)
    found = _build(settings, where, seed, quiet, beside)
    return print_json(found) if as_json else _show(found, beside)


def _show(found: dict[str, Any], beside: str | None) -> None:
    print_table(found["scores"])
    if found["differences"]:
        print(f"\n{found['scores'][0]['model']} minus each model of {beside}, problem by problem:")
        print_table(found["differences"])
        print("Intervals are over problems; how far another training would move either model is not in them.")
    for line in found["notes"]:
        print(line)
    print(f"\nAttempts, verdicts and all numbers: {found['folder']}")


def _build(
    settings: dict[str, Any], where: Machine, seed: int, quiet: bool, beside: str | None
) -> dict[str, Any]:
    """The scores of the model and of those beside it, and where they lie."""
    from hornbook.core.progress import open_progress
    from hornbook.core.settings import parse
    from hornbook.core.shards import read_json
    from hornbook.experiment import execute as execution
    from hornbook.experiment import plan as planning
    from hornbook.experiment.steps import Step
    from hornbook.report import inspect as inspection
    from hornbook.report.compare import stand
    from hornbook.stages.evaluate.step import OtherModelConfig

    config: OtherModelConfig = parse(OtherModelConfig, settings, "options")
    others = inspection.run_scores(where, beside) if beside else {}
    step = Step(f"evaluate/{config.name}", config, {}, seed)
    planned = planning.plan_steps([step], where, {})
    folders = execution.build(config.name, where, planned, open_progress(not quiet), read_keys(where))
    folder = folders[step.key]
    return {**stand(config.name, read_json(folder / "scores.json"), others, seed), "folder": str(folder)}


def _name(model: str) -> str:
    """The last part of a path, a Hub id or a file's name, as names in recipes are written."""
    last = Path(model.rstrip("/")).name
    return (
        "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in last).lstrip("._-")
        or "model"
    )


def _source(model: str, where: Machine, served: bool) -> str:
    """The folder of a run's model; anything else as it was given."""
    from hornbook.report import inspect as inspection

    run, _, arm = model.partition("/")
    known = (Path(where.root) / "runs" / run / "lock.json").exists()
    if served or not arm or not known or (Path(model) / "config.json").exists():
        return model
    return str(inspection.find_model(where, model).folder)


def _with_place(where: Machine, name: str, url: str, key_variable: str) -> Machine:
    from hornbook.core.machine import EndpointPlace
    from hornbook.core.settings import parse

    place = parse(EndpointPlace, {"url": url, "key_variable": key_variable}, "options")
    return where.model_copy(update={"models": {**where.models, name: place}})
