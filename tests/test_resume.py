"""A run that was stopped and goes on gives the bits of one that never stopped."""

from __future__ import annotations

import dataclasses
import os
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from trainers import adamw, batches, job, momentum, run

import bench_augment
import bench_optim
from bench.engine import checkpoint, interruption
from bench.engine.augment import Augmenter
from bench.engine.interruption import Interrupted
from bench.engine.pipeline import Batches
from bench.engine.training import Training
from bench.records import EpochMetrics
from bench.specs import ImageKind

EPOCHS, STEPS = 6, 3
MIXUP = {each.name: each for each in bench_augment.register_augmentations()}["mixup"]
PLATEAU = {each.name: each for each in bench_optim.register_schedules()}["reduce-on-plateau"]
ONE_CYCLE = {each.name: each for each in bench_optim.register_schedules()}["one-cycle"]


class Noisy(nn.Module):
    """A network that draws from every generator there is."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()),
            *(nn.Dropout(0.3), nn.Linear(64, 3)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x * (1 + 0.1 * random.random() + 0.1 * float(np.random.rand()))
        return self.body(x)


@pytest.fixture(autouse=True)
def _wish_forgotten() -> Iterator[None]:
    interruption.clear()
    yield
    interruption.clear()


def seeded() -> Noisy:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    return Noisy()


def stop_at(step: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss that asks for an end in one step of the run, from 1."""
    calls = iter(range(1, 10_000))

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if next(calls) == step:
            interruption.request()
        return functional.cross_entropy(logits, labels)

    return loss


def bits(what: Training) -> dict[str, Any]:
    """Return all that must not depend on whether a run was stopped."""
    what.progress = dataclasses.replace(what.progress, resumed=0)
    state = what.state(type("NoClock", (), {"parts": {}})())
    for epoch in state["history"]:
        del epoch["seconds"], epoch["images_per_second"]
    for point in state["points"]:
        del point["seconds"]
    return state


def assert_same(one: Any, other: Any, path: str = "") -> None:
    if isinstance(one, Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, Mapping):
        assert one.keys() == other.keys(), path
        for name in one:
            assert_same(one[name], other[name], f"{path}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for place, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, theirs, f"{path}[{place}]")
    else:
        assert one == other, path


def mixed() -> Batches:
    transforms = MIXUP.build((1, 6, 6), ImageKind.SYMBOL, **MIXUP.defaults)
    return dataclasses.replace(batches(40), augmenter=Augmenter(transforms, 5, 40))


PROTOCOLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ema": {"averaging": "ema", "ema_decay": 0.8},
    "swa": {"averaging": "swa", "swa_start": 0.3},
    "regularised": {"l1": 1e-3, "l2": 1e-2, "clip_norm": 0.5, "clip_value": 0.1, "warmup": 1.5},
    "micro": {"micro_batch": 5},
    "points": {"log_steps": 2},
    "last": {"select": "last"},
    "patient": {"patience": 2, "monitor": "log_loss", "min_delta": 0.01},
}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=[*PROTOCOLS])
@pytest.mark.parametrize("step", [1, 8, 9, 14])
def test_a_stopped_run_goes_on_to_the_same_bits(
    protocol: dict[str, Any], step: int, tmp_path: Path
) -> None:
    data, val = batches(40), batches(12, 1)
    full = {"epochs": EPOCHS, "select": "best", **protocol}
    parts = 4 if "micro_batch" in protocol else 1

    def made(**fields: Any) -> Training:
        model = seeded()
        factors = ONE_CYCLE.build(EPOCHS * STEPS, STEPS)
        return job(model, adamw(model), factors, protocol=full, **fields)

    whole = run(made(), data, val)
    path = tmp_path / "checkpoint.pt"
    stopped = made(loss=stop_at(1 + (step - 1) * parts))
    with pytest.raises(Interrupted, match=f"epoch {(step - 1) // STEPS + 1}"):
        run(stopped, data, val, path=path)
    # What another run leaves behind in this process is not to matter.
    torch.rand(3), random.random(), np.random.rand()
    interruption.clear()
    resumed = run(made(), data, val, path=path)
    assert resumed.job.progress.resumed == 1
    assert_same(bits(resumed.job), bits(whole.job))
    assert resumed.best_epoch == whole.best_epoch
    # Nothing is done twice.
    assert [m.epoch for m in resumed.reported if isinstance(m, EpochMetrics)] == [
        m.epoch for m in whole.epochs if m.epoch >= (step - 1) // STEPS + 1 + (step % STEPS == 0)
    ]


