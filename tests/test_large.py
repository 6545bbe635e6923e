"""Sets that are larger than memory should have to hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from conftest import install

GIB = 2**30
PLUGIN = textwrap.dedent('''
    """A dataset of any size, each image of which is made when it is asked for."""

    import numpy as np

    import bench
    from bench import storing

    storing.IN_MEMORY = 2**20  # so that a small set is stored as a large one is


    class Made:
        def __init__(self, count, seed):
            self.count, self.seed = count, seed

        def __len__(self):
            return self.count

        def __getitem__(self, index):
            state = (index * 0x9E3779B97F4A7C15 + self.seed) % 2**64
            words = (np.arange(98, dtype=np.uint64) + 1) * np.uint64(state | 1)
            image = (words ^ (words >> np.uint64(29))).view(np.uint8).reshape(28, 28).copy()
            image[:14] //= 1 + 3 * (index % 2)
            return image, index % 2


    def load(data_dir, *, count=1000):
        return bench.Splits(train=Made(count, 1), test=Made(max(100, count // 100), 2))


    def build(num_classes, input_shape):
        from torch import nn

        channels = input_shape[0]
        return nn.Sequential(nn.AvgPool2d(14), nn.Flatten(), nn.Linear(4 * channels, num_classes))


    @bench.hookimpl
    def register_datasets():
        yield bench.Dataset(name="made", load=load)


    @bench.hookimpl
    def register_models():
        yield bench.Model(name="halves", build=build)
''')


def train(folder: Path, count: int, *options: str) -> tuple[dict[str, object], int, float]:
    """Train on so many images; return the record, the peak of anonymous memory, and the seconds.

    The memory is the largest of any process; pages of a memory map are not anonymous: the system
    drops them when it needs room.
    """
    (folder / "made.py").write_text(PLUGIN)
    install(folder, "bench-made", {"made": "made"})
    environment = {**os.environ, "BENCH_CACHE": str(folder / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), environment.get("PYTHONPATH", "")])
    words = ["run", "--datasets", "made", "--models", "halves", "--epochs", "1"]
    words += ["--batch-size", "512", "--set", f"made.count={count}", *options]
    start = time.monotonic()
    peak = 0
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench", *words, "--results", str(folder / "results")],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        while process.poll() is None:
            peak = max(peak, *(anonymous(pid) for pid in session(process.pid)), 0)
            time.sleep(0.2)
    assert process.returncode == 0, (folder / "log.txt").read_text()
    [path] = (folder / "results" / "runs").glob("*/record.json")
    return json.loads(path.read_text()), peak, time.monotonic() - start


def session(leader: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader:
                found.append(int(path.name))
    return found


def anonymous(pid: int) -> int:
    """Return the bytes of a process that no file stands behind."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """Forty thousand images more would be 30 MB more, were they kept anywhere."""
    peaks = []
    for name, count in (("few", 2_000), ("many", 42_000)):
        folder = tmp_path / name
        folder.mkdir()
        record, peak, _ = train(folder, count, "--placement", "map")
        assert record["status"] == "ok"
        assert record["environment"]["placement"] == "map"  # type: ignore[index]
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 20e6, peaks


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_million_images_train_in_less_than_two_gibibytes(tmp_path: Path) -> None:
    record, peak, seconds = train(tmp_path, 1_000_000)
    print(f"peak {peak / GIB:.2f} GiB anonymous, {seconds:.0f} s")
    assert record["status"] == "ok"
    assert record["environment"]["train_items"] == 800_000  # type: ignore[index]
    assert peak < 2 * GIB
