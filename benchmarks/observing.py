"""What it costs a run to tell its observers, and what telling takes them in their own threads.

Three parts. (1) The CPU seconds that the runner spends on telling an epoch to nobody, to one
observer that does nothing, and to five: the median over many epochs. (2) What the trackers take to
be told of a run of twenty epochs, event by event: TensorBoard's files and MLflow's database, each
in a fresh folder, after the first run has made what is made once. (3) Experiments of short runs
without and with both trackers, in the order A B B A in each round, with one warm worker: wall
seconds from the start of the first run to the end of the last, and the seconds of an epoch as the
worker has measured them. The process that trackers run in is not the worker's; its CPU seconds
show what they take where a core is free for them.

    python benchmarks/observing.py [--rounds N] [--runs N]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench import api, hardware
from bench.config import ExperimentConfig
from bench.hookspecs import hookimpl
from bench.observing import CAPACITY, Observers
from bench.plan import plan
from bench.records import EpochMetrics, RunRecord, RunSpec, RunStatus
from bench.registry import Registry, load_registry

EPOCH = EpochMetrics(1, 20, 0.5, 0.8, 0.6, 0.7, 0.1, 1.0, 1000.0, 32, 0.7)
EXPERIMENT = {
    "datasets": "fashion-mnist-mini",
    "models": "cnn",
    "epochs": 5,
    "limit": 500,
    "threads": 1,
    "device": "cpu",
    "keep": "none",
    "pictures": "none",
}
TRACKERS = ("tensorboard", "mlflow")


class Idle:
    """An observer that does nothing."""

    @hookimpl
    def epoch_finished(self, run, metrics):
        """Do nothing."""


class Silent:
    """A console that shows nothing, and notes when runs start and end."""

    def __init__(self):
        self.times = []

    def __getattr__(self, name):
        return lambda *arguments: None

    @hookimpl
    def run_started(self, run):
        """Note the time."""
        self.times.append(time.perf_counter())

    @hookimpl
    def run_finished(self, record):
        """Note the time."""
        self.times.append(time.perf_counter())


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--runs", type=int, default=8, help="runs of each experiment")
    options = parser.parse_args()
    print(
        f"{hardware.cpu_name()}, {hardware.cpu_count()} cores, python {platform.python_version()}; "
        f"load average before {os.getloadavg()[0]:.1f}"
    )
    registry = load_registry()
    config = ExperimentConfig.create(EXPERIMENT)
    spec = plan(config, registry).runs[0]
    spec = RunSpec(**{**vars(spec), "key": {"dataset": {"fingerprint": "f"}, "seed": 0}})
    print("\n(1) telling an epoch, in the thread of the runner")
    for count in (0, 1, 5):
        print(f"  {count} observers: {1e6 * telling(spec, count):,.1f} us")
    print("\n(2) being told, in the thread of the tracker")
    for name in TRACKERS:
        report(name, spec, registry)
    print(f"\n(3) experiments of {options.runs} runs, {options.rounds} rounds of A B B A")
    compare(options.rounds, options.runs)
    print(f"load average after {os.getloadavg()[0]:.1f}")


def telling(spec, count):
    """Return the CPU seconds that telling one epoch takes."""
    registry = Registry()
    for number in range(count):
        registry.manager.register(Idle(), name=f"idle-{number}")
    seconds = []
    with Observers(registry, (), Path(), print) as observers:
        for number in range(2_000):
            if number % (CAPACITY // 2) == 0:
                time.sleep(0.2)  # their queues are bounded
            start = time.thread_time()
            observers.tell("epoch_finished", {"run": spec, "metrics": EPOCH})
            seconds.append(time.thread_time() - start)
    return statistics.median(seconds)


def report(name, spec, registry):
    """Print what a tracker takes for each kind of event."""
    tracker = registry.get("tracker", name).component
    record = RunRecord(
        spec,
        RunStatus.OK,
        metrics={"val": {"accuracy": 0.7, "n": 100}, "test": {"accuracy": 0.7, "n": 100}},
        timing={"epochs": 20, "train_seconds": 20.0},
    )
    with tempfile.TemporaryDirectory() as folder:
        start = (time.perf_counter(), time.process_time())
        session = tracker.factory(Path(folder))
        for number in range(3):
            run = RunSpec(**{**vars(spec), "seed": number, "key": {**spec.key, "seed": number}})
            ended = RunRecord(**{**vars(record), "spec": run})
            began = timed(session.run_started, run)
            epochs = [timed(session.epoch_finished, run, EPOCH) for _ in range(20)]
            finished = timed(session.run_finished, ended)
            if not number:
                first = (time.perf_counter() - start[0], time.process_time() - start[1])
                print(f"  {name}: all of the first run {told(first, 1, 's')}")
        session.close()
    epoch = [statistics.median(column) for column in zip(*epochs, strict=True)]
    print(
        f"    of a later one: start {told(began, 1e3, 'ms')}, epoch {told(epoch, 1e3, 'ms')}, "
        f"end {told(finished, 1e3, 'ms')}"
    )


def timed(function, *arguments):
    """Return the seconds of a call, and those of the CPU."""
    start = (time.perf_counter(), time.process_time())
    function(*arguments)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def told(seconds, factor, unit):
    """Return seconds of a clock and of the CPU in words."""
    wall, cpu = (factor * value for value in seconds)
    return f"{wall:.2f} {unit} (CPU {cpu:.2f})"


def compare(rounds, runs):
    """Print the seconds of experiments without and with trackers."""
    wall = {False: [], True: []}
    own = {False: [], True: []}
    epochs = {False: [], True: []}
    for tracked in [False, True, True, False] * rounds:
        with tempfile.TemporaryDirectory() as folder:
            values = {**EXPERIMENT, "seeds": runs, "results": folder}
            config = ExperimentConfig.create(
                {**values, **({"trackers": TRACKERS} if tracked else {})}
            )
            registry = load_registry()
            console = Silent()
            began = time.process_time()
            result = api.execute(config, registry, *api.prepare(config, registry), console)
            assert not result.failed
            own[tracked].append(time.process_time() - began)
            wall[tracked].append(console.times[-1] - console.times[0])
            epochs[tracked] += [
                record.timing["train_seconds"] / record.timing["epochs"]
                for record in result.records
            ]
    for tracked, name in ((False, "without"), (True, "with both")):
        print(
            f"  {name:9}: {statistics.median(wall[tracked]):.2f} s "
            f"({min(wall[tracked]):.2f} to {max(wall[tracked]):.2f}), "
            f"an epoch {1e3 * statistics.median(epochs[tracked]):.0f} ms; CPU of this process "
            f"{statistics.median(own[tracked]):.1f} s"
        )


if __name__ == "__main__":
    sys.exit(main())
