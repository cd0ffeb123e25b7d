"""The command line: a table of commands with examples; the only place that prints errors or exits."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from hornbook.cli import (
    cache as answers,
)
from hornbook.cli import (
    doctor,
    evaluate,
    run,
    score,
)
from hornbook.cli import (
    inspect as look,
)
from hornbook.cli import (
    models as model,
)
from hornbook.cli import (
    run as train,
)
from hornbook.core.errors import HornbookError, StoreError
from hornbook.core.progress import harmless

app = typer.Typer(
    help="Make textbook-quality data from raw code, train a small code model on it, and prove whether it paid off.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    epilog="Start with: `hornbook run nano`",
)
INTERRUPTED = 130
STOPPING = b"\nstopping: what is under way ends first\n"
STOPPED = "\nstopped; run the same command again to resume: finished work is kept"
COMMANDS: dict[Callable[..., Any], str] = {
    run.run: "Examples: `hornbook run nano` · `hornbook run my.toml --root /data/hb --workers 8`",
    run.plan: "Example: `hornbook plan nano`, after a change to the recipe",
    train.train: "Examples: `hornbook train nano pretrain/raw --launch 2` · "
    "`torchrun --nnodes 2 --nproc-per-node 8 ... -m hornbook train phi-1 pretrain/textbook`",
    doctor.doctor: "Examples: `hornbook doctor` before a long run · `hornbook doctor --require-isolation full`",
    look.status: "Example: `hornbook status --root /data/hb`",
    look.show: "Examples: `hornbook show nano filter --where 'score > 0.9' --limit 3` · "
    "`hornbook show nano filter --id ID` says why it is there · "
    "`hornbook show nano read --dropped --where \"reason = 'generated'\"` · `hornbook show nano textbooks --json`",
    evaluate.evaluate: "Examples: `hornbook evaluate nano/textbook -n 20 --temperature 0.2 --beside nano` · "
    "`hornbook evaluate Salesforce/codegen-350M-mono -b humaneval -b mbpp` · "
    "`hornbook evaluate my-model --url http://localhost:8000/v1`",
    model.complete: "Examples: `hornbook complete nano/textbook 'def add(a, b):\\n'` · "
    "`hornbook complete out/my-model - --temperature 0.8 --seed 3 < prompt.py`",
    model.export: "Examples: `hornbook export nano/textbook --to gguf --out nano.gguf` · "
    "`hornbook export nano/pretrain/raw --to hf --out raw-model`",
    score.score: "Examples: `hornbook score samples.jsonl --benchmark humaneval` · "
    "`hornbook score samples.jsonl.gz --benchmark mbpp_plus:MbppPlus.jsonl.gz --k 1 --k 5`",
    answers.answers: "Examples: `hornbook answers` counts them · `hornbook answers export answers.jsonl` · "
    "`hornbook answers import answers.jsonl --root elsewhere`",
    look.clean: "Examples: `hornbook clean` shows what would go · `hornbook clean --yes` removes it",
}
"""Command -> the examples under its help, in the order that `hornbook --help` shows."""
for _command, _examples in COMMANDS.items():
    app.command(epilog=_examples)(_command)


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    context.obj = {"debug": debug}
    if version:
        from hornbook import __version__

        print(__version__)
        raise typer.Exit


def _stopping(*_: object) -> NoReturn:
    """Say at once that a Ctrl-C was seen: to end what is under way may take a while."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.write(2, STOPPING)
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; a person's mistake ends in one line and the error's exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it may be ignored, as after nohup
        signal.signal(signal.SIGINT, _stopping)
    debug = "--debug" in sys.argv
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # default: a busy neighbour slows training tenfold
    try:
        app()
    except HornbookError as error:
        if debug:
            raise
        _fail(f"error: {error}", error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # a disk that is full or read-only, where no command knew better
        if debug or not error.filename:
            raise
        _fail(
            f"error: {error.filename}: {error.strerror}; `hornbook --debug ...` shows where",
            StoreError.exit_code,
        )
    except KeyboardInterrupt:
        _fail(STOPPED, INTERRUPTED)
    except SystemExit as done:  # typer's way to end where it saw the interrupt first
        if done.code == INTERRUPTED:
            _fail(STOPPED, INTERRUPTED)
        raise


def _fail(text: str, code: int) -> NoReturn:
    text = harmless(text)  # it may quote a file
    red = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    print(f"\033[31m{text}\033[0m" if red else text, file=sys.stderr)
    sys.exit(code)
