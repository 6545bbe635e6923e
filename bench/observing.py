"""Observers of runs: each is told in a thread of its own, so that none can hold up a run.

Plugins that implement the observing hooks are observers, and so are the trackers of an experiment.
What they are told waits in a queue of limited length; what does not fit is lost to them, and
counted. Whatever they raise, and however long they take, every run goes on and has its record.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.addresses import masked
from bench.errors import BenchError
from bench.foreign_code import stdout_to_stderr
from bench.records import ComponentRef
from bench.registry import Registry
from bench.specs import Tracker
from bench.text import duration, one_line

HOOKS = ("run_started", "epoch_finished", "run_finished")
CAPACITY = 1_000
"""How many events may wait for an observer; starts and ends of runs may twice as many."""
START_SECONDS = 1.0
"""How long an experiment waits for its trackers to be built; it starts beside those that take
longer."""
END_SECONDS = 10.0
"""How long an experiment waits in the end until its observers, all of them, have been told all."""
PATIENCE_SECONDS = 1.0
"""How long it waits without a word."""

OWN = BenchError.__module__

Calls = Mapping[str, Callable[..., None]]
"""What to call by the name of a hook, and `close` where there is something to be closed."""


class Listener:
    """One observer: what it is still to be told, and the thread that tells it.

    Args:
        label: how messages name it.
        remedy: what a user can do about one that fails.
        hooks: those that it is to be told of.
        prepare: called in the thread, first of all; returns what to call.
        say: prints a line.
    """

    def __init__(
        self,
        label: str,
        remedy: str,
        hooks: Collection[str],
        prepare: Callable[[], Calls],
        say: Callable[[str], None],
    ) -> None:
        self.label = label
        self._hooks = hooks
        self._remedy = remedy
        self._prepare = prepare
        self._say = say
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._change = threading.Condition()
        self._told = 0
        self._lost = 0
        self._is_off = False
        self._is_ending = False
        self._is_given_up = False
        self._has_warned = False
        self._in_hand = False
        self._is_awaited = True
        self._refusal: BenchError | None = None
        self._is_ready = threading.Event()
        # Of its own: a `join` that Ctrl-C breaks off takes the thread for ended on Python 3.11.
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"bench {label}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def check(self, seconds: float) -> None:
        """Wait until it is ready, but not longer than this.

        Raises:
            BenchError: it says what is wrong with its params or with this machine.
        """
        self._is_ready.wait(max(seconds, 0.0))
        with self._change:
            self._is_awaited = False
        if self._refusal is not None:
            if self.label in str(self._refusal):
                raise self._refusal
            # A class of the plugin's own may take more than a text.
            ours = next(each for each in type(self._refusal).__mro__ if each.__module__ == OWN)
            raise ours(f"{self.label}: {masked(str(self._refusal))}") from self._refusal

    def tell(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Have it told of something, if it wants to know and there is room."""
        if hook not in self._hooks:
            return
        limit = CAPACITY if hook == "epoch_finished" else 2 * CAPACITY
        # It gets its own: what it does to them is no concern of the runs.
        event = (hook, copy.deepcopy(dict(arguments)))
        with self._change:
            self._told += 1
            if self._is_off or len(self._waiting) >= limit:
                self._lost += 1
                return
            self._waiting.append(event)
            self._change.notify()

    def end(self) -> None:
        """Say that nothing more will come."""
        with self._change:
            self._is_ending = True
            self._change.notify()

    def join(self, seconds: float) -> bool:
        """Return whether it has been told all and is done, within this time."""
        return self._is_done.wait(max(seconds, 0.0))

    @property
    def left(self) -> int:
        """How many events still wait for it."""
        return len(self._waiting)

    def sum_up(self) -> str | None:
        """Give it up if it is not done yet; return what is to be said of what it has missed."""
        with self._change:
            late = not self._is_done.is_set()
            self._is_given_up = True
            # What is in hand may never come to an end.
            lost = self._lost + len(self._waiting) + (late and self._in_hand)
            self._waiting.clear()
        if not lost and not late:
            return None
        what = f"{self.label} missed {lost:,} of {self._told:,} events"
        if late:
            what += " and was not waited for any longer"
        return what if self._has_warned else f"warning: {what}; {self._remedy}"

    def _listen(self) -> None:
        try:
            self._be_told()
        finally:
            self._is_done.set()

    def _be_told(self) -> None:
        try:
            calls = self._prepare()
        except BaseException as error:  # even SystemExit is the observer's own affair
            with self._change:
                self._is_off = True
                self._lost += len(self._waiting)
                self._waiting.clear()
                if isinstance(error, BenchError) and self._is_awaited:
                    self._refusal = error
            if self._refusal is None:
                self._warn("build", error)
            return
        finally:
            self._is_ready.set()
        while (event := self._next()) is not None:
            hook, arguments = event
            self._call(hook, calls[hook], arguments)
        if "close" in calls and not self._is_given_up:
            self._call("close", calls["close"], {})

    def _next(self) -> tuple[str, dict[str, Any]] | None:
        """Return what is to be told next; None where nothing more will come."""
        with self._change:
            while not (self._waiting or self._is_ending or self._is_given_up):
                self._change.wait()
            self._in_hand = bool(self._waiting) and not self._is_given_up
            return self._waiting.popleft() if self._in_hand else None

    def _call(self, hook: str, function: Callable[..., None], arguments: dict[str, Any]) -> None:
        try:
            function(**arguments)
        except BaseException as error:
            with self._change:
                self._lost += hook in HOOKS
            self._warn(hook, error)

    def _warn(self, hook: str, error: BaseException) -> None:
        """Name it, once."""
        if self._has_warned or self._is_given_up:
            return
        self._has_warned = True
        reason = one_line(masked(f"{type(error).__name__}: {error}"), 160)
        self._say(f"warning: `{hook}` of {self.label} failed: {reason}; runs go on, {self._remedy}")


