"""Trackers each of which breaks one rule."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import bench


class Log:
    """A sound one, in a file of its own."""

    def __init__(self, folder, mode="a"):
        self.folder = folder
        self.file = (folder / "log.csv").open(mode)

    def run_started(self, run):
        self.write("started", run.id)

    def epoch_finished(self, run, metrics):
        self.write("epoch", run.id, metrics.epoch, metrics.train_loss, metrics.val_loss)

    def run_finished(self, record):
        self.write("finished", record.id, record.status, record.error)

    def close(self):
        self.file.close()

    def write(self, *words):
        csv.writer(self.file).writerow(words)


class WithoutEpochs:
    """Lacks a method."""

    def __init__(self, folder):
        self.folder = folder

    def run_started(self, run):
        pass

    def run_finished(self, record):
        pass

    def close(self):
        pass


class LatestOnly(Log):
    """Knows of the run that has started last."""

    def run_started(self, run):
        self.latest = run.id
        super().run_started(run)

    def epoch_finished(self, run, metrics):
        if run.id == self.latest:
            super().epoch_finished(run, metrics)


class OneFile(Log):
    """Closes the file of a run that has ended, which may not be the one that is open."""

    def run_started(self, run):
        self.file.close()
        self.file = (self.folder / f"{run.id}.csv").open("a")
        super().run_started(run)

    def run_finished(self, record):
        self.file.close()


class WantsAccuracy(Log):
    """Reads a metric that failed runs do not have."""

    def run_finished(self, record):
        self.write("finished", record.id, record.metrics["test"]["accuracy"])


class ByLabel(Log):
    """A file for each run, with a name as long as people made it."""

    def run_started(self, run):
        name = run.label.replace("/", "_")
        (self.folder / f"{name}.txt").write_text("started\n")


class ByModel(Log):
    """A file for each model, whatever its name."""

    def run_started(self, run):
        path = self.folder / f"{run.model.name[:200]}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("started\n")


class InWorkingFolder(Log):
    """A log in the working folder."""

    def __init__(self, folder):
        super().__init__(folder)
        self.file.close()
        self.file = (Path.cwd() / "log.csv").open("a")


class AmongRuns(Log):
    """A note in the folder of each run, which is the core's own."""

    def run_started(self, run):
        (self.folder / "runs").mkdir(exist_ok=True)
        (self.folder / "runs" / f"{run.id}.txt").write_text("started\n")


class OpensLate(Log):
    """Opens its file with the first event, and closes it without."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, *words):
        if not hasattr(self, "file"):
            self.file = (self.folder / "log.csv").open("a")
        super().write(*words)


class Slow(Log):
    """Waits for an answer that takes its time."""

    def epoch_finished(self, run, metrics):
        time.sleep(0.02)
        super().epoch_finished(run, metrics)


def starts_over(folder):
    """Replace the log that is there."""
    return Log(folder, "w")


@bench.hookimpl
def register_trackers():
    return [
        bench.Tracker(name="sound", build=Log),
        bench.Tracker(name="without-epochs", build=WithoutEpochs),
        bench.Tracker(name="latest-only", build=LatestOnly),
        bench.Tracker(name="one-file", build=OneFile),
        bench.Tracker(name="wants-accuracy", build=WantsAccuracy),
        bench.Tracker(name="by-label", build=ByLabel),
        bench.Tracker(name="by-model", build=ByModel),
        bench.Tracker(name="in-working-folder", build=InWorkingFolder),
        bench.Tracker(name="among-runs", build=AmongRuns),
        bench.Tracker(name="opens-late", build=OpensLate),
        bench.Tracker(name="starts-over", build=starts_over),
        bench.Tracker(name="slow", build=Slow),
    ]
