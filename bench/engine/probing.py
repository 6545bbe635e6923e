"""What an executor is tried with: jobs that do as they are told, well-behaved or not."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

from bench.errors import BenchError


def perform(payload: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Take some steps, and return where that was, with the `result` that was asked for.

    Args:
        payload: `steps`, a list of pairs: `report` and plain data for whoever watches, `print` and
            a text, `start` and the seconds that a process of its own lives for, `wait` and
            seconds, `fail` and the error, `exit` and a code, or `signal` and the number of one
            that this process sends itself; and `result`, plain data.
        emit: takes what is reported.
    """
    here = {"pid": os.getpid(), "node": os.uname().nodename}
    for step, argument in payload["steps"]:
        if step == "report":
            emit({**here, **argument})
        elif step == "print":
            _print(argument)
        elif step == "start":
            emit({**here, "started": subprocess.Popen(["sleep", str(argument)]).pid})
        elif step == "wait":
            time.sleep(argument)
        elif step == "fail":
            raise BenchError(argument)
        elif step == "exit":
            os._exit(argument)
        else:
            os.kill(os.getpid(), argument)
    return {**here, "result": payload["result"]}


def _print(text: str) -> None:
    """Print as Python code does, and as C code does that knows nothing of Python's streams."""
    print(text, flush=True)
    os.write(1, f"{text} from C\n".encode())