class Observers:
    """All who are told of the runs of an experiment, beside the console.

    Used as a context: they are made ready when it is entered, and when it is left they are waited
    for, `END_SECONDS` at most. What they print in between goes to stderr.

    Args:
        registry: the plugins that observe.
        trackers: those chosen for the experiment.
        folder: the results folder.
        say: prints a line; called from several threads.
        console: the plugin that is told otherwise.
    """

    def __init__(
        self,
        registry: Registry,
        trackers: Sequence[ComponentRef],
        folder: Path,
        say: Callable[[str], None],
        console: object = None,
    ) -> None:
        self._say = say
        self._stack = contextlib.ExitStack()
        self._listeners: list[Listener] = []
        for name, plugin in registry.manager.list_name_plugin():
            calls = {} if plugin is None or plugin is console else _hooks(registry, plugin)
            if calls:
                remedy = f"`bench plugins info {name}` says whose it is"
                self._add(f"plugin `{name}`", remedy, calls, functools.partial(dict, calls))
        for ref in trackers:
            tracker = registry.of("tracker", ref).component
            assert isinstance(tracker, Tracker)
            remedy = "see that what it writes to answers, or leave it out of `--trackers`"
            prepare = functools.partial(_opened, tracker, ref, folder)
            self._add(f"tracker `{ref.name}`", remedy, HOOKS, prepare)

    def _add(
        self, label: str, remedy: str, hooks: Collection[str], prepare: Callable[[], Calls]
    ) -> None:
        self._listeners.append(Listener(label, remedy, hooks, prepare, self._say))

    def __enter__(self) -> Self:
        if not self._listeners:
            return self
        with contextlib.ExitStack() as stack:
            stack.enter_context(stdout_to_stderr())
            stack.callback(self._end)
            for listener in self._listeners:
                listener.start()
            deadline = time.monotonic() + START_SECONDS
            for listener in self._listeners:
                listener.check(deadline - time.monotonic())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def tell(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Tell all of something, without waiting for any."""
        for listener in self._listeners:
            listener.tell(hook, arguments)

    def _end(self) -> None:
        """Wait until all have been told all, but not for long; Ctrl-C ends the waiting."""
        for listener in self._listeners:
            listener.end()
        now = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):
            self._wait(now + PATIENCE_SECONDS)
            slow = [each for each in self._listeners if not each.join(0)]
            for listener in slow:
                self._say(
                    f"waiting for {listener.label}, {duration(END_SECONDS)} at most: "
                    f"{listener.left:,} events left"
                )
            self._wait(now + END_SECONDS)
        for listener in self._listeners:
            said = listener.sum_up()
            if said is not None:
                self._say(said)

    def _wait(self, until: float) -> None:
        for listener in self._listeners:
            listener.join(until - time.monotonic())


def _hooks(registry: Registry, plugin: object) -> Calls:
    """Return the observing hooks that a plugin implements."""
    calls: dict[str, Callable[..., None]] = {}
    for hook in HOOKS:
        for implementation in getattr(registry.manager.hook, hook).get_hookimpls():
            if implementation.plugin is plugin:
                calls[hook] = _taking(
                    implementation.function,
                    (*implementation.argnames, *implementation.kwargnames),
                )
    return calls


def _taking(function: Callable[..., None], names: Sequence[str]) -> Callable[..., None]:
    """Return a function that takes all arguments of a hook; an implementation may want fewer."""
    return lambda **given: function(*(given[name] for name in names))


def _opened(tracker: Tracker, ref: ComponentRef, folder: Path) -> Calls:
    """Return what to call of a tracker's session."""
    session = tracker.build(folder, **ref.params)
    # By position: what its methods call their arguments is their own affair.
    told = {name: functools.partial(_by_position, getattr(session, name)) for name in HOOKS}
    return {**told, "close": session.close}


def _by_position(method: Callable[..., None], **arguments: Any) -> None:
    method(*arguments.values())
