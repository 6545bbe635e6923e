"""Kill `bench` and its workers at random moments and see that nothing is lost but an epoch.

    python tests/kill_campaign.py --kills 200

trains a few runs of the digits with a small convolutional network, in deterministic mode, and
again and again kills with SIGKILL, at a random moment of the training, the command alone, its
worker alone, or the command's whole process group. After each kill it checks that

- the run was in training: its curve is there, its worker has used processor time, and its record
  tells after the kill that it had not ended;
- no process of the command's session lives on (of a killed worker: not the worker);
- every record that was finished is still there, byte for byte;
- the state that is on disk lacks at most one finished epoch, or those that ended within the
  seconds in which no state is saved after the last one.

Then it gives the same command again. In the end every run is ok, and its predictions and weights
have the SHA-256 of runs that nothing has interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from processes import Bench, in_session, left_over, processes, workers_of

from bench.engine.checkpoint import SHORTEST_SECONDS
from bench.records import RunRecord, RunStatus
from bench.store import Store

VICTIMS = ("parent", "worker", "group")
ARTIFACTS = ("predictions.npz", "model.safetensors")
RATES = (0.001, 0.002, 0.003)
GONE_SECONDS = 10.0
"""A busy machine may take a while to bury a process; the slowest is told."""


@dataclass(frozen=True)
class Kill:
    """A kill that hit a run in training.

    Attributes:
        finished: epochs that the run had finished, in this attempt and before.
        saved: of these, how many are in the state on disk.
        seconds: until nothing was left that should be gone.
    """

    victim: str
    run: str
    finished: int
    saved: int
    seconds: float

    @property
    def redone(self) -> int:
        return self.finished - self.saved

    def __str__(self) -> str:
        return (
            f"{self.victim:6} {self.run}: in epoch {self.finished + 1}, {self.saved} saved, "
            f"{self.redone} to be redone, gone in {self.seconds:.2f} s"
        )


@dataclass
class Campaign:
    """Kills, and what they have come to.

    Attributes:
        epochs: of each run; one takes a little more than a second on an idle core.
        count: of runs, with different learning rates.
        misses: kills that came too late, after the end of a run.
        confirmed: runs seen to go on, after a kill, with the epoch that follows the saved ones.
    """

    folder: Path
    seed: int
    epochs: int = 12
    count: int = len(RATES)
    say: Callable[[str], None] = print
    kills: list[Kill] = field(default_factory=list)
    misses: int = 0
    commands: int = 0
    confirmed: int = 0
    runs_finished: int = 0
    rounds: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._finished: dict[Path, bytes] = {}
        self._known: dict[str, Kill] = {}
        self._victims: list[str] = []
        self._wanted = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The command line but for its results folder."""
        rates = ",".join(map(str, RATES[: self.count]))
        return (
            *("--datasets", "digits", "--models", "cnn", "--optimizers", "adamw"),
            *("--set", f"adamw.lr={rates}", "--epochs", str(self.epochs)),
            *("--input-size", "40", "--batch-size", "32", "--augmentation", "light"),
            *("--deterministic", "--threads", "1", "--device", "cpu"),
        )

    def strike(self, kills: int) -> None:
        """Carry out an experiment under fire, again and again, until so many kills have hit."""
        self._wanted = kills
        reference = self._reference()
        while len(self.kills) < kills:
            self.rounds += 1
            store = Store(self.folder / f"round-{self.rounds}")
            self._finished, self._known = {}, {}
            while self._command(store) != 0:
                pass
            records = store.records()
            assert store.warnings == []
            assert [record.status for record in records] == [RunStatus.OK] * self.count
            assert sums(store) == reference, "not the result of runs that were not interrupted"
            assert not list(store.root.rglob("*.tmp"))
            assert not list(store.root.rglob("checkpoint.pt"))
            self.runs_finished += len(records)
            self.say(f"round {self.rounds}: {self.count} runs equal to the uninterrupted ones")

    def _reference(self) -> dict[str, dict[str, str]]:
        store = Store(self.folder / "reference")
        with self._bench(store) as bench:
            assert bench.process.wait() == 0, bench.err
        found = sums(store)
        assert len(found) == self.count, bench.err
        return found

    @contextlib.contextmanager
    def _bench(self, store: Store) -> Iterator[Bench]:
        self.commands += 1
        bench = Bench(store.root, self.words, self.folder / f"command-{self.commands}.txt")
        try:
            yield bench
        finally:
            bench.kill()

    def _command(self, store: Store) -> int | None:
        """Give the command and kill it or its workers; return how it ended."""
        began, known = time.time(), dict(self._known)
        with self._bench(store) as bench:
            while len(self.kills) < self._wanted:
                run = self._wait_for_training(bench, store, began)
                if run is None or not self._kill(bench, store, run):
                    break
            code = bench.process.wait()
            assert left_over(in_session(bench.pid), GONE_SECONDS) == set()
        self._check_finished(store)
        if code >= 0:
            for record in store.records():
                killed = record.status is RunStatus.CRASHED and "SIGKILL" in str(record.error)
                assert killed or record.status is RunStatus.OK, record.error
        self._confirm(bench, known)
        return code

    def _wait_for_training(self, bench: Bench, store: Store, began: float) -> str | None:
        """Return the run that is in training once a random moment has come; None at the end."""
        more, delay = self._random.randrange(2), self._random.uniform(0, 1.5)
        wanted: tuple[str, int] | None = None
        while bench.process.poll() is None:
            run = (bench.started() or [""])[-1]
            curve = store.attempt(run) / "epochs.jsonl"
            if run and _is_newer(curve, began):
                lines = len(_lines(curve))
                if wanted is None or wanted[0] != run:
                    wanted = run, lines + more
                    ticks = _ticks(bench)
                elif lines >= wanted[1]:
                    time.sleep(delay)
                    while not _advanced(ticks, _ticks(bench)) and bench.process.poll() is None:
                        time.sleep(0.01)
                    return run
            time.sleep(0.01)
        return None

    def _kill(self, bench: Bench, store: Store, run: str) -> bool:
        """Kill somebody while a run is in training; return whether the command goes on."""
        if not self._victims:
            self._victims = self._random.sample(VICTIMS, len(VICTIMS))
        victim = self._victims.pop()
        self._note_finished(store)
        workers = workers_of(bench.pid)
        if victim == "worker":
            doomed = set(workers)
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:
            doomed = in_session(bench.pid)
            with contextlib.suppress(ProcessLookupError):  # it has just ended: a miss
                (os.kill if victim == "parent" else os.killpg)(bench.pid, signal.SIGKILL)
        struck = time.monotonic()
        if victim != "worker":
            bench.process.wait()
            doomed |= in_session(bench.pid)
        assert left_over(doomed, GONE_SECONDS) == set(), f"it outlived the {victim}"
        seconds = time.monotonic() - struck
        if victim == "worker":
            ended = f"({run})"
            while ended not in bench.err.split(f"started {ended}")[-1]:
                if bench.process.poll() is not None or _is_ok(store, run):
                    break
                time.sleep(0.01)
        self._check_finished(store)
        if not workers or _is_ok(store, run):
            self.misses += 1
            self._victims.append(victim)
            return victim == "worker"
        self._note(victim, store, run, seconds)
        return victim == "worker"

    def _note(self, victim: str, store: Store, run: str, seconds: float) -> None:
        """Note a kill that hit, and check what the state on disk lacks."""
        # A run that crashed has a record, and its files beside it.
        place = store.folder(run) if victim == "worker" else store.attempt(run)
        lines = _lines(place / "epochs.jsonl")
        saved = 0
        if store.checkpoint(run).exists():
            saved = len(torch.load(store.checkpoint(run), weights_only=True)["history"])
        kill = Kill(victim, run, len(lines), saved, seconds)
        unsaved = [json.loads(line)["seconds"] for line in lines[saved:]]
        # The last of them may have ended just before its state would have been saved.
        assert sum(unsaved[:-1]) < SHORTEST_SECONDS, f"more than an epoch is lost: {kill}"
        self.kills.append(kill)
        self._known[run] = kill
        self.say(f"kill {len(self.kills)} of {self._wanted}: {kill}")

    def _confirm(self, bench: Bench, known: dict[str, Kill]) -> None:
        """Check that runs went on after what had been saved when they were killed before."""
        for run, epochs in bench.epochs().items():
            if epochs and run in known:
                assert epochs[0] == known[run].saved + 1, f"{known[run]}, then {epochs}"
                self.confirmed += 1
            assert all(b == a + 1 for a, b in itertools.pairwise(epochs)), epochs

    def _note_finished(self, store: Store) -> None:
        for record in store.records():
            if record.status is RunStatus.OK:
                path = store.folder(record.id) / "record.json"
                self._finished[path] = path.read_bytes()

    def _check_finished(self, store: Store) -> None:
        for path, content in self._finished.items():
            assert path.read_bytes() == content, f"`{path}` has changed"

    def summary(self) -> str:
        """Return the figures, one a line."""
        redone = [kill.redone for kill in self.kills]
        victims = Counter(kill.victim for kill in self.kills)
        slowest = max(kill.seconds for kill in self.kills)
        late = sum(kill.seconds > 2 for kill in self.kills)
        lines = {
            "random seed": self.seed,
            "kills that hit a run in training": len(self.kills),
            **{f"  {victim}": victims[victim] for victim in VICTIMS},
            "kills that came too late": self.misses,
            "commands given": self.commands,
            "runs finished, equal to uninterrupted ones": self.runs_finished,
            "finished epochs redone a kill, mean": f"{statistics.mean(redone):.3f}",
            "finished epochs redone a kill, max": max(redone),
            "went on with the epoch after the saved ones": self.confirmed,
            "orphans": 0,
            "slowest to be gone": f"{slowest:.2f} s ({late} took more than 2 s)",
        }
        return "\n".join(f"{name}: {value}" for name, value in lines.items())


