"""A plugin as its author's type checker sees it; `test_door.py` has it checked, nothing runs it.

The lines that are wrong on purpose end in an ignore: were one not found to be wrong, the checker
would complain of an ignore that is of no use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import bench

if TYPE_CHECKING:
    from torch import Tensor, nn, optim

BENCH_API = bench.API_VERSION


def load(data_dir: Path | None, *, count: int = 8) -> bench.Splits:
    images = np.zeros((count, 4, 4), np.uint8)
    splits = bench.Splits(train=(images, np.arange(count) % 2), classes=["odd", "even"])
    bench.Splits(trian=None, classes=[])  # type: ignore[call-arg]
    return splits


def build_model(
    num_classes: int, input_shape: tuple[int, int, int], *, width: int = 8
) -> nn.Module:
    from torch import nn

    size = input_shape[0] * input_shape[1] * input_shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.Linear(width, num_classes))


def build_optimizer(model: nn.Module, *, lr: float = 0.1) -> optim.Optimizer:
    from torch import optim

    return optim.SGD(model.parameters(), lr=lr)


def suggest(trial: Any) -> dict[str, Any]:
    return {"lr": trial.suggest_float("lr", 1e-4, 1.0, log=True)}


def build_schedule(steps: int, steps_per_epoch: int, *, factor: float = 0.5) -> Sequence[float]:
    return [factor ** (step // steps_per_epoch) for step in range(steps)]


def build_loss(num_classes: int, *, weight: float = 1.0) -> Any:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        from torch.nn.functional import cross_entropy

        return weight * cross_entropy(logits, labels)

    return loss


def per_item(answers: bench.Answers, *, least: float = 0.5) -> Any:
    if answers.probabilities is None:
        raise bench.DataError("its probabilities are not stored")
    return answers.probabilities.max(1) >= least


class Lines:
    """A tracker's session."""

    def __init__(self, folder: Path) -> None:
        self.file = (folder / "lines.txt").open("a")

    def run_started(self, run: bench.RunSpec) -> None:
        print("started", run.id, run.model.name, run.seed, file=self.file)

    def epoch_finished(self, run: bench.RunSpec, metrics: bench.EpochMetrics) -> None:
        print(run.id, metrics.epoch, metrics.val_accuracy, file=self.file)

    def run_finished(self, record: bench.RunRecord) -> None:
        print(record.id, record.status is bench.RunStatus.OK, file=self.file)

    def close(self) -> None:
        self.file.close()


class Silent:
    """Not a tracker's session: it cannot be closed."""

    def run_started(self, run: bench.RunSpec) -> None: ...


def build_tracker(folder: Path) -> bench.TrackerSession:
    return Lines(folder)


def build_silent(folder: Path) -> bench.TrackerSession:
    return Silent()  # type: ignore[return-value]


@bench.hookimpl
def register_datasets() -> Iterable[bench.Dataset]:
    yield bench.Dataset(name="zeros", load=load)
    yield bench.Dataset(name="zeros", build=load)  # type: ignore[call-arg]


@bench.hookimpl
def register_models() -> list[bench.Model]:
    return [bench.Model(name="narrow", build=build_model, hints=bench.ModelHints(family="dense"))]


@bench.hookimpl
def register_optimizers() -> list[bench.Optimizer]:
    bench.Optimizer(name=3, build=build_optimizer)  # type: ignore[arg-type]
    return [bench.Optimizer(name="plain", build=build_optimizer, suggest=suggest)]


@bench.hookimpl
def register_schedules() -> list[bench.Schedule]:
    return [bench.Schedule(name="steps", build=build_schedule)]


@bench.hookimpl
def register_losses() -> list[bench.Loss]:
    bench.Lose(name="weighted", build=build_loss)  # type: ignore[attr-defined]
    return [bench.Loss(name="weighted", build=build_loss, tasks=bench.SINGLE_LABEL)]


@bench.hookimpl
def register_metrics() -> list[bench.Metric]:
    return [bench.Metric(name="sure", per_item=per_item, tasks=bench.SINGLE_LABEL)]


@bench.hookimpl
def register_trackers() -> list[bench.Tracker]:
    return [bench.Tracker(name="lines", build=build_tracker)]


@bench.hookimpl
def run_finished(record: bench.RunRecord) -> None:
    print(record.spec.dataset.name, record.metrics.get("test", {}).get("accuracy"))


def compare(models: list[str]) -> float:
    result = bench.run(models=models, datasets="digits", epochs=1)
    return sum(record.status is bench.RunStatus.OK for record in result.records) / len(models)
