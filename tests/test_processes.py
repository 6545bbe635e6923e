"""Whole processes: killed, interrupted, terminated, and several at once on one folder.

Each test says at which moment it strikes, proves that runs were under way then, and looks for
what is left. What comes after is done in this process, whose worker server is warm.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import Watcher

from bench.api import Result
from bench.hookspecs import hookimpl
from bench.records import RunSpec, RunStatus
from bench.store import Store

Experiment = Callable[..., Result]
GONE_SECONDS = 3.0
STARTED = re.compile(r": started \(([0-9a-f]{12})\)")


# Processes


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str


def processes() -> dict[int, Process]:
    """Return every process that runs now, zombies left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if state not in "ZX":
            found[int(entry.name)] = Process(int(entry.name), int(parent), command)
    return found


def descendants(root: int) -> set[int]:
    everything = processes()
    found: set[int] = set()
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        for process in everything.values():
            if process.parent == parent and process.pid not in found:
                found.add(process.pid)
                waiting.append(process.pid)
    return found


def workers_of(root: int) -> set[int]:
    """Return the children of the worker server; every other descendant is server or tracker."""
    mine = descendants(root)
    everything = processes()
    servers = {pid for pid in mine if everything[pid].parent == root}
    return {pid for pid in mine if pid in everything and everything[pid].parent in servers}


def left_over(pids: set[int], seconds: float = GONE_SECONDS) -> set[int]:
    """Wait until all of some processes are gone; return those that are not."""
    limit = time.monotonic() + seconds
    while (left := pids & set(processes())) and time.monotonic() < limit:
        time.sleep(0.02)
    return left


@dataclass
class Bench:
    """A `bench run` in a process group of its own, which is killed with the test."""

    results: Path
    words: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "bench", "run", "--results", str(self.results)]
        with self.log.open("wb") as err, self.log.with_suffix(".out").open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--datasets", "tiny", *self.words],
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def err(self) -> str:
        return self.log.read_text()

    @property
    def out(self) -> str:
        return self.log.with_suffix(".out").read_text()

    def started(self) -> list[str]:
        """Return the ids of the runs that it has said to have started, in order."""
        return STARTED.findall(self.err)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.err}"
            assert time.monotonic() < limit, f"not {what} in time:\n{self.err}"
            time.sleep(0.02)

    def wait_until_started(self, count: int) -> None:
        self.wait_until(lambda: len(self.started()) >= count, f"{count} runs had started")

    def wait(self, seconds: float = 120) -> int:
        return self.process.wait(seconds)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    running: list[Bench] = []

    def run(*words: str, results: Path | None = None) -> Bench:
        log = tmp_path / f"bench-{len(running)}.txt"
        running.append(Bench(results or tmp_path / "results", words, log))
        return running[-1]

    yield run
    for bench in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(bench.pid, signal.SIGKILL)
        bench.process.wait()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


# Promise 7: SIGKILL


def test_7_a_killed_worker_is_a_crashed_run_and_the_others_go_on(
    experiment: Experiment, watcher: Watcher
) -> None:
    struck: list[int] = []

    def strike() -> None:
        limit = time.monotonic() + 100
        while not watcher.started and time.monotonic() < limit:
            time.sleep(0.01)
        struck.extend(workers_of(os.getpid()))
        for pid in struck:
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=strike)
    thread.start()
    result = experiment(["sleeps", "tiny"])
    thread.join()
    assert len(struck) == 1
    assert [str(record.status) for record in result.records] == ["crashed", "ok"]
    assert "SIGKILL" in str(result.records[0].error)


def test_7_workers_die_with_bench_even_in_a_computation_that_holds_the_interpreter(
    start: Callable[..., Bench], store: Store, experiment: Experiment, watcher: Watcher
) -> None:
    # One worker sleeps, one never lets go of the interpreter; `tiny` is finished before.
    words = ("--models", "tiny,sleeps,spins", "--workers", "2")
    bench = start(*words)
    bench.wait_until_started(3)
    time.sleep(0.5)  # the third run is past its first steps, which the rehearsal makes too
    [finished] = [record.id for record in store.records()]
    assert store.find(finished).spec.model.name == "tiny"
    workers = workers_of(bench.pid)
    everything = descendants(bench.pid)
    assert len(workers) == 2
    assert bench.process.poll() is None
    os.kill(bench.pid, signal.SIGKILL)
    assert bench.wait() == -signal.SIGKILL
    assert left_over(workers) == set()
    assert left_over(everything) == set()
    # The same experiment goes on: what is finished is not done again.
    result = experiment("tiny,sleeps,spins", workers=2, timeout="1s")
    assert [str(record.status) for record in result.records] == ["ok", "timeout", "timeout"]
    assert {run.model.name for run in watcher.started} == {"sleeps", "spins"}


