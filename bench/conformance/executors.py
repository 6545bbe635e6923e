"""Rules of executors: whatever becomes of a job, it is told, and the next one works.

Their sessions are built for real, and given jobs that do as they are told (`JobKind.PROBE`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.conformance.rules import Broken, rule
from bench.jobs import Job, JobEvent, JobEventKind, JobKind
from bench.specs import Executor, ExecutorSession
from bench.text import listing, one_line

if TYPE_CHECKING:
    from bench.registry import Offer

PATIENCE = 60.0
"""Seconds in which what is asked for has to happen: a first worker imports torch."""
MOMENT = 5.0
"""Seconds that a call may take which is not to wait for anything."""
_LIMIT = 3 * PATIENCE
"""Seconds that a rule may take, which waits several times."""
_POLL_SECONDS = 0.1
_WORKERS = 2
_ENDS = (JobEventKind.FINISHED, JobEventKind.DIED)
_Step = tuple[str, Any]


@rule("executor", _LIMIT)
def carries_out_a_job(offer: Offer) -> None:
    """Give a session that tells of a job's start, and hands back its result."""
    with _open(offer) as session:
        slots = session.slots
        if type(slots) is not int or slots < 1:
            raise Broken(f"its session has {slots!r} slots", "give the number of jobs at a time")
        told = session.carry_out(kind=JobKind.HELLO, payload={"device": "cpu"})
        kinds = [str(event.kind) for event in told]
        if kinds != ["started", "finished"]:
            raise Broken(
                f"it told of a job: {listing(kinds)}",
                "tell `started` when a worker has taken it, `finished` with what "
                "`bench.engine.worker.perform` returned, and nothing after that",
            )
        result = told[-1].data
        if result.get("status") != "ok" or result.get("device") != "cpu":
            raise Broken(
                f"a job that asks for the device came back with {one_line(repr(result), 200)}",
                "let a worker call `bench.engine.worker.perform(job.kind, job.payload, emit)`, and "
                "tell what it returns as the data of `finished`",
            )


@rule("executor", _LIMIT)
def tells_in_order(offer: Offer) -> None:
    """Tell of each job what its worker reports, all of it, in order, between start and end."""
    with _open(offer) as session:
        for length in (0, 3, 50):
            steps = [("report", {"epoch": number}) for number in range(length)]
            told = session.carry_out(steps)
            kinds = [event.kind for event in told]
            between = [event.data.get("epoch") for event in told[1:-1]]
            expected = [JobEventKind.STARTED, *[JobEventKind.PROGRESS] * length]
            if kinds != [*expected, JobEventKind.FINISHED] or between != [*range(length)]:
                seen = ", ".join(
                    f"{event.kind} {event.data.get('epoch', '')}".strip() for event in told[:6]
                )
                raise Broken(
                    f"of a job that reports {length} epochs it told {len(told)} events: {seen}"
                    + ", ..." * (len(told) > 6),
                    "pass on each call of `emit` as `progress`, after `started` and before "
                    "`finished`, in the order of the calls",
                )


@rule("executor", _LIMIT)
def carries_plain_data(offer: Offer) -> None:
    """Carry plain data both ways as it is, whatever its size."""
    sent = {
        "text": "“é” \U0001f600 \x00",
        "numbers": [0, -1, 2**62, 0.1, float("inf")],
        "nothing": None,
        "nested": {"empty": [], "true": True, "more": {"": {}}},
        "long": "x" * 1_000_000,
    }
    with _open(offer) as session:
        came = session.carry_out(result=sent)[-1].data.get("result")
    if came != sent:
        lost = [key for key in sent if not isinstance(came, dict) or came.get(key) != sent[key]]
        raise Broken(
            f"a result lost {listing(lost)} on its way",
            "carry payloads and results as they are, by pickle for example",
        )


