"""What goes on in the process that checks one component: its rules, one by one."""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench import downloads
from bench.conformance import places
from bench.conformance.common import PRINTED
from bench.conformance.recipes import Recipe
from bench.conformance.rules import DATA_DIR, LOADED, Broken, Failure, Rule, Skipped, after_name
from bench.errors import BenchError
from bench.lifeline import die_with_writer
from bench.registry import Offer
from bench.text import one_line

Say = Callable[..., None]


def serve(
    recipe: Recipe,
    rules: Sequence[Rule],
    seconds: float,
    first: str,
    folder: Path,
    connection: Connection,
    life: Connection,
) -> None:
    """Check a component in a process that has just been forked, and tell how each rule goes.

    Args:
        recipe: the component.
        rules: what it is to keep to.
        first: the rule without which the others are not checked.
        seconds: after which the stack is written down of a rule that has not ended.
        folder: takes what is printed, and the stack.
        connection: takes what is told: tuples, the first word of which says what.
        life: the reading end of a pipe that closes when the parent is gone.
    """
    # A group of its own, so that whatever a plugin starts ends together with this process.
    os.setpgid(0, 0)
    die_with_writer(life.fileno())
    _redirect(folder)
    # What is made here for a while goes with the folder, however this process ends.
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None

    def say(*words: Any) -> None:
        connection.send(words)

    with (folder / "stack.txt").open("a") as stack, downloads.offline():
        faulthandler.enable(stack)
        say("begun", LOADED)
        faulthandler.dump_traceback_later(seconds, file=stack)
        DATA_DIR.set(Path(recipe.data_dir) if recipe.data_dir else None)
        outcome = attempt(LOADED, recipe.offer)
        say("loaded", str(places.folder_of(recipe.module) or ""))
        if isinstance(outcome, Offer):
            for rule in rules:
                say("begun", rule.name)
                faulthandler.dump_traceback_later(max(seconds, rule.seconds), file=stack)
                told = judge(rule, outcome)
                if told is not None:
                    say(*told)
                    if rule.name == first and told[0] == "failed":
                        break
        else:
            say(*outcome)
        faulthandler.cancel_dump_traceback_later()
    say("done")
    connection.close()


def judge(rule: Rule, offer: Offer) -> tuple[str, ...] | None:
    """Check one rule in this process; return what is wrong, None where nothing is."""
    folder = places.folder_of(offer.plugin.module)
    start_afresh()
    outcome = attempt(rule.name, lambda: rule.check(offer), folder, offer)
    # What the C library has printed is in its own buffer.
    ctypes.CDLL(None).fflush(None)
    sys.stdout.flush()
    return outcome if isinstance(outcome, tuple) else None


def attempt(
    rule: str, work: Callable[[], Any], folder: Path | None = None, offer: Offer | None = None
) -> Any:
    """Return what some work returns; or, as a tuple, how it failed or why it was skipped."""
    try:
        return work()
    except Skipped as error:
        return "skipped", rule, str(error)
    except Broken as error:
        return "failed", rule, error.evidence, error.fix
    except (Exception, SystemExit) as error:
        failure = of_error(rule, error, folder, offer)
        return "failed", failure.rule, failure.evidence, failure.fix


def of_error(rule: str, error: BaseException, folder: Path | None, offer: Offer | None) -> Failure:
    """Return the failure that an error is which a rule met with."""
    traceback.print_exception(error)
    place = places.of_error(error, folder)
    if isinstance(error, BenchError):
        # The core's own messages say what is wrong and what is needed.
        fix = f"mend {place}" if place else "return what is needed instead"
        return Failure(rule, after_name(error, offer) if offer else one_line(str(error)), fix)
    evidence = one_line(f"it raised {type(error).__name__}: {error}")
    if place:
        return Failure(rule, f"{evidence} ({place})", f"mend {place}")
    if isinstance(error, TypeError) and offer is not None:
        kind = offer.component.kind  # most likely it was called with what it does not take
        fix = f"take what a {kind} is given: `bench plugins new NAME --kind {kind}` writes one"
        return Failure(rule, evidence, fix)
    return Failure(rule, evidence, "mend what raises it")


def as_dict(failure: Failure) -> dict[str, str]:
    """Return a failure as plain data."""
    return dataclasses.asdict(failure)


def _redirect(folder: Path) -> None:
    """Send what is printed to files, stdout and stderr apart, and read nothing from stdin."""
    printed = folder / "stdout.txt"
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for target, path in ((1, printed), (2, folder / "stderr.txt")):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), target)
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    PRINTED.set(printed)


def start_afresh() -> None:
    """Put torch where every rule finds it, whatever the one before has done to it."""
    import torch

    from bench.engine import device

    device.reset_process()
    torch.set_num_threads(1)
    device.seed_everything(0)