def sums(store: Store) -> dict[str, dict[str, str]]:
    """Return the SHA-256 of every artifact of every run that ended well."""
    return {
        record.id: {
            name: hashlib.sha256((store.folder(record.id) / name).read_bytes()).hexdigest()
            for name in ARTIFACTS
        }
        for record in store.records()
        if record.status is RunStatus.OK
    }


def _is_ok(store: Store, run: str) -> bool:
    record: RunRecord | None = store.read(run)
    return record is not None and record.status is RunStatus.OK


def _is_newer(path: Path, moment: float) -> bool:
    """Return whether a file has been written since then: an earlier attempt leaves one as well."""
    try:
        return path.stat().st_mtime > moment
    except FileNotFoundError:
        return False


def _lines(path: Path) -> list[str]:
    """Return the whole lines of a curve, which may grow or move away at any moment."""
    try:
        return path.read_text().rpartition("\n")[0].splitlines()
    except FileNotFoundError:
        return []


def _ticks(bench: Bench) -> dict[int, int]:
    """Return the processor time of each worker."""
    everything = processes()
    return {pid: everything[pid].ticks for pid in workers_of(bench.pid) if pid in everything}


def _advanced(before: dict[int, int], now: dict[int, int]) -> bool:
    """Return whether some worker has computed meanwhile."""
    return any(now[pid] > before.get(pid, 0) for pid in now)


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill bench at random moments.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    begin = time.monotonic()
    # What it has started ends with it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="bench-kills-") as folder:
        os.environ["BENCH_CACHE"] = str(Path(folder) / "cache")

        def say(text: str) -> None:
            print(f"{time.monotonic() - begin:6.0f} s  {text}", flush=True)

        say(f"random seed {arguments.seed}")
        campaign = Campaign(Path(folder), arguments.seed, arguments.epochs, say=say)
        campaign.strike(arguments.kills)
    print(campaign.summary())


if __name__ == "__main__":
    main()
