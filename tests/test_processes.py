"""Whole processes: killed, interrupted, terminated, and several at once on one folder.

Each test says at which moment it strikes, proves that runs were under way then, and looks for
what is left. What comes after is done in this process, whose worker server is warm.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Watcher, statuses
from kill_campaign import VICTIMS, Campaign
from processes import Bench, descendants, left_over, workers_of

from bench.api import Result
from bench.hookspecs import hookimpl
from bench.records import RunSpec, RunStatus
from bench.store import Store

Experiment = Callable[..., Result]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    running: list[Bench] = []

    def run(*words: str, results: Path | None = None) -> Bench:
        log = tmp_path / f"bench-{len(running)}.txt"
        words = ("--datasets", "tiny", *words)
        running.append(Bench(results or tmp_path / "results", words, log))
        return running[-1]

    yield run
    for bench in running:
        bench.kill()


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
    result = experiment("tiny,sleeps,spins", workers=2, timeout="3s")
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


SLOW_STEPS = {"epochs": 4, "set": {"sleeps.seconds": 0.2}}
"""An epoch of `sleeps` takes a second: it has five steps."""
SLOW_WORDS = ("--epochs", "4", "--set", "sleeps.seconds=0.2")


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGTERM, False)],
    ids=str,
)
def test_9_the_first_signal_saves_the_run_in_training_and_the_same_command_goes_on(
    start: Callable[..., Bench],
    store: Store,
    experiment: Experiment,
    watcher: Watcher,
    number: signal.Signals,
    whole_group: bool,
) -> None:
    bench = start("--models", "tiny,sleeps", *SLOW_WORDS, "--json")
    bench.wait_until_started(2)
    run = bench.started()[1]
    bench.wait_until(lambda: bool(bench.epochs()[run]), "an epoch was finished")
    everything = descendants(bench.pid)
    assert workers_of(bench.pid)
    (os.killpg if whole_group else os.kill)(bench.pid, number)
    assert bench.wait() == 130
    assert left_over(everything) == set()
    assert "saving the state of 1 run, then stopping; Ctrl-C again stops at once" in bench.err
    assert "the same command goes on from here" in bench.err
    assert "Traceback" not in bench.err
    found = {record.spec.model.name: record for record in store.records()}
    assert {name: str(record.status) for name, record in found.items()} == {
        "tiny": "ok",
        "sleeps": "interrupted",
    }
    assert "the same command goes on from there" in str(found["sleeps"].error)
    rows = {row["model"]: row["rank"] for row in json.loads(bench.out)["rows"]}
    assert rows == {"tiny": 1, "sleeps": None}

    done = bench.epochs()[run][-1]
    result = experiment("tiny,sleeps", **SLOW_STEPS)
    assert statuses(result) == {"tiny": "ok", "sleeps": "ok"}
    assert [spec.model.name for spec in watcher.started] == ["sleeps"]
    # No epoch is done twice, and none is left out.
    assert [metrics.epoch for _, metrics in watcher.epochs] == [*range(done + 1, 5)]
    assert result.records[1].timing["resumed"] == 1
    said = [text for text in watcher.messages if f"goes on after epoch {done} of 4" in text]
    assert len(said) == 1
    assert not store.checkpoint(run).exists()


def test_9_sigterm_to_one_worker_interrupts_its_run_and_the_others_go_on(
    experiment: Experiment, watcher: Watcher
) -> None:
    struck: list[int] = []

    def strike() -> None:
        while not watcher.epochs:
            time.sleep(0.01)
        struck.extend(workers_of(os.getpid()))
        for pid in struck:
            os.kill(pid, signal.SIGTERM)

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    result = experiment(["sleeps", "tiny"], **SLOW_STEPS)
    thread.join()
    assert len(struck) == 1
    assert statuses(result) == {"sleeps": "interrupted", "tiny": "ok"}
    assert not result.interrupted
    again = experiment(["sleeps", "tiny"], **SLOW_STEPS)
    assert statuses(again) == {"sleeps": "ok", "tiny": "ok"}
    assert again.records[0].timing["resumed"] == 1


def test_9_sigterm_before_there_is_anything_to_save_is_an_interruption_too(
    experiment: Experiment, watcher: Watcher
) -> None:
    class Strikes:
        """An observer that strikes at the very start of a run."""

        @hookimpl
        def run_started(self, run: RunSpec) -> None:
            for pid in workers_of(os.getpid()):
                os.kill(pid, signal.SIGTERM)

    result = experiment("sleeps", **SLOW_STEPS, plugins=(Strikes(),))
    assert statuses(result) == {"sleeps": "interrupted"}
    assert statuses(experiment("sleeps", **SLOW_STEPS)) == {"sleeps": "ok"}


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
    assert bench.wait() == 130
    assert left_over(everything) == set()
    assert "Traceback" not in bench.err
    assert store.records() == []


@pytest.mark.parametrize(
    "second", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=str
)
def test_9_a_second_signal_stops_at_once_even_a_run_that_cannot_save(
    start: Callable[..., Bench], store: Store, second: signal.Signals
) -> None:
    bench = start("--models", "spins", "--workers", "1")
    bench.wait_until_started(1)
    time.sleep(0.5)  # past its first steps
    everything = descendants(bench.pid)
    assert workers_of(bench.pid)
    os.killpg(bench.pid, signal.SIGINT)
    bench.wait_until(lambda: "Ctrl-C again stops at once" in bench.err, "the signal was heard")
    # The worker holds its interpreter and would save nothing for a minute.
    struck = time.monotonic()
    os.killpg(bench.pid, second)
    assert bench.wait() == -second
    assert left_over(everything) == set()
    assert time.monotonic() - struck < 30
    assert store.records() == []


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


def campaign(folder: Path, kills: int, epochs: int, count: int) -> None:
    told = Campaign(folder, random.randrange(10**6), epochs, count)
    print(f"random seed {told.seed}")
    told.strike(kills)
    print(told.summary())
    assert len(told.kills) == kills
    assert {kill.victim for kill in told.kills} == {*VICTIMS}
    assert max(kill.seconds for kill in told.kills) < 10


@pytest.mark.timeout(1200)
def test_7_killed_at_random_moments_runs_lose_an_epoch_at_most_and_end_as_if_never_killed(
    tmp_path: Path,
) -> None:
    campaign(tmp_path, kills=3, epochs=3, count=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_7_killed_many_times_at_random_moments(tmp_path: Path) -> None:
    campaign(tmp_path, kills=9, epochs=6, count=3)


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
