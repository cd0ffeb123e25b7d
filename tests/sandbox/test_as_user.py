"""Hostile programs are contained for an ordinary user too, not only for root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
USER = 12345
DRIVER = """
import json, os, sys
from pathlib import Path
sys.path[:0] = [HERE, str(Path(HERE).parent / "support")]
from hornbook.sandbox import kernel

python = Path(sys.base_prefix)
closed = [place for place in (python, *python.parents) if place.stat().st_mode & 0o005 != 0o005]
if closed:  # Python lies where only root may look: show it, and nothing else there, in a mount namespace of our own
    kernel.unshare(0x00020000)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    aside = Path(FOLDER) / "python"
    aside.mkdir()
    kernel.mount(str(python), str(aside), "", kernel.MS_BIND | kernel.MS_REC)
    kernel.mount("tmpfs", str(closed[-1]), "tmpfs", 0, "mode=755")
    python.mkdir(parents=True)
    kernel.mount(str(aside), str(python), "", kernel.MS_BIND | kernel.MS_REC)
os.setgroups([]); os.setresgid(USER, USER, USER); os.setresuid(USER, USER, USER)
from hostile_world import World
from own_hostile import PROGRAMS
from test_hostile import contained
from hornbook.sandbox import Limits, Sandbox
programs = dict(PROGRAMS)
if SHARED:
    programs |= {row["id"]: row["code"] for row in map(json.loads, open(SHARED))}
world = World(Path(FOLDER) / 'world')
with Sandbox(Limits(cpu_seconds=0.5, wall_seconds=2.0), workers=1, require_isolation="full") as sandbox:
    wrong = contained(sandbox, world, dict(list(programs.items())[::EVERY]))
world.close()
print(json.dumps([os.geteuid(), len(programs), wrong]))
"""


def as_user(folder: Path, every: int) -> tuple[int, int, list[str]]:
    """(user id, programs known, what went wrong) of every n-th hostile program, judged after giving up root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; as this user test_hostile says the same")
    folder.chmod(0o777)
    shared = HERE.parents[1] / ".." / "shared" / "data" / "hostile.jsonl"
    values = {"USER": USER, "HERE": str(HERE), "FOLDER": str(folder), "EVERY": every}
    values["SHARED"] = str(shared) if shared.exists() else ""
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items()) + DRIVER
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False, cwd="/"
    )
    if "isolation full was asked for" in done.stderr:
        pytest.skip("an ordinary user cannot have every layer here")
    assert done.returncode == 0, done.stderr
    user, known, wrong = json.loads(done.stdout.splitlines()[-1])
    return user, known, wrong


@pytest.fixture
def open_folder() -> Path:
    """A folder that another user can reach, which pytest's own are not."""
    place = Path("/tmp") / f"hornbook-test-user-{os.getpid()}"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def test_a_few_hostile_programs_are_contained_for_a_user(open_folder: Path) -> None:
    user, known, wrong = as_user(open_folder, every=12)
    assert (user, wrong) == (USER, [])
    assert known >= 30


@pytest.mark.slow
def test_every_hostile_program_is_contained_for_a_user(open_folder: Path) -> None:
    assert as_user(open_folder, every=1)[2] == []
