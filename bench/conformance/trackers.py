"""Rules of trackers: whatever becomes of runs, it is taken down, and only where it belongs."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.conformance import run_samples as samples
from bench.conformance import writing
from bench.conformance.evidence import raised
from bench.conformance.rules import Broken, Skipped, rule
from bench.observing import END_SECONDS, HOOKS
from bench.records import RunSpec, RunStatus
from bench.specs import Tracker
from bench.store import Store
from bench.text import listing, one_line

if TYPE_CHECKING:
    from bench.registry import Offer

EPOCHS = 30
LIMIT = 60.0
"""Seconds that a rule may take: what is told of runs in databases makes one anew for each."""
KEPT = 0.8
"""Part of the bytes that have to be there again: databases fill their pages as they like."""


@rule("tracker", LIMIT)
def follows_a_run(offer: Offer) -> None:
    """A session is built and told of a run from its start to its end."""
    with _opened(offer) as place:
        session = place.session()
        missing = [name for name in (*HOOKS, "close") if not callable(session.method(name))]
        if missing:
            raise Broken(
                f"its session has no method {listing(missing)}",
                "let `build` return an object with all methods of `bench.TrackerSession`",
            )
        _follow(session, samples.spec())
        session.close()


@rule("tracker", LIMIT)
def follows_runs_at_a_time(offer: Offer) -> None:
    """Of two runs at a time nothing is lost or mixed up."""
    runs = [samples.spec(0), samples.spec(1)]
    with _opened(offer) as place:
        session = place.session()
        for run in runs:
            _follow(session, run)
        session.close()
        in_turn = place.sizes()
    with _opened(offer) as place:
        session = place.session("while another run is under way")
        for run in runs:
            session.tell("run_started", run)
        for number in range(1, EPOCHS + 1):
            for run in runs:
                session.tell("epoch_finished", run, samples.epoch(number))
        for run in runs:
            session.tell("run_finished", samples.record(run))
        session.close()
        at_a_time = place.sizes()
    one, other = sorted(in_turn.values()), sorted(at_a_time.values())
    lost = any(size < KEPT * whole for size, whole in zip(other, one, strict=False))
    if lost or len(other) < len(one):
        raise Broken(
            f"of two runs at a time it wrote {_bytes(other)}, and {_bytes(one)} of the same runs "
            "one after the other",
            "keep what belongs to a run by `run.id`, not in one place for the latest",
        )


@rule("tracker", LIMIT)
def takes_any_outcome(offer: Offer) -> None:
    """Runs may end in any way, without having begun, and with numbers that are none."""
    with _opened(offer) as place:
        session = place.session()
        for name, record in samples.odd_records():
            session.when = f"of {name}"
            session.tell("run_finished", record)
        diverged = samples.spec(200)
        session.when = "of a run whose losses are not finite"
        session.tell("run_started", diverged)
        session.tell("epoch_finished", diverged, samples.odd_epoch())
        session.tell("run_finished", samples.record(diverged, RunStatus.DIVERGED))
        session.close()


@rule("tracker", LIMIT)
def takes_any_name(offer: Offer) -> None:
    """Names of models, datasets and values of params may be any text."""
    with _opened(offer) as place:
        session = place.session()
        for name in samples.ODD_NAMES:
            session.when = f"of a model called `{one_line(name, 20)}`"
            _follow(session, samples.spec(name=name), 1)
        session.close()


@rule("tracker", LIMIT)
def closes_in_any_state(offer: Offer) -> None:
    """It is closed without having been told of anything, and while runs are under way."""
    for told in (False, True):
        with _opened(offer) as place:
            session = place.session()
            run = samples.spec()
            if told:
                session.tell("run_started", run)
                session.tell("epoch_finished", run, samples.epoch(1))
            session.when = "with a run under way" if told else "without a run"
            session.close()


@rule("tracker", LIMIT)
def writes_only_where_it_belongs(offer: Offer) -> None:
    """It writes into the folder that it is given, beside the files that `bench` keeps there."""
    with _opened(offer) as place, writing.watched() as seen:
        session = place.session()
        folder, home = place.folder, place.home
        for name in ("cnn", str(home / "outside"), *samples.ODD_NAMES):
            # What a name makes it raise is told of by another rule.
            with contextlib.suppress(Broken):
                _follow(session, samples.spec(name=name), 1)
        session.close()
        given = offer.component.defaults.values()
        named = [home / value for value in given if isinstance(value, str) and value]
        allowed = [folder, home / "temporary", *named]
        elsewhere = writing.outside(seen, allowed)
        store = Store(folder)
        taken = [path for path in writing.outside(seen, allowed[1:]) if store.owns(path)]
        left = [path for path in home.iterdir() if path not in (folder, home / "temporary")]
    if taken:
        path = taken[-1].relative_to(folder)
        raise Broken(
            f"it wrote `{path}` into the results folder, where `bench` itself keeps its files",
            "write into a subfolder that bears the name of the tracker",
        )
    for path in (*elsewhere, *writing.outside(list(map(str, left)), allowed)):
        raise Broken(
            f"it wrote `{_named(path, home)}`, which is not in the folder that `build` is given",
            "write below `folder`, or where a param says; name files by `run.id`, as names of "
            "models may hold `/` and `..`",
        )


@rule("tracker", LIMIT)
def goes_on_in_the_same_folder(offer: Offer) -> None:
    """Built again on its folder, it goes on, and keeps what it has written there."""
    with _opened(offer) as place:
        first = place.session()
        stopped, done = samples.spec(0), samples.spec(1)
        _follow(first, done)
        first.tell("run_started", stopped)
        first.tell("epoch_finished", stopped, samples.epoch(1))
        first.close()
        before = place.sizes()
        second = place.session("in a session that goes on")
        second.tell("run_started", stopped)
        second.tell("epoch_finished", stopped, samples.epoch(2))
        second.tell("run_finished", samples.record(stopped))
        second.close()
        after = place.sizes()
    for path, size in before.items():
        if after.get(path, 0) < KEPT * size:
            has = f"{after[path]:,}" if path in after else "none"
            raise Broken(
                f"`{path}` had {size:,} bytes, and {has} after another session on the same folder",
                'add to files that are there, by `open(path, "a")` for example: a stopped '
                "experiment is gone on with in the same folder",
            )


@rule("tracker", LIMIT)
def keeps_up(offer: Offer) -> None:
    """Thirty epochs are told in the time that an experiment waits for trackers in the end."""
    with _opened(offer) as place:
        session = place.session()
        begun = time.monotonic()
        _follow(session, samples.spec())
        session.close()
        took = time.monotonic() - begun
    if took > END_SECONDS:
        raise Broken(
            f"a run of {EPOCHS} epochs took it {took:.1f} s, and {END_SECONDS:g} s are waited for "
            "it in the end",
            "send in a batch what can wait, at the latest in `close`; what is left over is lost",
        )


class _Session:
    """A session of a tracker, told of everything in a thread of its own as in experiments."""

    def __init__(self, offer: Offer, folder: Path, when: str) -> None:
        self.when = when
        self._offer = offer
        self._is_open = False
        self._thread = ThreadPoolExecutor(1, "tracker")
        assert isinstance(offer.component, Tracker)
        try:
            self._inner: Any = self._thread.submit(offer.component.build, folder).result()
        except BaseException:
            self._thread.shutdown()
            raise
        self._is_open = True

    def method(self, name: str) -> Any:
        return getattr(self._inner, name, None)

    def tell(self, event: str, *arguments: Any) -> None:
        """Tell of an event; Broken where that raises something."""
        try:
            self._thread.submit(self.method(event), *arguments).result()
        except Exception as error:
            raise Broken(
                f"{raised(error, self._offer, f'`{event}`')} {self.when}".rstrip(),
                "take it as it comes: an observer that fails is warned of, and misses what it is "
                "told",
            ) from error

    def close(self) -> None:
        """Close it, and its thread."""
        self._is_open = False
        try:
            self.tell("close")
        finally:
            self._thread.shutdown()

    def put_away(self) -> None:
        """Close it where a rule was broken before it was closed."""
        if self._is_open:
            with contextlib.suppress(Broken):
                self.close()


@dataclass
class _Place:
    """Where sessions of a tracker write.

    Attributes:
        home: the working folder, as long as this is in use.
        folder: the results folder, in it.
    """

    offer: Offer
    home: Path
    folder: Path
    _sessions: list[_Session] = field(default_factory=list)

    def session(self, when: str = "") -> _Session:
        """Build another session; `when` ends what is said of errors."""
        self._sessions.append(_Session(self.offer, self.folder, when))
        return self._sessions[-1]

    def sizes(self) -> dict[str, int]:
        """Return how many bytes the files in the results folder have, by their names in it."""
        return {
            str(path.relative_to(self.folder)): path.stat().st_size
            for path in self.folder.rglob("*")
            if path.is_file()
        }

    def put_away(self) -> None:
        """Close whatever is still open."""
        for session in self._sessions:
            session.put_away()


def _follow(session: _Session, run: RunSpec, epochs: int = EPOCHS) -> None:
    session.tell("run_started", run)
    for number in range(1, epochs + 1):
        session.tell("epoch_finished", run, samples.epoch(number, epochs))
    session.tell("run_finished", samples.record(run))


@contextlib.contextmanager
def _opened(offer: Offer) -> Iterator[_Place]:
    """Make a results folder, in another one that is the working folder as long."""
    assert isinstance(offer.component, Tracker)
    for module, what in offer.component.needs.items():
        if importlib.util.find_spec(module) is None:
            raise Skipped(f"it needs `{module}`; `pip install {what}` brings it")
    with writing.elsewhere() as home:
        folder = home / "results"
        folder.mkdir()
        place = _Place(offer, home, folder)
        try:
            yield place
        finally:
            place.put_away()


def _bytes(sizes: list[int]) -> str:
    """Return sizes of files as `2 files of 12, 1,200 bytes`."""
    if len(sizes) == 1:
        return f"a file of {sizes[0]:,} bytes"
    told = ", ".join(f"{size:,}" for size in sizes[:6])
    return f"{len(sizes)} files of {told}{' and more' * (len(sizes) > 6)} bytes"


def _named(path: Path, home: Path) -> str:
    return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)
