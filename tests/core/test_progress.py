from __future__ import annotations

import pytest

from hornbook.core.progress import Lines, Terminal, seconds_left


def test_the_time_left_follows_from_the_work_of_this_run_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("hornbook.core.progress.time.monotonic", lambda: now[0])
    with Lines(seconds=10).bar("train", 1000, "tokens", done=900) as bar:
        bar.note("loss 2.000")
        now[0] = 120.0
        bar.advance(10)  # ninety are left, at one in two seconds
    assert capsys.readouterr().err == "  train: 910/1,000 tokens, 20s, eta 180s loss 2.000\n"


def test_brackets_of_others_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    with terminal.bar("answer [/heldout]", 2, "attempts") as bar:
        bar.note("[/INST]")
        bar.advance()
        terminal.say("the server said [/INST] and [bold]no \x1b[2J")
        Lines().say("\x1b[2J")
    said = capsys.readouterr().err
    assert r"the server said [/INST] and [bold]no \x1b[2J" in said
    assert "\x1b[2J" not in said


@pytest.mark.parametrize(
    ("elapsed", "done", "advances", "left"),
    [
        (1.0, 9, 9, None),  # nine pieces out of a cache say nothing of the rest
        (5.0, 2, 2, None),
        (5.0, 3, 3, 500 / 3),
        (12.0, 1, 1, 1200.0),
        (24.0, 1, 1, 2400.0),  # no piece since: it takes longer than it seemed
        (30.0, 0, 0, None),
    ],
)
def test_the_time_left_waits_for_enough_work_to_rest_on(
    elapsed: float, done: float, advances: int, left: float | None
) -> None:
    assert seconds_left(elapsed, done, 100, advances) == left
