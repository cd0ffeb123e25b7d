"""Which system calls a program is refused, as seccomp filters (classic BPF)."""

from __future__ import annotations

import errno
import os
import struct

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine -> its AUDIT_ARCH value (linux/audit.h) and its column in the tables below."""
FIRST_UNKNOWN = 453
"""System calls from here on are newer than this table: refused as if the kernel did not know them."""

NEVER: dict[str, tuple[int, int]] = {
    "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "swapon": (167, 224), "swapoff": (168, 225),
    "reboot": (169, 142), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "acct": (163, 89), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, -1), "ioperm": (173, -1), "modify_ldt": (154, -1),
    "syslog": (103, 116), "quotactl": (179, 60), "quotactl_fd": (443, 443), "lookup_dcookie": (212, 18),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "memfd_create": (319, 279), "memfd_secret": (447, 447), "socket": (41, 198),
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "mbind": (237, 235), "set_mempolicy": (238, 237), "personality": (135, 92), "setuid": (105, 146),
    "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143), "setresuid": (117, 147),
    "setresgid": (119, 149), "setfsuid": (122, 151), "setfsgid": (123, 152), "setgroups": (116, 159),
    "capset": (126, 91), "vhangup": (153, 58), "process_mrelease": (448, 448),
}  # fmt: skip
"""Refused to a zygote and so to every program: reaching other processes, mounts, sockets, privileges, the machine."""

PROGRAM_NEVER: dict[str, tuple[int, int]] = {
    "fork": (57, -1), "vfork": (58, -1), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}  # fmt: skip
"""Refused to a program but not to its zygote."""

SELF_ONLY: dict[str, tuple[int, int]] = {
    "kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261), "sched_setaffinity": (203, 122),
}  # fmt: skip
"""A program may do these to itself; process id 0 means itself too, except for kill (its group)."""

CLONE: tuple[int, int] = (56, 220)
CLONE3 = 435
ANY_PID = 0x7FFF1234
"""Stands for a process id in the template; above every real one (PID_MAX_LIMIT is 2^22)."""
CLONE_THREAD = 0x00010000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_OFFSET, _ARCH_OFFSET, _ARGUMENT_OFFSET = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def available() -> bool:
    """Whether there is a table for this machine."""
    return os.uname().machine in ARCHITECTURES


def zygote_filter() -> bytes:
    """The filter that a zygote and all its programs live under."""
    _, column = ARCHITECTURES[os.uname().machine]
    numbers = [numbers[column] for numbers in NEVER.values()]
    refused = [step for number in numbers if number >= 0 for step in _when(number, _ERRNO | errno.EPERM)]
    return b"".join([*_head(), *refused, *_when(CLONE3, _ERRNO | errno.ENOSYS), _step(_RETURN, _ALLOW)])


def program_filter() -> tuple[bytes, list[int]]:
    """The filter of one program, and the offsets at which it wants the program's process id.

    No processes but threads, no signals but to itself.
    """
    _, column = ARCHITECTURES[os.uname().machine]
    steps = _head()
    for numbers in PROGRAM_NEVER.values():
        if numbers[column] >= 0:
            steps += _when(numbers[column], _ERRNO | errno.EPERM)
    steps += _unless(CLONE[column], _step(_ANY_BIT, CLONE_THREAD, 0, 1))
    for name, numbers in SELF_ONLY.items():
        own = [_step(_EQUAL, ANY_PID, 1, 0), _step(_EQUAL, ANY_PID if name == "kill" else 0, 0, 1)]
        steps += _unless(numbers[column], *own)
    code = b"".join([*steps, _step(_RETURN, _ALLOW)])
    pid = struct.pack("I", ANY_PID)
    return code, [at for at in range(0, len(code), len(pid)) if code.startswith(pid, at)]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _head() -> list[bytes]:
    """Kill what is not of this machine's architecture; leave the number of the call loaded."""
    arch, _ = ARCHITECTURES[os.uname().machine]
    return [
        _step(_LOAD, _ARCH_OFFSET),
        _step(_EQUAL, arch, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_OFFSET),
        _step(_AT_LEAST, FIRST_UNKNOWN, 0, 1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
    ]


def _when(number: int, action: int) -> list[bytes]:
    return [_step(_EQUAL, number, 0, 1), _step(_RETURN, action)]


def _unless(number: int, *condition: bytes) -> list[bytes]:
    """Refuse a call unless its first argument meets the condition, which falls through when it does, else skips 1."""
    body = [
        _step(_LOAD, _ARGUMENT_OFFSET),
        *condition,
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _ERRNO | errno.EPERM),
    ]
    return [_step(_EQUAL, number, 0, len(body)), *body]
