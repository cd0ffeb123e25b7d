from __future__ import annotations

import errno
import fcntl
import multiprocessing
from pathlib import Path

import pytest

from hornbook.core.errors import StoreError
from hornbook.core.machine import Machine
from hornbook.core.store import Store, explained, fingerprint, remove
from hornbook.report import inspect as inspection


def _publish(store: Store, text: str, seconds: float = 1.0) -> Path:
    with store.building("read", "f00d") as out:
        (out / "data.txt").write_text(text)
        return store.publish("read", "f00d", {"stage": "read"}, {"kept": 1}, seconds)


def test_a_thing_is_absent_until_published_and_whole_afterwards(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.building("read", "f00d") as out:
        (out / "data.txt").write_text("half")
        assert not store.has("read", "f00d")
    assert store.unfinished() == [store.partial("read", "f00d")]
    folder = _publish(store, "whole")
    assert store.has("read", "f00d")
    assert store.manifest("read", "f00d")["counts"] == {"kept": 1}
    assert store.finished() == [folder]
    assert store.unfinished() == []


def test_manifests_of_equal_contents_are_equal_whatever_the_time_taken(tmp_path: Path) -> None:
    first = _publish(Store(tmp_path / "a"), "same", seconds=1.0) / "manifest.json"
    second = _publish(Store(tmp_path / "b"), "same", seconds=9.0) / "manifest.json"
    other = _publish(Store(tmp_path / "c"), "other") / "manifest.json"
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_time_spent_before_an_interruption_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.building("read", "f00d"):
        store.interrupted("read", "f00d", 2.0)
    folder = _publish(store, "text", seconds=1.0)
    assert '"seconds": 3.0' in (folder / "timing.json").read_text()


def _hold(root: Path, ready: object, go: object) -> None:
    with Store(root).building("read", "f00d"):
        ready.set()  # type: ignore[attr-defined]
        go.wait(30)  # type: ignore[attr-defined]


def test_a_second_builder_of_the_same_thing_is_refused(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, go))
    holder.start()
    try:
        assert ready.wait(30)
        with pytest.raises(StoreError, match="another run"), Store(tmp_path).building("read", "f00d"):
            pass
    finally:
        go.set()
        holder.join()
    with Store(tmp_path).building("read", "f00d"):
        pass


def test_a_lock_that_was_unlinked_before_it_was_held_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another run publishes between the opening and the locking."""
    store, hold = Store(tmp_path), fcntl.flock
    lock = store.partial("read", "f00d").with_suffix(".lock")

    def late(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", hold)
        lock.unlink()
        hold(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    refused = pytest.raises(StoreError, match="another run")
    with store.building("read", "f00d"), refused, Store(tmp_path).building("read", "f00d"):
        pass


def test_nothing_is_cleaned_while_a_run_builds(tmp_path: Path) -> None:
    """What it has finished is named by no lock until it ends."""
    store, machine = Store(tmp_path), Machine(root=str(tmp_path))
    folder = _publish(store, "finished, and named by no lock yet")
    with store.building("dedup", "beef"):
        assert store.under_way() == [store.partial("dedup", "beef")]
        with pytest.raises(StoreError, match="a run is building dedup/beef"):
            inspection.clean(machine, yes=True)
    assert folder.exists()
    assert store.partial("dedup", "beef").exists()
    assert [row["folder"] for row in inspection.clean(machine, yes=True)] == [
        "read/f00d",
        "dedup/beef.partial",
    ]
    assert not folder.exists()


def test_what_another_run_published_meanwhile_stands(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.building("read", "f00d"):
        store.folder("read", "f00d").mkdir()
        (store.folder("read", "f00d") / "manifest.json").write_text("{}")
        assert store.publish("read", "f00d", {}, {}, 1.0) == store.folder("read", "f00d")
    assert store.manifest("read", "f00d") == {}
    assert store.unfinished() == []


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"No space left.*run again"), explained(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError), explained(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "a bug of ours is not hidden")


def test_remove_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    remove(_publish(store, "text"))
    assert not any((tmp_path / "store" / "read").iterdir())


def test_a_fingerprint_depends_on_values_not_on_their_order() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