@rule("executor", _LIMIT)
def goes_on_after_a_failure(offer: Offer) -> None:
    """Tell how a job failed, and carry out the next one."""
    with _open(offer) as session:
        end = session.carry_out([("fail", "no such thing")])[-1]
        status, error = end.data.get("status"), end.data.get("error")
        if end.kind is not JobEventKind.FINISHED or (status, error) != ("failed", "no such thing"):
            raise Broken(
                f"of a job that failed with `no such thing` it told {end.kind}: "
                f"{one_line(repr(end.data), 200)}",
                "a job that fails is `finished`, with the `status` and `error` that `perform` "
                "returned",
            )
        session.expect_work("after one that failed")


@rule("executor", _LIMIT)
def fills_its_slots(offer: Offer) -> None:
    """Have as many jobs under way at once as it has slots."""
    with _open(offer) as session:
        jobs = [session.submit([_hanging()]) for _ in range(session.slots)]
        with contextlib.suppress(_Overdue):
            session.wait(lambda: all(session.events(job) for job in jobs))
        begun = [job for job in jobs if session.events(job)]
        ended = [job for job in jobs if session.has_ended(job)]
        if len(begun) < len(jobs) or ended:
            raise Broken(
                f"of {len(jobs)} jobs that filled its {session.slots} slots "
                + (
                    f"{len(ended)} had ended before all had started"
                    if ended
                    else f"{len(begun)} had started after {PATIENCE:g} s"
                ),
                "let `submit` start each job on a worker of its own and come back, or offer fewer "
                "`slots`",
            )
        for job in jobs:
            session.cancel(job)


@rule("executor", _LIMIT)
def tells_of_a_crash(offer: Offer) -> None:
    """Tell that a worker has died with a job in hand, and carry out the next one."""
    ways = (("signal", signal.SIGSEGV), ("exit", 3), ("signal", signal.SIGKILL))
    for step, number in ways:
        name = number.name if isinstance(number, signal.Signals) else f"exit code {number}"
        with _open(offer) as session:
            job = session.submit([("report", {}), (step, int(number))])
            with contextlib.suppress(_Overdue):
                session.wait(functools.partial(session.has_ended, job))
            told = session.events(job)
            if not told or told[-1].kind is not JobEventKind.DIED:
                last = f"the last event was `{told[-1].kind}`" if told else "no event"
                raise Broken(
                    f"a job's process ended by {name}, and {PATIENCE:g} s later {last}"
                    if not session.has_ended(job)
                    else f"a job's process ended by {name}, and {last}",
                    "watch the processes of workers as well as what they send, and tell `died` "
                    "with their `exitcode`",
                )
            code = told[-1].data.get("exitcode")
            expected = int(number) if step == "exit" else -int(number)
            if code not in (None, expected):
                raise Broken(
                    f"a job's process ended by {name}, and it told an `exitcode` of {code!r}",
                    f"tell {expected}, as `multiprocessing` and `subprocess` do, or None where it "
                    "cannot be known",
                )
            session.expect_work(f"after one that ended by {name}")


@rule("executor", _LIMIT)
def cancels_what_hangs(offer: Offer) -> None:
    """End a job that hangs when it is cancelled, tell no more of it, and free its slot."""
    with _open(offer) as session:
        for _ in range(session.slots + 1):  # slots that are not freed run out
            job = session.submit([("start", 1.5 * PATIENCE), _hanging()])
            session.wait_for(job, 2, "that hangs")
            before = len(session.events(job))
            session.cancel(job)
            place = session.events(job)[1].data
            child = {**place, "pid": place["started"]}
            for whose, each in (("its process", place), ("a process that it started,", child)):
                if not _ends(each):
                    raise Broken(
                        f"{MOMENT:g} s after a job was cancelled {whose} {each['pid']} still ran",
                        "`cancel` is what ends a run that hangs: kill the process and its group, "
                        "and wait for its end",
                    )
            session.expect_work("after one that was cancelled")
            if len(session.events(job)) > before:
                event = session.events(job)[before]
                raise Broken(
                    f"after a job was cancelled it told `{event.kind}` of it",
                    "forget a job that is cancelled, and what its worker still sends",
                )
        for late in (job, "unknown"):
            session.cancel(late)
        session.expect_work("after `cancel` of jobs that it does not have")


