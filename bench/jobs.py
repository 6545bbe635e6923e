"""What a worker is asked to do, and what it reports: plain data that crosses between processes."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class JobKind(enum.StrEnum):
    """What a worker can be asked to do."""

    HELLO = "hello"
    PREPARE = "prepare"
    DESCRIBE = "describe"
    CHECK = "check"
    REHEARSE = "rehearse"
    RUN = "run"
    PREDICT = "predict"
    EXPORT = "export"
    PROBE = "probe"


class JobEventKind(enum.StrEnum):
    """What a worker reports, in this order; the last two end a job."""

    STARTED = "started"
    PROGRESS = "progress"
    FINISHED = "finished"
    DIED = "died"


@dataclass(frozen=True)
class Job:
    """One request to a worker.

    Attributes:
        id: unique within the executor.
        kind: what to do.
        payload: plain data, as `bench.engine.worker.perform` takes it.
        log: the file that receives what the job prints.
    """

    id: str
    kind: JobKind
    payload: dict[str, Any]
    log: Path


@dataclass(frozen=True)
class JobEvent:
    """One report from a worker. `data` is plain; for DIED it holds `exitcode`."""

    job_id: str
    kind: JobEventKind
    data: dict[str, Any] = field(default_factory=dict)
