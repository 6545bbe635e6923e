"""bench: what its workers are asked to do for a run, all of it.

Gathering, normalising, training, the training accuracy, predictions and metrics on val after each
epoch, checkpoints, curves on disk, the choice of an epoch; and, once a run, test and the profile,
which cancel between a long and a short run.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from problem import epoch_ends, tell

from bench.engine.worker import perform


def main():
    work = Path(sys.argv[1])
    payload = json.loads((work / "bench.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory(dir=work) as folder:
        job = {**payload, "folder": folder, "checkpoint": str(Path(folder) / "checkpoint.pt")}
        result = perform("run", job, lambda metrics: epoch_ends())
        if result["status"] != "ok":
            sys.exit(result["error"])
        lines = (Path(folder) / "epochs.jsonl").read_text("utf-8").splitlines()
        losses = [json.loads(line)["train_loss"] for line in lines]
    tell(losses, timing=result["timing"])


if __name__ == "__main__":
    main()