@rule("executor", _LIMIT)
def polls_in_time(offer: Offer) -> None:
    """Come back from `poll` in time, whether there is something to tell or not."""
    with _open(offer) as session:
        session.expect_work("at first")
        _poll_in_time(session, "with nothing under way")
        job = session.submit([_hanging()])
        session.wait_for(job, 1, "that hangs")
        _poll_in_time(session, "while a job hangs")
        session.cancel(job)


def _poll_in_time(session: _Session, when: str) -> None:
    begun = time.monotonic()
    session.poll(0.2)
    took = time.monotonic() - begun
    if took > 0.2 + MOMENT:
        raise Broken(
            f"`poll(0.2)` took {took:.1f} s {when}",
            "wait for at most as long as it says: timeouts and Ctrl-C are looked after between two "
            "calls",
        )


@rule("executor", _LIMIT)
def keeps_output_in_the_log(offer: Offer) -> None:
    """Send what a job prints to its log."""
    with _open(offer) as session:
        job = session.submit([("print", "some words")])
        session.wait_for_end(job, "that prints")
        log = session.log(job)
        text = log.read_text("utf-8", "replace") if log.exists() else ""
        for printed, who in (("some words", "Python"), ("some words from C", "C")):
            if printed not in text.splitlines():
                what = f"holds {one_line(text, 100)!r}" if log.exists() else "is not there"
                raise Broken(
                    f"a job printed `{printed}` from {who}, and its log {what}",
                    "while a job runs, let descriptors 1 and 2 of its process lead to `job.log`, "
                    "whose folder may have to be made: `bench` itself prints results on stdout",
                )


@rule("executor", _LIMIT)
def leaves_no_process_behind(offer: Offer) -> None:
    """Leave no worker behind when it is closed, busy or not, by force or not."""
    for force in (True, False):
        for busy in (False, True):
            _close(offer, force=force, busy=busy)


def _close(offer: Offer, *, force: bool, busy: bool) -> None:
    how = f"`close(force={force})` with a job that hangs" if busy else f"`close(force={force})`"
    before = _children()
    with _open(offer) as session:
        places = [session.carry_out()[-1].data]
        if busy:
            job = session.submit([("report", {}), _hanging()])
            session.wait_for(job, 2, "that hangs")
            places.append(session.events(job)[-1].data)
        begun = time.monotonic()
        session.close(force=force)
        if time.monotonic() - begun > PATIENCE:
            raise Broken(f"{how} took more than {PATIENCE:g} s", "end workers that do not answer")
        session.close(force=True)  # as the end of an experiment that was stopped may do
    left = sorted({place["pid"] for place in places if not _ends(place)})
    if left:
        raise Broken(
            f"{MOMENT:g} s after {how} its worker{'s' * (len(left) > 1)} "
            f"{', '.join(map(str, left))} still ran",
            "end every worker in `close`, and wait for its end",
        )
    more = {pid: name for pid, name in _children().items() if pid not in before}
    if more:
        pid, name = next(iter(more.items()))
        raise Broken(
            f"after {how} there was a process {pid} more, `{one_line(name, 80)}`",
            "end in `close` whatever `build` has started",
        )


def _hanging() -> _Step:
    """Return the step of a job that does not end as long as anybody waits for it."""
    return ("wait", 1.5 * PATIENCE)


class _Overdue(Exception):
    """What was waited for has not happened."""


