"""A store on a real S3 server: moto's, over HTTP on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, InputError, StoreError
from hornbook.core.machine import Machine
from hornbook.core.records import Document
from hornbook.core.settings import parse
from hornbook.core.shards import read_documents, read_json, write_json, write_shard
from hornbook.core.store import Store
from hornbook.report import inspect as inspection
from hornbook.stages.read.step import ReadConfig, identity, run


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    threaded = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    threaded.start()
    patch = pytest.MonkeyPatch()
    host, port = threaded.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("corpus")
    yield "s3://corpus"
    s3fs.S3FileSystem.clear_instance_cache()
    patch.undo()
    threaded.stop()


def publish(store: Store, print_: str, text: str) -> Path:
    with store.building("read", print_) as out:
        (out / "kept").mkdir()
        (out / "kept" / "shard.txt").write_text(text)
        return store.publish("read", print_, {"stage": "read"}, {"kept": 1}, 1.0)


def test_what_one_machine_publishes_another_fetches(bucket: str, tmp_path: Path) -> None:
    here, there = (Store(tmp_path / name, f"{bucket}/store") for name in ("here", "there"))
    assert not there.has("read", "f00d")
    folder = publish(here, "f00d", "text")
    assert there.has("read", "f00d")
    assert there.manifest("read", "f00d") == here.manifest("read", "f00d")
    assert not there.folder("read", "f00d").exists()
    fetched = there.fetched("read", "f00d")
    assert (fetched / "kept" / "shard.txt").read_text() == "text"
    assert (fetched / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()
    assert there.finished() == [fetched]


def test_without_its_manifest_nothing_is_there(bucket: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "here", f"{bucket}/store")
    publish(store, "cafe", "text")
    assert store.remote
    store.remote.system.rm(f"{store.remote.path}/read/cafe/manifest.json")
    assert not Store(tmp_path / "there", f"{bucket}/store").has("read", "cafe")


def test_a_damaged_object_is_not_used(bucket: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "here", f"{bucket}/store")
    publish(store, "beef", "text")
    assert store.remote
    store.remote.system.pipe_file(f"{store.remote.path}/read/beef/kept/shard.txt", b"tampered")
    other = Store(tmp_path / "there", f"{bucket}/store")
    with pytest.raises(StoreError, match=r"shard\.txt is damaged"):
        other.fetched("read", "beef")
    assert not any(other.folder("read", "beef").parent.iterdir())


def test_a_manifest_cannot_have_files_written_elsewhere(tmp_path: Path) -> None:
    publish(Store(tmp_path / "here", f"file://{tmp_path}/shared"), "f00d", "text")
    (tmp_path / "shared/outside.txt").write_text("not yours")
    manifest = tmp_path / "shared/read/f00d/manifest.json"
    write_json(manifest, {**read_json(manifest), "files": {"../../../outside.txt": "0"}})
    with pytest.raises(StoreError, match=r"outside\.txt is damaged"):
        Store(tmp_path / "there", f"file://{tmp_path}/shared").fetched("read", "f00d")
    assert not list(tmp_path.glob("there/**/*.txt"))


def test_a_store_that_cannot_be_written_keeps_the_work_and_says_so(bucket: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "here", "s3://no-such-bucket/store")
    with pytest.raises(StoreError, match=r"cannot be written.*finished work is kept"):
        publish(store, "f00d", "text")
    assert store.unfinished() == [store.partial("read", "f00d")]


def test_a_folder_on_this_machine_may_be_the_store_too(tmp_path: Path) -> None:
    publish(Store(tmp_path / "here", f"file://{tmp_path}/shared"), "f00d", "text")
    fetched = Store(tmp_path / "there", f"file://{tmp_path}/shared").fetched("read", "f00d")
    assert (fetched / "kept" / "shard.txt").read_text() == "text"


def test_what_another_machine_built_is_shown_here(bucket: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "here", f"{bucket}/store")
    with store.building("read", "d0c5") as out:
        counts = write_shard(out, "shard-00000.parquet", [Document("x = 1", "one.py", "code")])
        store.publish("read", "d0c5", {"stage": "read"}, counts, 1.0)
    there = Machine(root=str(tmp_path / "there"), store=f"{bucket}/store")
    write_json(tmp_path / "there/runs/mine/lock.json", {"read": {"stage": "read", "fingerprint": "d0c5"}})
    assert inspection.datasets(there, "mine") == [{"step": "read", "parts": "kept 1"}]
    assert not (tmp_path / "there/store/read").exists()
    (record,) = inspection.records(there, "mine", "read", "kept", "source = 'one.py'", 5)
    assert record["text"] == "x = 1"
    with pytest.raises(InputError, match="no step 'dedup'; its datasets: read"):
        inspection.records(there, "mine", "dedup", "kept", "", 5)


def test_a_root_that_is_a_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="s3://corpus is a URL; root is a folder of this machine"):
        parse(Machine, {"root": "s3://corpus"}, "machine.toml")


def test_documents_are_read_from_the_server_and_its_etags_identify_them(bucket: str, tmp_path: Path) -> None:
    import s3fs

    system = s3fs.S3FileSystem()
    system.pipe_file("corpus/code/one.py", b"x = 1\ny = 2\n")
    config = ReadConfig.model_validate({"sources": [{"kind": "folder", "path": f"{bucket}/code"}]})
    run(config, {}, tmp_path, Tools())
    assert [(d.source, d.text) for d in read_documents(tmp_path)] == [("code/one.py", "x = 1\ny = 2\n")]
    before = identity(config)
    system.pipe_file("corpus/code/one.py", b"x = 1\ny = 3\n")
    system.invalidate_cache()
    assert identity(config) != before
