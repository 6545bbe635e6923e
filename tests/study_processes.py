"""Processes that work on one study together, for tests of what they do to one another."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.studies import Objective, TrialState
from bench.tuning.sampling import make_sampler
from bench.tuning.shared import SharedStudy
from bench.tuning.storage import open_storage

SCORE = (Objective("score", True),)


def suggest(trial: Any) -> dict[str, Any]:
    return {
        "adamw.lr": trial.suggest_float("adamw.lr", 1e-4, 1e-1, log=True),
        "cnn.filters": trial.suggest_int("cnn.filters", 16, 64, step=16),
    }


def open_study(
    where: str | None, results: Path, facts: Mapping[str, Any] | None = None, **values: Any
) -> SharedStudy:
    storage = values.get("storage") or open_storage(where, results, print)
    objectives = values.get("objectives", SCORE)
    sampler = values.get("sampler") or make_sampler("random", 0, objectives, lambda number: None)
    return SharedStudy.open(
        storage,
        values.get("name", "cell"),
        objectives,
        sampler,
        values.get("pruner"),
        facts or {"space": {"adamw.lr": {"low": 1e-4, "high": 1e-1}}},
        results,
    )


def start(task: str, where: str | None, results: Path, count: int = 0) -> subprocess.Popen[str]:
    """Start a process that does one of the tasks below; it prints what came of it as JSON."""
    arguments = [sys.executable, __file__, task, where or "", str(results), str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answers(processes: list[subprocess.Popen[str]]) -> list[Any]:
    found = []
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert err == ""
        found.append(json.loads(out.splitlines()[-1]))
    return found


def create_many(study: SharedStudy, count: int) -> list[int]:
    """Create trials, with suggestions, and put them down."""
    numbers = []
    for _ in range(count):
        trial = study.create()
        study.note(trial.number, values=suggest(trial))
        study.release(trial.number)
        numbers.append(trial.number)
    return numbers


def claim_many(study: SharedStudy, count: int) -> list[int]:
    """Claim whatever waits until `count` trials are over; return what was won."""
    won = []
    while True:
        trials = study.trials()
        if sum(trial.state.is_over for trial in trials) == count:
            return won
        for trial in trials:
            if trial.state is TrialState.WAITING and study.claim(trial.number):
                won.append(trial.number)
                study.finish(trial.number, TrialState.COMPLETE, [0.5])
                break
        else:
            time.sleep(0.02)


def hold(study: SharedStudy, count: int) -> None:
    """Have trials in hand until the process is killed; the first lacks a suggestion."""
    for number in range(count):
        trial = study.create()
        trial.suggest_float("adamw.lr", 1e-4, 1e-1, log=True)
        if number:
            study.note(trial.number, values=suggest(trial))
    print("holding", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    task, where, results, count = sys.argv[1:]
    with open_study(where or None, Path(results)) as study:
        if task == "open":
            print(json.dumps(len(study.trials())))
        else:
            print(
                json.dumps(
                    {"create": create_many, "claim": claim_many, "hold": hold}[task](
                        study, int(count)
                    )
                )
            )