class _Session:
    """A session of an executor, and what it has told of each job."""

    def __init__(self, inner: ExecutorSession, folder: Path) -> None:
        self._inner = inner
        self._folder = folder
        self._told: dict[str, list[JobEvent]] = {}

    @property
    def slots(self) -> int:
        return self._inner.slots

    def submit(self, steps: Any = (), **fields: Any) -> str:
        """Hand over a job that takes some steps, or the one that is given; return its id."""
        name = f"job-{len(self._told) + 1}"
        self._told[name] = []
        kind = fields.get("kind", JobKind.PROBE)
        probe = {"steps": [list(step) for step in steps], "result": fields.get("result")}
        self._inner.submit(Job(name, kind, fields.get("payload", probe), self.log(name)))
        return name

    def log(self, job: str) -> Path:
        return self._folder / "logs" / f"{job}.txt"

    def cancel(self, job: str) -> None:
        self._inner.cancel(job)

    def close(self, *, force: bool) -> None:
        self._inner.close(force=force)

    def events(self, job: str) -> list[JobEvent]:
        return self._told[job]

    def has_ended(self, job: str) -> bool:
        return any(event.kind in _ENDS for event in self._told[job])

    def poll(self, seconds: float) -> None:
        """Take what it has to tell."""
        for event in self._inner.poll(seconds):
            if not isinstance(event, JobEvent) or event.job_id not in self._told:
                raise Broken(
                    f"`poll` gave {one_line(repr(event), 100)}",
                    "give a `bench.JobEvent` with the id of a job that was submitted",
                )
            self._told[event.job_id].append(event)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Take what it tells until a condition holds; raise where it takes too long."""
        limit = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > limit:
                raise _Overdue
            self.poll(_POLL_SECONDS)

    def wait_for(self, job: str, count: int, what: str) -> None:
        """Take what it tells until there are some events of a job."""
        try:
            self.wait(lambda: len(self._told[job]) >= count or self.has_ended(job))
        except _Overdue:
            self._fail(job, what)

    def wait_for_end(self, job: str, what: str) -> None:
        """Take what it tells until a job has ended, and a moment longer."""
        try:
            self.wait(lambda: self.has_ended(job))
        except _Overdue:
            self._fail(job, what)
        self.poll(_POLL_SECONDS)

    def _fail(self, job: str, what: str) -> None:
        told = [str(event.kind) for event in self._told[job]]
        raise Broken(
            f"{PATIENCE:g} s after a job {what} was submitted it had told "
            + (f"no more of it than {listing(told)}" if told else "nothing of it"),
            "let `poll` return what workers have sent since the last call",
        )

    def carry_out(self, steps: Any = (), **fields: Any) -> list[JobEvent]:
        """Hand over a job, wait for its end, and return what was told of it."""
        job = self.submit(steps, **fields)
        self.wait_for_end(job, "that ends at once")
        return self._told[job]

    def expect_work(self, when: str) -> None:
        """Have a job carried out; Broken where that does not end well."""
        try:
            end = self.carry_out(result=when)[-1]
        except Broken as broken:
            raise Broken(f"{broken.evidence}, {when}", broken.fix) from broken
        if end.data.get("result") != when:
            raise Broken(
                f"the job {when} came to `{end.kind}`, {one_line(repr(end.data), 200)}",
                "replace a worker that has died or was killed, and carry out the next job on "
                "another",
            )


@contextlib.contextmanager
def _open(offer: Offer) -> Iterator[_Session]:
    """Build a session, which is closed by force in the end, whatever has happened."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        assert isinstance(offer.component, Executor)
        inner = offer.component.build(_WORKERS, ["torch"])
        try:
            yield _Session(inner, Path(folder))
        finally:
            inner.close(force=True)


def _ends(place: dict[str, Any]) -> bool:
    """Return whether a process is gone in a moment; of one on another machine nothing is known."""
    if place.get("node") != os.uname().nodename:
        return True
    limit = time.monotonic() + MOMENT
    while _runs(place["pid"]):
        if time.monotonic() > limit:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except ProcessLookupError:
        return False
    except OSError:  # there is no /proc here, or it has just gone
        return not Path("/proc/self").exists()


def _children() -> dict[int, str]:
    """Return the children of this process, but for the servers that Python itself keeps."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if int(words[1]) == os.getpid() and words[0] not in "ZX":
                found[int(entry.name)] = command
    servers = ("multiprocessing.forkserver", "multiprocessing.resource_tracker")
    return {pid: name for pid, name in found.items() if not any(s in name for s in servers)}
