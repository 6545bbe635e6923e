"""Durations are measured by a clock that nobody sets."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from processes import Bench

import bench
import bench_local
from bench.store import Store

DAY = 86_400

# libfaketime cannot wait until a moment of the monotonic clock, as `time.sleep` does.
SLEEP = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


@pytest.fixture
def fake_clock(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Return a file that says how far the wall clock is off, and the environment that heeds it."""
    program = shutil.which("faketime")
    if program is None:
        pytest.skip("`faketime` is not installed (Debian's package of that name)")
    words = [program, "-m", "-f", "+0", "printenv", "LD_PRELOAD"]
    library = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SLEEP)
    clock = tmp_path / "clock"
    clock.write_text("+0")
    return clock, {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": os.pathsep.join([str(site), os.environ["PYTHONPATH"]]),
    }


@pytest.mark.timeout(600)
def test_30_a_wall_clock_that_jumps_changes_neither_durations_nor_timeouts(
    tmp_path: Path, fake_clock: tuple[Path, dict[str, str]]
) -> None:
    clock, environment = fake_clock
    # Five steps an epoch, each of a fifth of a second; the timeout is far from that.
    words = ("--datasets", "tiny", "--models", "sleeps", "--set", "sleeps.seconds=0.2")
    words = (*words, "--epochs", "6", "--timeout", "1h")
    begin = time.monotonic()
    bench = Bench(tmp_path / "results", words, tmp_path / "log.txt", environment)
    try:
        bench.wait_until_started(1)
        [run] = bench.started()
        for epoch, shift in ((1, "+3d"), (2, "-3d"), (3, "+9d"), (4, "-6d")):
            bench.wait_until(lambda e=epoch: e in bench.epochs()[run], f"epoch {epoch} was over")
            clock.write_text(shift)
        assert bench.wait() == 0, bench.err
    finally:
        bench.kill()
    elapsed = time.monotonic() - begin
    [record] = Store(tmp_path / "results").records()
    timing = record.timing
    # The clock did jump, for the worker too.
    started, finished = map(datetime.fromisoformat, (record.started_at, record.finished_at))
    assert (finished - started).total_seconds() < -5 * DAY
    assert 24 * 0.2 < timing["train_seconds"] < timing["wall_seconds"] < elapsed
    parts = [each for name, each in timing.items() if name.endswith("_seconds")]
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(2 * timing["wall_seconds"], rel=0.05)  # itself included
    lines = (Store(tmp_path / "results").folder(run) / "epochs.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    assert min(seconds) > 0
    assert sum(seconds) == pytest.approx(timing["train_seconds"])


# The age of a cached file is told by the wall clock, as its modification time is; and the page of
# reports writes the moment that a record holds as people read it; trackers date what they pass on.
BY_WALL_CLOCK = {
    "bench/cache.py",
    "bench_mlflow/session.py",
    "bench_reports/html/parts.py",
    "bench_tensorboard/session.py",
}
WALL_CLOCKS = {"time", "time_ns", "ctime", "localtime", "gmtime"}


def readings(tree: ast.Module) -> Iterator[str]:
    """Yield each use of the wall clock other than to write down a moment."""
    moments = {
        id(node.value.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "isoformat"
        and isinstance(node.value, ast.Call)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if node.value.id == "time" and node.attr in WALL_CLOCKS:
                yield name
            if node.value.id in ("datetime", "date") and id(node) not in moments:
                yield name
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield "from time import"


def test_30_no_duration_is_measured_by_the_wall_clock() -> None:
    [package] = bench.__path__
    plugins = Path(bench_local.__file__).parents[1]
    paths = [*Path(package).rglob("*.py"), *plugins.glob("bench_*/**/*.py")]
    assert len(paths) > 80
    core = Path(package)
    found = {
        path.relative_to(core.parent if path.is_relative_to(core) else plugins).as_posix()
        for path in paths
        if [*readings(ast.parse(path.read_text("utf-8")))]
    }
    assert found == BY_WALL_CLOCK


def test_30_the_look_at_the_sources_sees_what_it_is_for() -> None:
    assert [*readings(ast.parse("import time\nx = time.time() - y"))] == ["time.time"]
    assert [*readings(ast.parse("x = (datetime.now(UTC) - y).seconds"))] == ["datetime.now"]
    assert [*readings(ast.parse("from time import time"))] == ["from time import"]
    assert not [*readings(ast.parse("x = datetime.now(UTC).isoformat(timespec='seconds')"))]
    assert not [*readings(ast.parse("x = time.perf_counter() - time.monotonic()"))]