def test_7_after_the_whole_group_is_killed_the_rest_is_done(
    start: Callable[..., Bench], store: Store, experiment: Experiment, watcher: Watcher
) -> None:
    # Four steps of a run are slow: about a second a run.
    settings = {"sleeps.seconds": 0.25}
    seed = random.randrange(10**6)
    print(f"random seed {seed}")
    bench = start("--models", "sleeps", "--seeds", "4", "--set", "sleeps.seconds=0.25")
    bench.wait_until_started(2)
    time.sleep(random.Random(seed).uniform(0, 0.4))
    everything = descendants(bench.pid)
    started = bench.started()
    before = store.records()
    finished = {record.id for record in before}
    assert len(started) == len(finished) + 1, "the kill did not hit in the midst of a run"
    os.killpg(bench.pid, signal.SIGKILL)
    assert bench.wait() == -signal.SIGKILL
    assert left_over(everything) == set()
    # Between the look at the folder and the kill one more may have ended.
    finished |= {record.id for record in store.records()}
    result = experiment("sleeps", seeds=4, set=settings)
    assert [record.status for record in result.records] == [RunStatus.OK] * 4
    assert finished.isdisjoint(run.id for run in watcher.started)
    assert len(watcher.started) == 4 - len(finished)
    for record in before:
        assert store.read(record.id) == record
    assert list(store.root.rglob("*.tmp")) == []


# Promise 9: SIGINT and SIGTERM


