"""Observers are told in threads of their own: none of them can harm or hold up a run."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Watcher
from samples import add_plugin, make_record

import bench
from bench import observing
from bench.api import Result
from bench.foreign_code import stdout_to_stderr
from bench.observing import CAPACITY, Observers
from bench.records import ComponentRef, EpochMetrics, RunRecord, RunSpec, RunStatus
from bench.registry import Registry

Experiment = Callable[..., Result]
EPOCH = EpochMetrics(1, 2, 0.5, 0.5, 0.5, 0.5, 0.1, 1.0, 10.0)


class Session:
    """A tracker that remembers in which order it was told what, and in which thread."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.threads: set[str] = set()

    def note(self, what: str, value: Any = None) -> None:
        self.told.append((what, value))
        self.threads.add(threading.current_thread().name)

    def run_started(self, run: RunSpec) -> None:
        self.note("run_started", run)

    def epoch_finished(self, run: RunSpec, metrics: EpochMetrics) -> None:
        self.note("epoch_finished", metrics)

    def run_finished(self, record: RunRecord) -> None:
        self.note("run_finished", record)

    def close(self) -> None:
        self.note("close")


class Stuck(Session):
    """A tracker that hangs in one of its calls until the test is over."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.free = threading.Event()

    def note(self, what: str, value: Any = None) -> None:
        super().note(what, value)
        if what == self.where:
            self.free.wait(60)


class Broken(Session):
    """A tracker that raises whatever it is told."""

    def note(self, what: str, value: Any = None) -> None:
        raise ConnectionError("nobody\nanswers")


Watch = Callable[..., Observers]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watch(tmp_path: Path, said: list[str]) -> Iterator[Watch]:
    """Return a function that makes observers of sessions, each behind a tracker of its own."""
    stuck: list[Session] = []

    def make(*sessions: Any) -> Observers:
        registry = Registry()
        refs = []
        for number, session in enumerate(sessions):

            def build(folder: Path, *, session: Any = session) -> Any:
                assert folder == tmp_path
                return session() if isinstance(session, type | FunctionType) else session

            name = f"t{number}"
            add_plugin(registry, bench.Tracker(name=name, build=build), name=name)
            refs.append(ComponentRef(name, name))
            stuck.append(session)
        return Observers(registry, refs, tmp_path, said.append)

    yield make
    for session in stuck:
        if isinstance(session, Stuck):
            session.free.set()


FunctionType = type(lambda: None)


def tell(observers: Observers, epochs: int = 1) -> None:
    record = make_record()
    observers.tell("run_started", {"run": record.spec})
    for _ in range(epochs):
        observers.tell("epoch_finished", {"run": record.spec, "metrics": EPOCH})
    observers.tell("run_finished", {"record": record})


def test_all_is_told_in_order_in_one_thread_and_then_closed(watch: Watch, said: list[str]) -> None:
    sessions = Session(), Session()
    with watch(*sessions) as observers:
        tell(observers, epochs=3)
    for number, session in enumerate(sessions):
        names = [name for name, _ in session.told]
        assert names == ["run_started", *["epoch_finished"] * 3, "run_finished", "close"]
        assert session.threads == {f"bench tracker `t{number}`"}
    assert said == []


def test_what_an_observer_does_to_its_arguments_stays_with_it(watch: Watch) -> None:
    class Vandal(Session):
        def run_finished(self, record: RunRecord) -> None:
            record.metrics.clear()  # type: ignore[attr-defined]

    quiet = Session()
    record = make_record()
    before = record.to_dict()
    with watch(Vandal(), quiet) as observers:
        observers.tell("run_finished", {"record": record})
    assert record.to_dict() == before
    assert quiet.told[0] == ("run_finished", record)


def test_one_that_raises_is_named_once_and_its_losses_are_counted(
    watch: Watch, said: list[str]
) -> None:
    quiet = Session()
    with watch(Broken(), quiet) as observers:
        tell(observers, epochs=5)
    assert said == [
        "warning: `run_started` of tracker `t0` failed: ConnectionError: nobody answers; runs go "
        "on, see that what it writes to answers, or leave it out of `--trackers`",
        "tracker `t0` missed 7 of 7 events",
    ]
    assert len(quiet.told) == 8


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit("no"), KeyboardInterrupt("no")])
def test_one_that_cannot_be_built_is_named_once(
    watch: Watch, said: list[str], error: BaseException
) -> None:
    def build() -> None:
        raise error

    with watch(build) as observers:
        tell(observers)
    assert len(said) == 2
    assert f"`build` of tracker `t0` failed: {type(error).__name__}: no" in said[0]
    assert said[1] == "tracker `t0` missed 3 of 3 events"


def test_one_that_lacks_a_method_is_named(watch: Watch, said: list[str]) -> None:
    with watch(object()) as observers:
        tell(observers)
    assert "AttributeError: 'object' object has no attribute 'run_started'" in said[0]


def test_a_usage_error_of_build_ends_it_before_it_begins(watch: Watch, said: list[str]) -> None:
    def build() -> None:
        raise bench.UsageError("`t0.uri` is no address")

    quiet = Session()
    with pytest.raises(bench.UsageError, match="is no address"), watch(build, quiet):
        pytest.fail("it began")
    assert [name for name, _ in quiet.told] == ["close"]
    assert said == []


def test_a_slow_build_holds_nothing_up(
    watch: Watch, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "START_SECONDS", 0.1)
    session = Session()
    free = threading.Event()

    def build() -> Session:
        free.wait(60)
        return session

    began = time.monotonic()
    with watch(build) as observers:
        assert time.monotonic() - began < 2
        tell(observers)
        assert session.told == []
        free.set()
    assert len(session.told) == 4
    assert said == []


def test_a_usage_error_that_comes_too_late_is_a_warning(
    watch: Watch, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "START_SECONDS", 0.1)
    free = threading.Event()

    def build() -> None:
        free.wait(60)
        raise bench.UsageError("`t0.uri` is no address")

    with watch(build) as observers:
        free.set()
        tell(observers)
    assert said[0].startswith("warning: `build` of tracker `t0` failed: UsageError: `t0.uri` is")


@pytest.mark.parametrize("where", ["run_started", "close"])
def test_one_that_hangs_is_given_up_at_the_deadline(
    watch: Watch, said: list[str], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(observing, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(observing, "END_SECONDS", 0.5)
    stuck, quiet = Stuck(where), Session()
    with watch(stuck, quiet) as observers:
        tell(observers, epochs=3)
        ended = time.monotonic()
    assert 0.4 < time.monotonic() - ended < 2
    assert len(quiet.told) == 6
    lost = 5 if where == "run_started" else 0
    left = max(lost - 1, 0)
    assert said == [
        f"waiting for tracker `t0`, 500 ms at most: {left} events left",
        f"warning: tracker `t0` missed {lost} of 5 events and was not waited for any longer; see "
        "that what it writes to answers, or leave it out of `--trackers`",
    ]
    stuck.free.set()
    time.sleep(0.1)
    assert len(said) == 2
    assert len(stuck.told) == (1 if where == "run_started" else 6)


def test_many_that_hang_share_one_deadline(
    watch: Watch, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "END_SECONDS", 0.5)
    with watch(*(Stuck("run_started") for _ in range(4))) as observers:
        tell(observers)
        ended = time.monotonic()
    assert time.monotonic() - ended < 2
    assert len([text for text in said if text.startswith("warning")]) == 4


def test_the_queue_is_bounded_and_epochs_are_the_first_to_be_lost(
    watch: Watch, said: list[str]
) -> None:
    stuck = Stuck("run_started")
    with watch(stuck) as observers:
        tell(observers, epochs=CAPACITY + 100)
        [listener] = observers._listeners
        assert CAPACITY <= listener.left <= CAPACITY + 1
        stuck.free.set()
    names = [name for name, _ in stuck.told]
    assert names[-2:] == ["run_finished", "close"]
    assert CAPACITY - 1 <= names.count("epoch_finished") <= CAPACITY + 1
    lost = CAPACITY + 100 - names.count("epoch_finished")
    assert said == [
        f"warning: tracker `t0` missed {lost} of {CAPACITY + 102:,} events; see that what it "
        "writes to answers, or leave it out of `--trackers`"
    ]


def test_ctrl_c_ends_the_waiting(watch: Watch, said: list[str]) -> None:
    with watch(Stuck("close")) as observers:
        tell(observers)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        ended = time.monotonic()
    assert time.monotonic() - ended < 5
    assert "was not waited for any longer" in said[-1]


def test_nothing_is_started_where_nobody_observes(watch: Watch) -> None:
    before = threading.active_count()
    with watch() as observers:
        tell(observers)
        assert threading.active_count() == before


# Stdout


def test_what_observers_print_goes_to_stderr(
    watch: Watch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Noisy(Session):
        def note(self, what: str, value: Any = None) -> None:
            print("python", what)
            os.write(1, b"c " + what.encode() + b"\n")

    with watch(Noisy()) as observers:
        tell(observers)
    print("results")
    out, err = capfd.readouterr()
    assert out == "results\n"
    assert err.count("python ") == err.count("c ") == 4


def test_stdout_comes_back_when_the_last_thread_is_done(
    capfd: pytest.CaptureFixture[str],
) -> None:
    first, second = threading.Event(), threading.Event()

    def hold(event: threading.Event) -> None:
        with stdout_to_stderr():
            event.wait(60)

    stdout = sys.stdout
    threads = [threading.Thread(target=hold, args=(event,)) for event in (first, second)]
    for thread in threads:
        thread.start()
    while sys.stdout is stdout:
        time.sleep(0.01)
    first.set()  # not in the order in which they came
    threads[0].join()
    print("still away")
    second.set()
    threads[1].join()
    print("back")
    assert capfd.readouterr() == ("back\n", "still away\n")


# Whole experiments


def test_a_hook_that_hangs_holds_up_no_run(
    experiment: Experiment, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "END_SECONDS", 0.5)
    free = threading.Event()

    class Hangs:
        @bench.hookimpl
        def epoch_finished(self, metrics: EpochMetrics) -> None:
            free.wait(60)

    result = experiment(plugins=(Hangs(),), seeds=2)
    free.set()
    assert [record.status for record in result.records] == [RunStatus.OK] * 2
    [warning] = [text for text in watcher.messages if text.startswith("warning")]
    assert warning == (
        "warning: plugin `observer-0` missed 4 of 4 events and was not waited for any longer; "
        "`bench plugins info observer-0` says whose it is"
    )


def test_one_that_hangs_does_not_keep_ctrl_c_waiting(
    experiment: Experiment, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "END_SECONDS", 0.5)
    free = threading.Event()
    came: list[float] = []

    class Hangs:
        @bench.hookimpl
        def run_started(self, run: RunSpec) -> None:
            came.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
            free.wait(60)

    result = experiment("sleeps", plugins=(Hangs(),), set={"sleeps.seconds": 0.05}, epochs=50)
    seconds = time.monotonic() - came[0]
    free.set()
    assert result.interrupted
    assert seconds < 8
    assert [text for text in watcher.messages if "not waited for any longer" in text]
