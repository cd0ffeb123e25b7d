"""Landlock: what a process may read and write, enforced by path whatever the mounts say (Linux 5.13)."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable

from hornbook.sandbox import kernel

READ_FILE, READ_DIR, WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
EXECUTE, MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK = 1, 1 << 6, 1 << 9, 1 << 11
FILE_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""ABI version -> how many bits of file rights it knows (linux/landlock.h)."""
VERSION_QUERY = 1
PATH_BENEATH = 1


def version() -> int:
    """The kernel's Landlock ABI version; 0 where there is none."""
    try:
        return kernel.system_call(kernel.LANDLOCK_CREATE_RULESET, None, 0, VERSION_QUERY)
    except OSError:
        return 0


def restrict(readable: Iterable[str], writable: Iterable[str], devices: Iterable[str]) -> None:
    """Let this process see only these paths, connect nowhere and signal only what is as restricted as it is."""
    abi = version()
    if not abi:
        raise OSError(errno.ENOSYS, "Landlock is not available")
    every = (1 << FILE_RIGHTS_BY_VERSION[min(abi, 5)]) - 1
    tcp = 0b11 if abi >= 4 else 0
    scopes = 0b11 if abi >= 6 else 0
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    attributes = struct.pack("QQQ", every, tcp, scopes)[:size]
    rules = kernel.system_call(kernel.LANDLOCK_CREATE_RULESET, attributes, size, 0)
    try:
        for path in readable:
            _allow(rules, path, READ_FILE | (READ_DIR if os.path.isdir(path) else 0))  # noqa: PTH112
        for path in writable:
            _allow(rules, path, every & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK | MAKE_SOCK))
        for path in devices:
            _allow(rules, path, READ_FILE | WRITE_FILE)
        kernel.system_call(kernel.LANDLOCK_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        kernel.system_call(
            kernel.LANDLOCK_ADD_RULE, rules, PATH_BENEATH, struct.pack("<Qi", rights, place), 0
        )
    finally:
        os.close(place)