@pytest.mark.parametrize(
    ("number", "whole_group"), [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=str
)
def test_9_one_signal_ends_cleanly_with_130_and_keeps_what_is_finished(
    start: Callable[..., Bench],
    store: Store,
    experiment: Experiment,
    watcher: Watcher,
    number: signal.Signals,
    whole_group: bool,
) -> None:
    bench = start("--models", "tiny,sleeps", "--json")
    bench.wait_until_started(2)
    everything = descendants(bench.pid)
    assert workers_of(bench.pid)
    (os.killpg if whole_group else os.kill)(bench.pid, number)
    assert bench.wait(20) == 130
    assert left_over(everything) == set()
    assert "the same command goes on from here" in bench.err
    assert "Traceback" not in bench.err
    statuses = {record.spec.model.name: str(record.status) for record in store.records()}
    assert statuses == {"tiny": "ok", "sleeps": "interrupted"}
    rows = {row["model"]: row["rank"] for row in json.loads(bench.out)["rows"]}
    assert rows == {"tiny": 1, "sleeps": None}
    result = experiment("tiny,sleeps", timeout="1s")
    assert [str(record.status) for record in result.records] == ["ok", "timeout"]
    assert [run.model.name for run in watcher.started] == ["sleeps"]


def test_9_ctrl_c_while_torch_is_imported_is_quiet_and_leaves_nothing(
    start: Callable[..., Bench], store: Store
) -> None:
    bench = start("--models", "tiny")
    bench.wait_until(lambda: "starting workers" in bench.err, "workers were being started")
    bench.wait_until(lambda: bool(descendants(bench.pid)), "there was a server")
    time.sleep(0.5)
    everything = descendants(bench.pid)
    assert not workers_of(bench.pid), "too late: a worker was there already"
    os.killpg(bench.pid, signal.SIGINT)
    assert bench.wait(20) == 130
    assert left_over(everything) == set()
    assert "Traceback" not in bench.err
    assert store.records() == []


def test_9_a_second_signal_stops_now(start: Callable[..., Bench], store: Store) -> None:
    bench = start("--models", "spins", "--workers", "1")
    bench.wait_until_started(1)
    everything = descendants(bench.pid)
    assert workers_of(bench.pid)
    os.killpg(bench.pid, signal.SIGINT)
    os.killpg(bench.pid, signal.SIGINT)
    # It ends by the signal itself, unless the first one was quick enough to end it cleanly.
    assert bench.wait(5) in (-signal.SIGINT, 130)
    assert left_over(everything) == set()


# Promises 6 and 11: several at once


def at_once(
    start: Callable[..., Bench], store: Store, experiment: Experiment, count: int, runs: int
) -> None:
    # A tenth of a second a run keeps one process from doing all before the next is there.
    words = ("--models", "sleeps,noisy,chatty", "--set", "sleeps.seconds=0.01", "--json")
    benches = [start(*words, "--seeds", str(runs)) for _ in range(count)]
    assert [bench.wait(280) for bench in benches] == [0] * count
    started = Counter(run for bench in benches for run in bench.started())
    records = store.records()
    assert store.warnings == []
    assert len(records) == 3 * runs
    assert {record.status for record in records} == {RunStatus.OK}
    assert started == Counter({record.id: 1 for record in records})
    # All of them give the whole result, and nothing that a plugin prints is within.
    for bench in benches:
        rows = json.loads(bench.out)["rows"]
        assert sorted((row["model"], row["seeds"]) for row in rows) == [
            ("chatty", runs),
            ("noisy", runs),
            ("sleeps", runs),
        ]
        assert "chatter of a library" in bench.err
    assert "noise from C" not in "".join(bench.out for bench in benches)
    weights = Counter(path.parent.name for path in store.root.rglob("model.safetensors"))
    assert len(weights) == 3


def test_11_two_at_once_share_the_runs_and_both_succeed(
    start: Callable[..., Bench], store: Store, experiment: Experiment
) -> None:
    at_once(start, store, experiment, 2, 6)


@pytest.mark.slow
def test_11_eight_at_once_share_many_runs(
    start: Callable[..., Bench], store: Store, experiment: Experiment
) -> None:
    at_once(start, store, experiment, 8, 17)


# Promise 13: locks

HOLDER = """
import sys, time
from pathlib import Path
from bench.store import Store
with Store(Path(sys.argv[1])).lock(sys.argv[2]):
    print("held", flush=True)
    time.sleep(600)
"""


class Times:
    """An observer that notes when runs start."""

    def __init__(self) -> None:
        self.started: list[float] = []

    @hookimpl
    def run_started(self, run: RunSpec) -> None:
        self.started.append(time.monotonic())


def test_13_the_lock_of_a_killed_process_is_free_within_a_second(
    experiment: Experiment, watcher: Watcher, store: Store
) -> None:
    [done] = experiment().records
    (store.folder(done.id) / "record.json").unlink()
    words = [sys.executable, "-c", HOLDER, str(store.root), done.id]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    killed: list[float] = []

    def kill() -> None:
        # Long enough for the experiment to be past its rehearsal and to wait for the lock.
        time.sleep(2)
        assert len(watcher.started) == 1
        killed.append(time.monotonic())
        holder.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    times = Times()
    result = experiment(plugins=(times,))
    thread.join()
    holder.wait()
    holder.stdout.close()
    assert [record.status for record in result.records] == [RunStatus.OK]
    assert 0 < times.started[0] - killed[0] < 1


# Promise 7 again, at many points


@pytest.mark.slow
def test_7_killed_at_random_points_the_result_is_that_of_an_uninterrupted_run(
    start: Callable[..., Bench], store: Store, experiment: Experiment, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    print(f"random seed {seed}")
    generator = random.Random(seed)
    words = ("--models", "sleeps", "--seeds", "8", "--set", "sleeps.seconds=0.1")
    words = (*words, "--deterministic", "--workers", "2")
    hits = 0
    for attempt in range(5):
        bench = start(*words)
        bench.wait_until(
            lambda bench=bench: bench.process.poll() is not None or bool(bench.started()),
            "a run had started",
        )
        if bench.process.poll() is not None:
            break
        time.sleep(generator.uniform(0, 0.6))
        finished = {record.id: record for record in store.records() if record.status == "ok"}
        everything = descendants(bench.pid)
        hits += set(bench.started()) > set(finished)
        kill = os.killpg if attempt % 2 else os.kill
        kill(bench.pid, signal.SIGKILL)
        bench.wait()
        assert left_over(everything) == set()
        for run_id, record in finished.items():
            assert store.read(run_id) == record
    assert hits >= 2, "too few kills hit in the midst of a run"
    values = {"seeds": 8, "set": {"sleeps.seconds": 0.1}, "deterministic": True}
    resumed = experiment("sleeps", **values)
    whole = experiment("sleeps", **values, results=tmp_path / "whole")
    assert [(r.id, r.metrics) for r in resumed.records] == [
        (r.id, r.metrics) for r in whole.records
    ]


@pytest.mark.slow
def test_a_script_without_a_guard_runs_its_experiment_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import bench\n"
        f"result = bench.run(models='tiny', datasets='tiny', results={str(tmp_path / 'r')!r})\n"
        "print(len(result.records), result.records[0].status)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "1 ok\n"
    assert done.stderr.count("starting workers") == 1
