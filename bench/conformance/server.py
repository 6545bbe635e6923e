"""The process that imports torch once and forks another one for each component to be checked.

It reads requests from stdin, a line of JSON each, and answers each by a line of JSON on the
descriptor that it is given. No plugin is ever loaded into it.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.conformance import judging, places, rules_of
from bench.conformance.recipes import Recipe
from bench.conformance.rules import LOADED, Failure, Rule

GRACE = 0.5
"""Seconds for which a rule lives on after its time, in which its stack is written down."""

LOOK = 0.5
"""Seconds between looks at whether the process is still there."""


@dataclass
class Findings:
    """What is known of a component so far.

    Attributes:
        failures: the rules that it breaks.
        skipped: rule and reason.
        folder: of its plugin's package.
    """

    failures: list[Failure] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    folder: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        failures = [judging.as_dict(failure) for failure in self.failures]
        return {"failures": failures, "skipped": [list(pair) for pair in self.skipped]}


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever is printed while something heavy is imported
    judging.start_afresh()  # which imports torch, and more of it, so that no child has to
    answers.write("{}\n")  # from now on it answers
    answers.flush()

    for line in iter(sys.stdin.buffer.readline, b""):
        request = json.loads(line)
        sys.path[:] = request["path"]
        os.environ.clear()
        os.environ.update(request["environment"])
        try:
            answer = check(Recipe(**request["recipe"]), request["seconds"]).to_dict()
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def check(recipe: Recipe, seconds: float) -> Findings:
    """Check all rules of a component, those that follow a crash in a new process."""
    rules = rules_of(recipe.kind)
    found = Findings()
    left: Sequence[Rule] = rules
    with tempfile.TemporaryDirectory(prefix="bench-check-") as folder:
        while left:
            ended = _Child(recipe, left, seconds, rules[0].name, Path(folder)).watch(found)
            broken = {failure.rule for failure in found.failures}
            if broken & {LOADED, rules[0].name}:
                rests = next(name for name in (LOADED, rules[0].name) if name in broken)
                found.skipped += [
                    (rule.name, f"it rests on `{rests}`") for rule in rules if rule.name != rests
                ]
                break
            left = left[ended:]
    return found


class _Child:
    """A process that checks some rules of a component in turn."""

    def __init__(
        self, recipe: Recipe, rules: Sequence[Rule], seconds: float, first: str, folder: Path
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._allowed = {LOADED: seconds}
        self._allowed |= {rule.name: max(seconds, rule.seconds) for rule in rules}
        self._rule = LOADED
        self._folder = folder
        self._rules = [rule.name for rule in rules]
        (folder / "stack.txt").write_text("")
        self._connection, theirs = context.Pipe(duplex=False)
        # Nobody ever writes to this pipe: it closes when this process dies, however it dies.
        life, self._life = context.Pipe(duplex=False)
        arguments = (recipe, rules, seconds, first, folder, theirs, life, self._life)
        self._process = context.Process(target=_enter, args=arguments, daemon=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
            self._process.start()
        theirs.close()
        life.close()

    def watch(self, found: Findings) -> int:
        """Take down what it tells until it ends; return how many of its rules are dealt with."""
        try:
            for words in self._told():
                match words:
                    case ("begun", name):
                        self._rule = name
                    case ("loaded", folder):
                        found.folder = folder
                    case ("failed", name, evidence, fix):
                        found.failures.append(Failure(name, evidence, fix))
                    case ("skipped", name, why):
                        found.skipped.append((name, why))
                    case _:
                        return len(self._rules)
        except TimeoutError:
            seconds = f"{self._allowed[self._rule]:g} s"
            found.failures.append(
                Failure(
                    self._rule,
                    f"no end after {seconds}{self._place(found.folder)}",
                    "end in time; `--seconds` allows more where it takes longer for good reason",
                )
            )
        except EOFError:
            self._process.join()
            how = died_of(self._process.exitcode or 0)
            evidence = f"{how}{self._place(found.folder)}"
            fix = "a plugin must not end the process: raise an exception instead"
            found.failures.append(Failure(self._rule, evidence, fix))
        finally:
            self._stop()
        done = self._rule in self._rules
        return self._rules.index(self._rule) + 1 if done else len(self._rules)

    def _told(self) -> Any:
        """Yield what the process tells.

        Raises:
            TimeoutError: it tells nothing for too long.
            EOFError: it has died.
        """
        while True:
            deadline = time.monotonic() + self._allowed[self._rule] + GRACE
            ready: list[Any] = []
            while not ready:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                ready = multiprocessing.connection.wait([self._connection, 0], min(left, LOOK))
                if not ready and self._process.exitcode is not None:
                    raise EOFError  # what it has started may hold its end of the pipe open
                if ready == [0]:
                    # Nothing is asked before the last answer was given: who asked is gone.
                    sys.exit(1)
            try:
                words = self._connection.recv()
            except OSError as error:
                raise EOFError from error
            yield words

    def _place(self, folder: str) -> str:
        """Return in brackets where in the plugin the process was, if that was written down."""
        text = (self._folder / "stack.txt").read_text("utf-8", "replace")
        place = places.of_stack(text, Path(folder) if folder else None)
        return f" ({place})" if place else ""

    def _stop(self) -> None:
        """End the process and what it has started."""
        pid = self._process.pid
        assert pid
        self._process.join(GRACE)
        if self._process.is_alive():
            self._process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        self._process.join()
        self._connection.close()
        self._life.close()


def _enter(*arguments: Any) -> None:
    """Begin in the new process: without the end of the pipe that must close with its parent."""
    *others, life = arguments
    assert isinstance(life, Connection)
    life.close()
    judging.serve(*others)


def died_of(exitcode: int) -> str:
    """Return how a process came to its end, in words."""
    if exitcode >= 0:
        return f"it ended the process with exit code {exitcode}"
    try:
        return f"it died of {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"it died of signal {-exitcode}"


if __name__ == "__main__":
    main()
