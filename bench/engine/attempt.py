"""What one go at a run has cost, together with those before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.engine.clock import Clock
from bench.engine.training import Progress, Training


@dataclass
class Attempt:
    """A go at a run, in this process.

    Attributes:
        clock: of the run, what was spent on it before included.
        earlier: seconds that were; whoever carries out the job adds those of this go.
        job: what is trained, once it is set up.
    """

    clock: Clock
    earlier: float = 0.0
    job: Training | None = None

    def timing(self) -> dict[str, Any]:
        """Return the `timing` of a run that ended well, since its first epoch."""
        job, parts = self.job, self.clock.parts
        assert job is not None
        steps, epochs = job.progress.history[-1].steps, len(job.progress.history)
        return {
            **parts,
            "wall_seconds": self.earlier,
            "images_per_second": steps * job.batch_size / parts["train_seconds"],
            "steps": steps,
            "epochs": epochs,
            "best_epoch": job.selection.epoch,
            "stopped_early": job.selection.exhausted and epochs < job.epochs,
            "resumed": job.progress.resumed,
        }

    def spent(self) -> dict[str, Any]:
        """Return the `timing` of a run that did not; an epoch that was begun counts."""
        progress = self.job.progress if self.job else Progress()
        steps = progress.history[-1].steps if progress.history else 0
        return {
            **self.clock.parts,
            "unfinished_seconds": self.clock.unbooked(),
            "wall_seconds": self.earlier,
            "steps": steps + progress.step,
            "epochs": len(progress.history) + bool(progress.step),
            "resumed": progress.resumed,
        }
