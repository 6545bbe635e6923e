"""What a run has left that can be used again: its network, and how it has seen images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.geometry import Geometry
from bench.records import RunRecord, RunSpec
from bench.specs import Task


@dataclass(frozen=True)
class Trained:
    """A network that a run has trained.

    Attributes:
        record: of the run.
        weights: the file that holds them.
    """

    record: RunRecord
    weights: Path

    @property
    def spec(self) -> RunSpec:
        """Return what the run was."""
        return self.record.spec

    @property
    def task(self) -> Task:
        """Return what it says of an image."""
        return Task(self.record.environment["task"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names, in the order of the logits."""
        return tuple(map(str, self.record.environment["classes"]))

    @property
    def taxonomy(self) -> tuple[tuple[str, ...], ...]:
        """Return the path to each class of a hierarchical task, where the record has it."""
        return tuple(tuple(path) for path in self.record.environment.get("taxonomy") or ())

    @property
    def threshold(self) -> float | None:
        """Return the probability from which a label of a multi-label task counts as present."""
        found = self.record.environment.get("threshold")
        return None if found is None else float(found)

    @property
    def mean(self) -> list[float]:
        """Return what is subtracted from each channel, in [0, 1]."""
        return [float(value) for value in self.record.environment["mean"]]

    @property
    def std(self) -> list[float]:
        """Return what each channel is then divided by."""
        return [float(value) for value in self.record.environment["std"]]

    @property
    def input_size(self) -> int | None:
        """Return height and width that the network gets, pixels; None where none was noted."""
        environment, profile = self.record.environment, self.record.profile
        found = environment.get("input_size") or profile.get("input_size")
        return None if found is None else int(found)

    @property
    def geometry(self) -> Geometry:
        """Return the shape that images were stored in before the network's size was made."""
        return Geometry.of_variant(self.spec.variant)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that can be sent to a worker."""
        return {"record": self.record.to_dict(), "weights": str(self.weights.absolute())}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(RunRecord.from_dict(data["record"]), Path(data["weights"]))
