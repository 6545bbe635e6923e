"""Kill a study at random moments, go on with it, and see that no trial is lost or made twice.

    python tests/study_kills.py --kills 20

tunes a small convolutional network on digits, in deterministic mode, with successive halving or
without a pruner, and again and again kills with SIGKILL, at a random moment of the search, the
command's whole process group, the command alone, or one of its workers alone. After each kill of a
command nothing of it lives on, and every trial that was over before is still over with the same
values. Then the same command is given again. In the end the study has as many trials as its budget,
numbered without a gap, all of them over, each run in one trial only, and every trial has come to
what it comes to when nothing is killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import Bench, in_session, left_over, workers_of

from bench import studies
from bench.studies import StudyRecord, TrialState

VICTIMS = ("group", "parent", "worker")
GONE_SECONDS = 20.0


@dataclass
class Campaign:
    """Kills of one study.

    Attributes:
        kills: victim, and trials that were over at that moment.
    """

    folder: Path
    seed: int
    pruner: str = "halving"
    trials: int = 9
    workers: int = 2
    kills: list[tuple[str, int]] = field(default_factory=list)
    commands: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def words(self) -> tuple[str, ...]:
        return (
            *("--datasets", "digits", "--models", "cnn", "--optimizers", "adamw", "--limit", "300"),
            *("--epochs", "9", "--deterministic", "--device", "cpu", "--search", "optimizer"),
            *("--tune", str(self.trials), "--sampler", "random", "--pruner", self.pruner),
            *("--workers", str(self.workers)),
        )

    def start(self, results: Path) -> Bench:
        self.commands += 1
        return Bench(results, self.words, self.folder / f"{self.commands}.log")

    def undisturbed(self) -> list[Any]:
        """Return what the study comes to when nothing is killed."""
        bench = self.start(self.folder / "undisturbed")
        assert bench.process.wait() == 0, bench.err
        return outcome(self.study(self.folder / "undisturbed"))

    def study(self, results: Path) -> StudyRecord:
        [study], warnings = studies.read_all(results)
        assert not warnings
        return study

    def strike(self, results: Path) -> bool:
        """Start the command and kill at a random moment; return whether it was in its search."""
        bench = self.start(results)
        before = self._over(results)
        try:
            while ": started (" not in bench.err and "· trial" not in bench.err:
                if bench.process.poll() is not None:
                    return False  # nothing was left to do
                time.sleep(0.02)
            time.sleep(self._random.uniform(0.0, 3.0))
            victim = self._random.choice(VICTIMS)
            if bench.process.poll() is not None:
                return False
            over = self._over(results)
            pids = in_session(bench.pid)
            if victim == "worker":
                workers = sorted(workers_of(bench.pid))
                if not workers:
                    return False
                os.kill(self._random.choice(workers), signal.SIGKILL)
                bench.process.wait()  # it goes on: the trial is tried once more
            else:
                kill = os.killpg if victim == "group" else os.kill
                kill(bench.pid, signal.SIGKILL)
                bench.process.wait()
                assert not left_over(pids, GONE_SECONDS), "something of it lives on"
            after = self._over(results)
            assert before.items() <= over.items() <= after.items(), "a trial was lost"
            self.kills.append((victim, len(over)))
            return True
        finally:
            bench.kill()

    def _over(self, results: Path) -> dict[int, Any]:
        """Return the trials that readers know to be over."""
        found, _ = studies.read_all(results)
        return {
            trial.number: (trial.state, dict(trial.scores))
            for study in found
            for trial in study.trials
            if trial.state.is_over
        }

    def finish(self, results: Path) -> StudyRecord:
        """Let the study come to its end, and check what it has come to."""
        bench = self.start(results)
        code = bench.process.wait()
        assert code == 0, bench.err
        study = self.study(results)
        assert [trial.number for trial in study.trials] == list(range(self.trials))
        assert all(trial.state.is_over for trial in study.trials)
        runs = Counter(run for trial in study.trials for run in trial.runs)
        assert max(runs.values()) == 1, "a run is in two trials"
        return study


def outcome(study: StudyRecord) -> list[Any]:
    """Return what came of the trials, without what depends on the clock."""
    return [(t.number, t.state, dict(t.params), dict(t.scores), t.epochs) for t in study.trials]


def carry_out(campaign: Campaign, kills: int, say: Any = print) -> None:
    """Kill so often, beginning a new study whenever one is finished; check each of them."""
    expected = campaign.undisturbed()
    number = 0
    while len(campaign.kills) < kills:
        results = campaign.folder / f"study-{number}"
        struck = 0
        while len(campaign.kills) < kills and campaign.strike(results):
            struck += 1
            victim, over = campaign.kills[-1]
            say(f"kill {len(campaign.kills)}: {victim}, {over} of {campaign.trials} trials over")
        study = campaign.finish(results)
        assert outcome(study) == expected, "a killed study has come to something else"
        failed = study.count(TrialState.FAILED)
        say(f"study {number}: {struck} kills, {len(study.trials)} trials, {failed} failed, as ever")
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--pruner", default="halving")
    given = parser.parse_args()
    print(f"seed {given.seed}, pruner {given.pruner}")
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), given.seed, given.pruner)
        carry_out(campaign, given.kills)
        print(f"{len(campaign.kills)} kills, {Counter(v for v, _ in campaign.kills)}")


if __name__ == "__main__":
    sys.exit(main())