class Centred(nn.Module):
    """A loss that remembers: cross-entropy of logits less their running mean."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        self.mean = 0.8 * self.mean + 0.2 * logits.detach().mean(0)
        return functional.cross_entropy(logits - self.mean, labels)


def test_a_loss_with_a_state_goes_on_as_well(tmp_path: Path) -> None:
    data, val = batches(40), batches(12, 1)
    path = tmp_path / "checkpoint.pt"
    weights = []
    for stopped in (False, True):
        model = seeded()
        loss = Centred()
        what = job(model, adamw(model), loss=loss)
        if stopped:
            loss.register_forward_hook(lambda *arguments: interruption.request())
            with pytest.raises(Interrupted):
                run(what, data, val, path=path)
            interruption.clear()
            model = seeded()
            what = job(model, adamw(model), loss=Centred())
        run(what, data, val, path=path)
        weights.append(model.state_dict())
        path.unlink(missing_ok=True)
    assert_same(*weights)


def test_a_state_may_come_from_another_memory_layout(tmp_path: Path) -> None:
    """torch's fused kernels for CPUs do not look at strides."""
    data, val = batches(40), batches(12, 1)
    path = tmp_path / "checkpoint.pt"
    found = []
    for layouts in ((torch.channels_last,), (torch.contiguous_format, torch.channels_last)):
        for number, layout in enumerate(layouts):
            interruption.clear()
            torch.manual_seed(1)
            model = nn.Sequential(
                *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten()),
                nn.Linear(24, 3),
            ).to(memory_format=layout)
            optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
            is_last = number == len(layouts) - 1
            loss = functional.cross_entropy if is_last else stop_at(5)
            shaped = dataclasses.replace(data, memory_format=layout)
            what = job(model, optimizer, loss=loss)
            if is_last:
                run(what, shaped, val, path=path)
            else:
                with pytest.raises(Interrupted):
                    run(what, shaped, val, path=path)
        found.append(model.state_dict())
        path.unlink(missing_ok=True)
    for name, tensor in found[0].items():
        assert torch.allclose(tensor, found[1][name], atol=1e-5), name


@pytest.mark.parametrize("step", [5, 12, 16])
def test_mixed_images_and_a_schedule_that_looks_at_val_go_on_as_well(
    step: int, tmp_path: Path
) -> None:
    data, val = mixed(), batches(12, 1)

    def made(**fields: Any) -> Training:
        model = seeded()
        schedule = PLATEAU.build(EPOCHS * STEPS, STEPS, **{**PLATEAU.defaults, "patience": 1})
        return job(model, momentum(model), schedule, protocol={"epochs": EPOCHS}, **fields)

    whole = run(made(), data, val)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Interrupted):
        run(made(loss=stop_at(step)), data, val, path=path)
    interruption.clear()
    assert_same(bits(run(made(), data, val, path=path).job), bits(whole.job))


def test_a_run_may_be_stopped_many_times(tmp_path: Path) -> None:
    data, val = batches(40), batches(12, 1)
    protocol = {"epochs": EPOCHS, "averaging": "ema", "select": "best"}

    def made(**fields: Any) -> Training:
        model = seeded()
        return job(model, adamw(model), [1.0] * 99, protocol=protocol, **fields)

    whole = run(made(), data, val)
    path = tmp_path / "checkpoint.pt"
    stops = 0
    while True:
        interruption.clear()
        try:
            resumed = run(made(loss=stop_at(2)), data, val, path=path)
        except Interrupted:
            stops += 1
        else:
            break
    assert stops >= 8
    assert resumed.job.progress.resumed == stops
    assert_same(bits(resumed.job), bits(whole.job))


