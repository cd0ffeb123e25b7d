"""export and complete: a trained model in other tools, and at work."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from hornbook.cli import completion
from hornbook.cli.options import JsonOption, MachineOption, RootOption, read_machine
from hornbook.cli.printing import print_json
from hornbook.core.progress import harmless

ModelArgument = Annotated[
    str,
    typer.Argument(
        help="A model folder, or RUN/ARM of a finished run (nano/textbook).",
        metavar="MODEL",
        autocompletion=completion.models,
    ),
]


class Format(StrEnum):
    hf = "hf"
    gguf = "gguf"


class Precision(StrEnum):
    f32 = "f32"
    f16 = "f16"
    bf16 = "bf16"
    q8_0 = "q8_0"


def export(
    model: ModelArgument,
    to: Annotated[
        Format, typer.Option("--to", help="hf: a folder for transformers; gguf: a file for llama.cpp.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder (hf) or file (gguf) to write.", metavar="PATH")
    ],
    precision: Annotated[Precision, typer.Option(help="How a GGUF file stores matrices.")] = Precision.f16,
    root: RootOption = None,
    machine: MachineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a model for other tools, with a model card that states data, recipe, scores and limits."""
    from hornbook.model.checkpoint import save_hf
    from hornbook.model.gguf import save_gguf
    from hornbook.report import inspect as inspection
    from hornbook.report.card import model_card

    found = inspection.find_model(read_machine(machine, root, None), model)
    card = model_card(found.folder, found.results, found.arm, found.state)
    if to == Format.hf:
        save_hf(found.folder, out, card)
    else:
        save_gguf(found.folder, out, precision.value, found.name)
        out.with_suffix(".md").write_text(card, encoding="utf-8")
    told = {"model": str(out), "card": str(out / "README.md" if to == Format.hf else out.with_suffix(".md"))}
    if as_json:
        return print_json(told)
    print(f"Model: {told['model']}\nCard:  {told['card']}")
    return None


def complete(
    model: ModelArgument,
    prompt: Annotated[
        Optional[str],  # noqa: UP045  (typer reads it at run time)
        typer.Argument(help="What to go on from; without it, or as -, standard input.", metavar="PROMPT"),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens to write, at most.", min=1)] = 128,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.", min=0)] = 0.0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the likeliest that have this share.", min=0.01, max=1)
    ] = 1.0,
    stop: Annotated[list[str], typer.Option(help="End before this text; may be given again.")] = [],  # noqa: B006
    seed: Annotated[int, typer.Option(help="Of the draw, where temperature is above 0.")] = 0,
    root: RootOption = None,
    machine: MachineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a model go on from a prompt; what it writes is shown as it comes, and never executed."""
    from hornbook.model.checkpoint import load_model
    from hornbook.model.generate import stream
    from hornbook.model.sampling import Sampling
    from hornbook.report import inspect as inspection

    text = sys.stdin.read() if prompt in (None, "-") else prompt.replace("\\n", "\n")
    where = read_machine(machine, root, None)
    phi, tokenizer = load_model(inspection.find_model(where, model).folder)
    room = phi.config.context_tokens - 1
    sampling = Sampling(min(tokens, room), temperature, top_p, tuple(s.replace("\\n", "\n") for s in stop))
    pieces = stream(phi, tokenizer, text, sampling, seed)
    if as_json:
        return print_json({"prompt": text, "completion": "".join(pieces)})
    plain = sys.stdout.isatty()
    for piece in pieces:
        print(harmless(piece) if plain else piece, end="", flush=True)
    print()
    return None
