"""Components checked by the rules of their kinds, each in a process of its own.

A plugin that crashes, hangs or prints gets its verdict; whoever asks for it is left alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

from bench.conformance.recipes import Recipe, suited
from bench.conformance.rules import LOADED, Failure
from bench.registry import Offer

SECONDS = 60.0
"""What a rule may take where nobody allows more; on a busy machine an import alone takes long."""


@dataclass(frozen=True)
class Verdict:
    """What the rules say of a component.

    Attributes:
        kind: of the component.
        name: of the component.
        plugin: the name of its plugin.
        failures: the rules that it breaks.
        skipped: by rule, why it could not be checked here.
        seconds: what checking took.
    """

    kind: str
    name: str
    plugin: str
    failures: tuple[Failure, ...] = ()
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it breaks no rule."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Return what `bench plugins check --json` says of it."""
        failures = [dataclasses.asdict(failure) for failure in self.failures]
        return {"kind": self.kind, "name": self.name, "ok": self.ok, "failures": failures}


def check(
    offers: Iterable[Offer],
    seconds: float = SECONDS,
    params: Mapping[str, Any] | None = None,
    told: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Check components one after the other.

    Args:
        offers: the components.
        seconds: what a rule may take.
        params: used in place of the defaults of these names, by the components that have them.
        told: is called with each verdict as soon as it is known.
    """
    verdicts = []
    with Checker() as checker:
        for offer in offers:
            verdict = checker.check(Recipe.of(offer, suited(params or {}, offer)), seconds)
            told(verdict)
            verdicts.append(verdict)
    return verdicts


class Checker:
    """The processes in which components are checked."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._answers: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Return this; the first check starts the server."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all processes."""
        self.close()

    def check(self, recipe: Recipe, seconds: float = SECONDS) -> Verdict:
        """Return what the rules say of a component."""
        if self._server is None:
            self._start()
        start = time.perf_counter()
        answer = self._ask(recipe, seconds)
        failures: tuple[Failure, ...] = ()
        skipped: dict[str, str] = {}
        if answer is None:
            fix = "leave other processes alone"
            failures = (Failure(LOADED, "it killed the process that checks it", fix),)
            self.close()
        elif "error" in answer:
            raise RuntimeError(f"the conformance kit itself failed:\n{answer['error']}")
        else:
            failures = tuple(Failure(**each) for each in answer["failures"])
            skipped = dict(answer["skipped"])
        spent = time.perf_counter() - start
        return Verdict(recipe.kind, recipe.name, recipe.plugin, failures, skipped, spent)

    def close(self) -> None:
        """End all processes; the next check starts others."""
        server, answers = self._server, self._answers
        self._server = self._answers = None
        if server is None or answers is None:
            return
        assert server.stdin is not None
        with contextlib.suppress(OSError):
            server.stdin.close()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        answers.close()

    def _ask(self, recipe: Recipe, seconds: float) -> dict[str, Any] | None:
        """Return what the server answers; None where it has died over it."""
        assert self._server is not None
        assert self._server.stdin is not None
        assert self._answers is not None
        request = {
            "recipe": dataclasses.asdict(recipe),
            "seconds": seconds,
            "path": search_path(),
            "environment": dict(os.environ),
        }
        try:
            self._server.stdin.write(json.dumps(request).encode() + b"\n")
            self._server.stdin.flush()
            line = self._answers.readline()
        except ConnectionError:  # a pipe that nobody reads any longer
            return None
        except BaseException:
            # Nobody waits for this answer any longer; the next one asked must not get it.
            self.close()
            raise
        answer: dict[str, Any] | None = json.loads(line) if line else None
        return answer

    def _start(self) -> None:
        """Start the server, and wait until it has imported what all components need."""
        reading, writing = os.pipe()
        try:
            self._server = subprocess.Popen(
                # Without the working folder, in which there may be a file called `torch.py`.
                [sys.executable, "-P", "-m", "bench.conformance.server", str(writing)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(writing,),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path())},
                # Ctrl-C is for whoever asks; what it has asked for ends with it.
                start_new_session=True,
            )
        finally:
            os.close(writing)
        self._answers = os.fdopen(reading, "rb")
        try:
            greeting = self._answers.readline()
        except BaseException:
            self.close()
            raise
        if not greeting:
            self.close()
            raise RuntimeError("the process in which components are checked did not start")


def search_path() -> list[str]:
    """Return where this process looks for modules, whatever the working folder of the other."""
    return [os.path.abspath(entry) for entry in sys.path]
