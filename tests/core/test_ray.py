from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hornbook
from hornbook.core.records import Document
from hornbook.core.shards import write_shard

SOURCE = Path(hornbook.__file__).resolve().parents[1]
SCRIPT = """
import os, sys, time
from pathlib import Path

from hornbook.core.context import Tools
from hornbook.core.workers import WorkerDied, open_workers
from hornbook.stages import decontaminate, dedup

def cluster():
    from ray.cluster_utils import Cluster
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    os.environ["RAY_ADDRESS"] = made.address
    return made

def die(_):
    os.kill(os.getpid(), 9)

def node(_):
    import ray
    time.sleep(0.5)
    return ray.get_runtime_context().get_node_id()

def wait_for_both_nodes(workers):
    begun, seen = time.monotonic(), set()
    while len(seen) < 2:
        assert time.monotonic() - begun < 120, "both nodes work"
        seen |= set(workers.map(node, range(8)))
    assert workers.count == 2

def fail(number):
    raise KeyError(number)

def main():
    engine, out = sys.argv[1], Path(sys.argv[2])
    made = cluster() if engine == "ray" else None
    workers = open_workers(engine, 2)
    if made:
        wait_for_both_nodes(workers)
    for name, stage, config, source in (
        ("dedup", dedup, dedup.DedupConfig(), Path("in")),
        ("clean", decontaminate, decontaminate.DecontaminateConfig(), out / "dedup"),
    ):
        (out / name).mkdir(parents=True)
        stage.run(config, {"documents": source}, out / name, Tools(workers=workers))
    if made:
        for work, expected in ((die, WorkerDied), (fail, KeyError)):
            try:
                list(workers.map(work, [1]))
            except expected:
                continue
            raise AssertionError(work)
    workers.close()
    if made:
        made.shutdown()


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_a_cluster_of_two_workers_writes_the_bytes_that_the_pool_writes(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install hornbook[ray]")
    texts = [
        f"# {n}\n" + "".join(f"def f{i}(x):\n    return x + {i * n}\n" for i in range(30)) for n in range(60)
    ]
    for number in range(6):
        part = [*texts[number * 10 : number * 10 + 10], texts[number].replace("x", "y", 1) + "\n"]
        documents = [Document(text, f"{number}/{i}.py", "code") for i, text in enumerate(part)]
        write_shard(tmp_path / "in", f"shard-{number:05d}.parquet", documents)
    script = tmp_path / "stages.py"
    script.write_text(SCRIPT)
    for engine in ("pool", "ray"):
        command = [sys.executable, str(script), engine, f"out-{engine}"]
        env = {**os.environ, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "PYTHONPATH": f"{tmp_path}:{SOURCE}"}
        subprocess.run(command, cwd=tmp_path, check=True, env=env, timeout=280)
    made = [
        {p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
        for out in (tmp_path / "out-pool", tmp_path / "out-ray")
    ]
    assert made[0] == made[1]
    assert len(made[0]) > 15
