"""Executors each of which breaks one rule: the local one, with something done to it."""

from __future__ import annotations

import dataclasses
import time
from collections import deque

import bench
from bench.jobs import JobEventKind
from bench_local.pool import Pool


class Local:
    """A sound one."""

    def __init__(self, workers, preload):
        self.pool = Pool(workers, preload, 100)

    @property
    def slots(self):
        return self.pool.slots

    def submit(self, job):
        self.pool.submit(job)

    def poll(self, timeout):
        return self.pool.poll(timeout)

    def interrupt(self, job_id):
        self.pool.interrupt(job_id)

    def cancel(self, job_id):
        self.pool.cancel(job_id)

    def close(self, *, force):
        self.pool.close(force=force)


class StatusOnly(Local):
    """Tell whether a job ended well, and not what came of it."""

    def poll(self, timeout):
        for event in super().poll(timeout):
            if event.kind is JobEventKind.FINISHED:
                event = dataclasses.replace(event, data={"status": event.data["status"]})
            yield event


class LatestEpoch(Local):
    """Tell only the latest of the epochs that have come in."""

    def poll(self, timeout):
        time.sleep(0.1)
        events = super().poll(timeout)
        progress = [event for event in events if event.kind is JobEventKind.PROGRESS]
        return [event for event in events if event not in progress[:-1]]


class ShortTexts(Local):
    """Cut long texts."""

    def poll(self, timeout):
        for event in super().poll(timeout):
            if isinstance(event.data.get("result"), dict):
                result = {**event.data["result"]}
                result["long"] = result["long"][:1000]
                event = dataclasses.replace(event, data={**event.data, "result": result})
            yield event


class FailureIsDeath(Local):
    """Take a job that fails for a worker that has died."""

    def poll(self, timeout):
        for event in super().poll(timeout):
            if event.data.get("status") == "failed":
                event = bench.JobEvent(event.job_id, JobEventKind.DIED, {"exitcode": 1})
            yield event


class OneAtATime(Local):
    """Offer two slots, and start one job after the other."""

    def __init__(self, workers, preload):
        super().__init__(1, preload)
        self.waiting = deque()
        self.current = None

    @property
    def slots(self):
        return 2

    def submit(self, job):
        self.waiting.append(job)
        self.next()

    def next(self):
        if self.current is None and self.waiting:
            self.current = self.waiting.popleft()
            self.pool.submit(self.current)

    def poll(self, timeout):
        events = super().poll(timeout)
        if any(event.kind in ("finished", "died") for event in events):
            self.current = None
            self.next()
        return events

    def cancel(self, job_id):
        self.waiting = deque(job for job in self.waiting if job.id != job_id)
        if self.current is not None and self.current.id == job_id:
            super().cancel(job_id)
            self.current = None
            self.next()


class SilentDeath(Local):
    """Say nothing of a worker that has died."""

    def poll(self, timeout):
        return [e for e in super().poll(timeout) if e.kind is not JobEventKind.DIED]


class ForgetsTheHanging(Local):
    """Drop a job that is cancelled, and let its process run."""

    def __init__(self, workers, preload):
        super().__init__(workers, preload)
        self.old = []

    def cancel(self, job_id):
        if any(w.job is not None and w.job.id == job_id for w in self.pool._workers):
            self.old.append(self.pool)
            self.pool = Pool(self.slots, ["torch"], 100)

    def close(self, *, force):
        for pool in (self.pool, *self.old):
            pool.close(force=force)


class KillsTheWorkerAlone(Local):
    """End the process of a job that is cancelled, and not what that has started."""

    def __init__(self, workers, preload):
        super().__init__(workers, preload)
        self.killed = []

    def cancel(self, job_id):
        for worker in list(self.pool._workers):
            if worker.job is not None and worker.job.id == job_id:
                self.pool._workers.remove(worker)
                self.killed.append(worker)
                worker.process.kill()
                worker.process.join()


class WholeSeconds(Local):
    """Round the time that it may wait up."""

    def poll(self, timeout):
        until = time.monotonic() + 1
        events = super().poll(timeout)
        time.sleep(max(0, until - time.monotonic()) if not events else 0)
        return events


class OwnLog(Local):
    """Send what jobs print to a log of its own."""

    def submit(self, job):
        super().submit(dataclasses.replace(job, log=job.log.with_suffix(".own")))


class LeavesTheBusy(Local):
    """Close what is idle, and leave what is busy to itself."""

    def close(self, *, force):
        for worker in list(self.pool._workers):
            if worker.job is None:
                self.pool._remove(worker, force=force)


@bench.hookimpl
def register_executors():
    return [
        bench.Executor(name="sound", build=Local),
        bench.Executor(name="status-only", build=StatusOnly),
        bench.Executor(name="latest-epoch", build=LatestEpoch),
        bench.Executor(name="short-texts", build=ShortTexts),
        bench.Executor(name="failure-is-death", build=FailureIsDeath),
        bench.Executor(name="one-at-a-time", build=OneAtATime),
        bench.Executor(name="silent-death", build=SilentDeath),
        bench.Executor(name="forgets-the-hanging", build=ForgetsTheHanging),
        bench.Executor(name="kills-the-worker-alone", build=KillsTheWorkerAlone),
        bench.Executor(name="whole-seconds", build=WholeSeconds),
        bench.Executor(name="own-log", build=OwnLog),
        bench.Executor(name="leaves-the-busy", build=LeavesTheBusy),
    ]
