"""One rank of a run on several devices, in a process of its own; see `bench.engine.launching`.

Nothing heavy is imported before this process is tied to the worker that wants it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from bench.lifeline import die_with_writer


def main(folder: Path) -> None:
    """Do what the worker wants of this rank, tell it what came of it, and end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    # A writer need not be waited for: without one, the first read says so.
    life = os.open(folder / "life", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(life, True)
    die_with_writer(life)
    rank = int(os.environ["RANK"])
    connection = Client(str(folder / "socket"))
    connection.send((rank, os.getpid()))
    task = connection.recv()
    sys.path[:] = task["path"]
    failed_alone = _carry_out(task, rank, connection)
    sys.stdout.flush()
    sys.stderr.flush()
    # Where torch has been imported, an end in good order takes seconds, for nothing.
    os._exit(int(failed_alone))


def _carry_out(task: dict[str, Any], rank: int, connection: Connection) -> bool:
    """Train with the other ranks and tell the result; return whether they wait for this one."""
    import torch

    from bench.engine import worker
    from bench.engine.clock import Clock
    from bench.engine.distributed import Ranks
    from bench.records import RunStatus

    threading.Thread(target=_heed, args=(connection,), name="wishes", daemon=True).start()
    clock = Clock(since=task["begun"])
    clock.mark("launch_seconds")

    def emit(data: dict[str, Any]) -> None:
        if rank == 0:
            connection.send({"told": data})

    def work() -> dict[str, Any]:
        device = task["payload"]["spec"]["device"]
        if task["place"] is not None:
            torch.cuda.set_device(task["place"])
        return worker.carry_out(task["payload"], emit, Ranks(device), clock)

    result = worker.outcome(work)
    connection.send({"ended": result})
    # These ends are agreed on: the others come to them as well, and may be saving their state.
    agreed = (RunStatus.OK, RunStatus.INTERRUPTED, RunStatus.DIVERGED)
    return result["status"] not in agreed


def _heed(connection: Connection) -> None:
    """Pass on the wish to stop; the worker says nothing else."""
    from bench.engine import interruption

    with contextlib.suppress(EOFError, OSError):
        connection.recv()
        interruption.request()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
