from __future__ import annotations

import os
import signal
import sys
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bench
import bench_local
from bench.jobs import JobKind
from bench_local.pool import ENGINE, Pool


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(2, ["torch"], 100)
    yield pool
    pool.close(force=True)


class Jobs:
    """Makes jobs and collects what becomes of them."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self.pool = pool
        self.folder = folder
        self.number = 0

    def submit(self, kind: JobKind = JobKind.HELLO, **payload: Any) -> str:
        self.number += 1
        job = bench.Job(
            f"job-{self.number}", kind, payload or {"device": "cpu"}, self.folder / "log.txt"
        )
        self.pool.submit(job)
        return job.id

    def events(self, *until: str, seconds: float = 120) -> dict[str, list[bench.JobEvent]]:
        """Return the events of each job once all those named have ended."""
        found: dict[str, list[bench.JobEvent]] = {}
        ended: set[str] = set()
        limit = time.monotonic() + seconds
        while not ended >= {*until}:
            assert time.monotonic() < limit, f"no end in sight: {found}"
            for event in self.pool.poll(0.25):
                found.setdefault(event.job_id, []).append(event)
                if event.kind in (bench.JobEventKind.FINISHED, bench.JobEventKind.DIED):
                    ended.add(event.job_id)
        return found

    def pid(self, job: str) -> int:
        """Return the process that carries out a job, once it has started."""
        for _ in range(400):
            for event in self.pool.poll(0.25):
                if event.job_id == job and event.kind is bench.JobEventKind.STARTED:
                    return int(event.data["pid"])
        pytest.fail("the job has not started")


@pytest.fixture
def jobs(pool: Pool, tmp_path: Path) -> Jobs:
    return Jobs(pool, tmp_path / "logs")


def is_alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_the_executor_is_offered_as_the_default() -> None:
    [executor] = bench_local.register_executors()
    assert (executor.name, executor.default) == ("local", True)
    assert executor.defaults == {"runs_per_worker": 100}


def test_a_worker_must_serve_at_least_once() -> None:
    with pytest.raises(bench.UsageError, match="runs_per_worker"):
        bench_local.build(1, [], runs_per_worker=0)


def test_a_job_is_started_and_finished(jobs: Jobs) -> None:
    job = jobs.submit()
    events = jobs.events(job)[job]
    assert [event.kind for event in events] == ["started", "finished"]
    assert events[-1].data["status"] == "ok"
    assert events[-1].data["device"] == "cpu"
    assert events[0].data["pid"] != os.getpid()
    # Of torch's own type it would make whoever reads the answer import torch.
    assert type(events[-1].data["torch"]) is str


def test_a_worker_serves_again_after_success_only(jobs: Jobs) -> None:
    pids = []
    for kind in (JobKind.HELLO, JobKind.HELLO, JobKind.RUN, JobKind.HELLO):
        # A run without a spec fails in the worker, with a traceback in the log.
        job = jobs.submit(kind)
        events = jobs.events(job)[job]
        pids.append(events[0].data["pid"])
        assert events[-1].data["status"] == ("failed" if kind is JobKind.RUN else "ok")
    assert pids[0] == pids[1] == pids[2]
    assert pids[3] != pids[2]
    assert "Traceback" in (jobs.folder / "log.txt").read_text()


def test_a_worker_is_replaced_after_its_number_of_runs(tmp_path: Path) -> None:
    pool = Pool(1, ["torch"], 2)
    try:
        jobs = Jobs(pool, tmp_path)
        pids = []
        for _ in range(4):
            job = jobs.submit()
            pids.append(jobs.events(job)[job][0].data["pid"])
    finally:
        pool.close(force=False)
    assert pids[0] == pids[1]
    assert pids[2] == pids[3]
    assert pids[0] != pids[2]
    assert not any(is_alive(pid) for pid in pids)


def test_two_slots_work_side_by_side(jobs: Jobs) -> None:
    assert jobs.pool.slots == 2
    first, second = jobs.submit(), jobs.submit()
    events = jobs.events(first, second)
    assert events[first][0].data["pid"] != events[second][0].data["pid"]


def hang(jobs: Jobs) -> tuple[str, int]:
    """Start a job that does not end: its log is a pipe that nobody reads."""
    jobs.folder.mkdir(exist_ok=True)
    log = jobs.folder / "fifo"
    os.mkfifo(log)
    jobs.number += 1
    job = bench.Job(f"job-{jobs.number}", JobKind.HELLO, {"device": "cpu"}, log)
    jobs.pool.submit(job)
    return job.id, jobs.pid(job.id)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_worker_that_is_killed_is_reported_and_the_other_goes_on(
    jobs: Jobs, number: signal.Signals
) -> None:
    job, pid = hang(jobs)
    os.kill(pid, number)
    other = jobs.submit()
    events = jobs.events(job, other)
    assert [event.kind for event in events[job]] == ["died"]
    assert events[job][0].data == {"exitcode": -number}
    assert events[other][-1].data["status"] == "ok"
    assert not is_alive(pid)


def test_a_cancelled_job_is_not_heard_of_again(jobs: Jobs) -> None:
    job, pid = hang(jobs)
    jobs.pool.cancel(job)
    assert not is_alive(pid)
    other = jobs.submit()
    assert job not in jobs.events(other)
    jobs.pool.cancel("unknown")


@pytest.mark.parametrize("force", [True, False])
def test_closing_ends_idle_and_busy_workers(jobs: Jobs, force: bool) -> None:
    idle = jobs.submit()
    pids = [jobs.events(idle)[idle][0].data["pid"]]
    # The idle worker takes this one, so another is needed for the next.
    pids.append(hang(jobs)[1])
    start = time.monotonic()
    jobs.pool.close(force=force)
    assert time.monotonic() - start < 5
    assert not any(is_alive(pid) for pid in pids)


def test_a_module_that_could_not_be_preloaded_is_named_once(pool: Pool) -> None:
    with pytest.warns(UserWarning, match=ENGINE):
        pool._check_preload([ENGINE])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool._check_preload([ENGINE])


def test_a_later_pool_may_ask_for_more_without_a_warning(pool: Pool, tmp_path: Path) -> None:
    """The server outlives an experiment, so it cannot know what the next one needs."""
    later = Pool(1, ["torch", "a.module.unknown.before"], 100)
    try:
        jobs = Jobs(later, tmp_path)
        job = jobs.submit()
        assert jobs.events(job)[job][-1].data["status"] == "ok"
    finally:
        later.close(force=True)


def test_the_main_module_is_not_imported_in_workers(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that calls `bench.run` unguarded would start an experiment in each worker."""
    marker = tmp_path / "imported"
    script = tmp_path / "script.py"
    script.write_text(f"open({str(marker)!r}, 'w').close()")
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", main)
    job = jobs.submit()
    assert jobs.events(job)[job][-1].data["status"] == "ok"
    assert not marker.exists()
    assert sys.modules["__main__"] is main