def test_the_state_is_saved_at_the_end_of_epochs_and_inside_long_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, val = batches(40), batches(12, 1)
    saved: list[tuple[int, int]] = []
    save = checkpoint.Checkpoints.save

    def note(self: checkpoint.Checkpoints, state: Mapping[str, Any]) -> bool:
        saved.append((len(state["history"]), state["step"]))
        return save(self, state)

    monkeypatch.setattr(checkpoint.Checkpoints, "save", note)
    monkeypatch.setattr(checkpoint, "SHORTEST_SECONDS", 0.0)
    model = seeded()
    run(job(model, adamw(model)), data, val, path=tmp_path / "a.pt")
    # None at the end of the last epoch: nothing that follows takes as long.
    assert saved == [(1, 0), (2, 0)]
    saved.clear()
    model = seeded()
    run(job(model, adamw(model)), data, val, path=tmp_path / "b.pt", minutes=1e-9)
    assert saved == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]


def test_the_weights_of_the_best_epoch_are_not_saved_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, val = batches(40), batches(12, 1)
    monkeypatch.setattr(checkpoint, "SHORTEST_SECONDS", 0.0)
    held: list[tuple[bool, bool]] = []
    save = checkpoint.Checkpoints.save

    def note(self: checkpoint.Checkpoints, state: Mapping[str, Any]) -> bool:
        is_best = state["selection"]["epoch"] == len(state["history"])
        held.append((is_best, state["selection"]["weights"] is not None))
        return save(self, state)

    monkeypatch.setattr(checkpoint.Checkpoints, "save", note)
    model = seeded()
    factors = [1.0] * 12 + [50.0] * 24  # from the fifth epoch on it gets worse
    what = job(model, adamw(model), factors, protocol={"epochs": 12, "select": "best"})
    run(what, data, val, path=tmp_path / "c.pt")
    assert {is_best for is_best, _ in held} == {True, False}
    assert all(is_held is not is_best for is_best, is_held in held)


def test_what_was_spent_before_is_counted(tmp_path: Path) -> None:
    data, val = batches(40), batches(12, 1)
    path = tmp_path / "checkpoint.pt"
    model = seeded()
    with pytest.raises(Interrupted):
        run(job(model, adamw(model), loss=stop_at(5)), data, val, path=path)
    before = torch.load(path, weights_only=True)["spent"]["train_seconds"]
    interruption.clear()
    model = seeded()
    resumed = run(job(model, adamw(model)), data, val, path=path)
    seconds = sum(metrics.seconds for metrics in resumed.epochs)
    assert seconds > before > 0
    assert resumed.clock.parts["train_seconds"] == pytest.approx(seconds)


class Payload:
    """What a pickle may do to whoever loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def damaged(path: Path, tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield checkpoints that must not be used."""
    whole = path.read_bytes()
    yield "empty", b""
    yield "cut", whole[: len(whole) // 2]
    yield "one byte short", whole[:-1]
    yield "text", b"<!DOCTYPE html>"
    for name, content in (
        ("pickle", Payload(tmp_path / "ran")),
        ("foreign", {"some": "thing"}),
        ("list", [1, 2, 3]),
        ("another run", {**torch.load(path, weights_only=True), "run": "another"}),
        ("another version", {**torch.load(path, weights_only=True), "schema": 99}),
        ("hidden", {"schema": 1, "run": "a run", "model": Payload(tmp_path / "ran")}),
    ):
        torch.save(content, path)
        yield name, path.read_bytes()
    yield "plain pickle", pickle.dumps(Payload(tmp_path / "ran"))


def test_21_a_damaged_foreign_or_hostile_checkpoint_is_not_used_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, val = batches(40), batches(12, 1)
    path = tmp_path / "checkpoint.pt"
    model = seeded()
    whole = run(job(model, adamw(model)), data, val)
    model = seeded()
    with pytest.raises(Interrupted):
        run(job(model, adamw(model), loss=stop_at(5)), data, val, path=path)
    interruption.clear()
    for name, content in list(damaged(path, tmp_path)):
        path.write_bytes(content)
        model = seeded()
        again = run(job(model, adamw(model)), data, val, path=path)
        assert again.job.progress.resumed == 0, name
        assert "is not used, the run starts anew" in capsys.readouterr().err, name
        assert_same(bits(again.job), bits(whole.job))
    assert not (tmp_path / "ran").exists()
