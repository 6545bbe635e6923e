"""Trains a few small networks, as one process or as one rank of several; see test_distributed.

python rank_cases.py FOLDER cpu|cuda     as a command of torch's launcher: saves what came of it
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from trainers import batches, job

import bench_augment
import bench_optim
from bench.engine import distributed, interruption, launching
from bench.engine.augment import Augmenter
from bench.engine.checkpoint import Checkpoints
from bench.engine.clock import Clock
from bench.engine.distributed import Group, Ranks
from bench.engine.interruption import Interrupted
from bench.engine.pipeline import Batches
from bench.engine.training import Diverged, Training, train
from bench.specs import ImageKind

COUNT, EPOCHS, EVEN, UNEVEN = 40, 3, 16, 15
MIXUP = {each.name: each for each in bench_augment.register_augmentations()}["mixup"]
PLATEAU = {each.name: each for each in bench_optim.register_schedules()}["reduce-on-plateau"]


def plain() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def normalised() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(64, 8), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 3)),
    )


class Idle(nn.Module):
    """A network of which a part is never asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.spare = plain(), nn.Linear(7, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Noisy(nn.Module):
    """A network that draws from every generator there is."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(normalised(), nn.Dropout(0.3), nn.Linear(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x * (1 + 0.1 * random.random() + 0.1 * float(np.random.rand()))
        return self.body(x)


@dataclasses.dataclass
class Case:
    """A training that is to come to the same in one process and in several."""

    network: Callable[[], nn.Module] = plain
    batch: int = EVEN
    protocol: dict[str, Any] = dataclasses.field(default_factory=dict)
    plateau: bool = False
    mixes: bool = False


CASES = {
    "even": Case(),
    "uneven": Case(batch=UNEVEN),
    "sync": Case(normalised),
    "sync-uneven": Case(normalised, UNEVEN),
    "sync-ema": Case(normalised, UNEVEN, {"averaging": "ema", "ema_decay": 0.8}),
    "sync-swa": Case(normalised, UNEVEN, {"averaging": "swa", "swa_start": 0.3}),
    "sync-swa-micro": Case(plain, UNEVEN, {"averaging": "swa", "micro_batch": 4}),
    "micro": Case(batch=UNEVEN, protocol={"micro_batch": 4}),
    "regularised": Case(
        batch=UNEVEN,
        protocol={"l1": 1e-3, "l2": 1e-2, "clip_norm": 0.5, "clip_value": 0.1, "warmup": 1.5},
    ),
    "points": Case(batch=UNEVEN, protocol={"log_steps": 2, "patience": 1, "select": "best"}),
    "plateau": Case(plateau=True),
    "mixed": Case(batch=UNEVEN, mixes=True),
    "idle": Case(Idle),
}


def seed() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)


def data(*, mixes: bool = False) -> tuple[Batches, Batches]:
    images = batches(COUNT)
    if mixes:
        transforms = MIXUP.build((1, 6, 6), ImageKind.SYMBOL, **MIXUP.defaults)
        images = dataclasses.replace(images, augmenter=Augmenter(transforms, 5, COUNT))
    return images, batches(300, 1)


def made(case: Case, group: Group, **fields: Any) -> Training:
    seed()
    model = case.network()
    group.synchronise_norms(model)
    steps = -(-COUNT // case.batch)
    schedule = None
    if case.plateau:
        schedule = PLATEAU.build(EPOCHS * steps, steps, **{**PLATEAU.defaults, "patience": 1})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    protocol = {"epochs": EPOCHS, **case.protocol}
    plain = {"count": COUNT, "protocol": protocol, "batch_size": case.batch, "group": group}
    return job(model, optimizer, schedule, **{**plain, **fields})


def run(what: Training, mixes: bool = False, path: Path | None = None) -> Training:
    clock = Clock()
    checkpoints = Checkpoints(path, "a run", writes=what.group.is_first)
    state = checkpoints.load()
    if state is not None:
        what.restore(state, clock)
    train(what, *data(mixes=mixes), lambda metrics: None, clock, checkpoints)
    return what


def told(what: Training) -> dict[str, Any]:
    """Return what a training has come to, without what hangs on a clock."""
    timed = ("seconds", "images_per_second")
    kept = [each.to_dict() for each in [*what.progress.history, *what.progress.points]]
    assert what.selection.val is not None
    return {
        "weights": what.model.state_dict(),
        "curves": [{k: v for k, v in each.items() if k not in timed} for each in kept],
        "epoch": what.selection.epoch,
        "ids": torch.from_numpy(what.selection.val.ids),
        "probabilities": torch.from_numpy(what.selection.val.probabilities),
    }


def stopped(group: Group, folder: Path) -> dict[str, Any]:
    """Stop a training at the wish of the last rank, go on, and return what both come to."""
    noisy = functools.partial(Case, Noisy, UNEVEN, {"averaging": "ema"})
    calls = iter(range(1000))

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if next(calls) == 4 and group.rank == group.size - 1:
            interruption.request()
        return functional.cross_entropy(logits, labels)

    def seeded(**fields: Any) -> Training:
        what = made(noisy(), group, **fields)
        group.seed_apart(1)
        return what

    whole = told(run(seeded()))
    path = folder / "checkpoint.pt"
    message = ""
    try:
        run(seeded(loss=loss), path=path)
    except Interrupted as error:
        message = str(error)
    interruption.clear()
    group.any(False)  # the first rank has written before the others read
    resumed = run(seeded(), path=path)
    return {
        "whole": whole,
        "resumed": told(resumed),
        "times": resumed.progress.resumed,
        "message": message,
        "draws": group.gathered(float(torch.rand(()))),
    }


def diverged(group: Group) -> str:
    """Return what is raised where the loss of one rank alone is no number."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        extra = float("nan") if group.rank == group.size - 1 else 0.0
        return functional.cross_entropy(logits, labels) + extra

    try:
        run(made(Case(), group, loss=loss))
    except Diverged as error:
        return str(error)
    return ""


def unfrozen(group: Group) -> list[bool]:
    """Train a part of a network, then all of it; return whether each got the mean gradient."""
    seed()
    model = plain()
    images, _ = data()
    found = []
    for frozen in (True, False):
        model[0].requires_grad_(not frozen)
        network = group.wrap(model, lambda: images.gather(torch.arange(2)), "float32")
        again = group.wrap(model, lambda: images.gather(torch.arange(2)), "float32")
        model.zero_grad()
        chosen = group.part(torch.arange(6).view(1, 6))[0]
        loss = functional.cross_entropy(network(images.gather(chosen)), images.labels[chosen])
        loss.backward()
        own = {name: p.grad for name, p in model.named_parameters()}
        model.zero_grad()
        whole = torch.arange(6)
        functional.cross_entropy(model(images.gather(whole)), images.labels[whole]).backward()
        same = [
            (own[name] is None) if p.grad is None else torch.allclose(own[name], p.grad, atol=1e-6)
            for name, p in model.named_parameters()
        ]
        found += [network is again, all(same)]
    return found


def launched(folder: Path, device: str, count: int) -> list[dict[str, Any]]:
    """Return what each of several processes made of the cases."""
    failures: dict[int, Any] = {}

    def work() -> None:
        failures.update(launching.run_ranks([__file__, str(folder), device], count, folder))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures
    return [torch.load(folder / f"rank-{rank}.pt") for rank in range(count)]


def on_gpus(folder: Path) -> None:
    """Compare what ranks with a GPU each get for a batch with what the first gets for all of it."""
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    group = Ranks("cuda")
    seed()
    images = torch.randn(15, 1, 6, 6, device="cuda")
    labels = torch.randint(0, 3, (15,), device="cuda")
    whole = normalised().cuda()
    shared = copy.deepcopy(whole)
    group.synchronise_norms(shared)
    network = group.wrap(shared.train(), lambda: images[:2], "float32")
    chosen = group.part(torch.arange(15).view(1, 15))[0].cuda()
    loss = functional.cross_entropy(network(images[chosen]), labels[chosen]) * group.scale(15)
    loss.backward()
    functional.cross_entropy(whole(images), labels).backward()
    group.share_buffers(shared)
    grads = [[p.grad for p in model.parameters()] for model in (shared, whole)]
    pairs = [
        *zip(*grads, strict=True),
        *zip(shared.buffers(), whole.buffers(), strict=True),
    ]
    same = [one is other or torch.allclose(one, other, atol=1e-4) for one, other in pairs]
    joined = group.joined(images[chosen])
    result = {"same": same, "joined": torch.equal(joined, images), "size": group.size}
    torch.save(result, folder / f"rank-{group.rank}.pt")
    group.close()


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.AGREED_SECONDS = 0  # after every step, so that all know of a wish at once
    group = Ranks("cpu")
    result: dict[str, Any] = {
        name: told(run(made(case, group), case.mixes)) for name, case in CASES.items()
    }
    result["stopped"] = stopped(group, folder)
    result["diverged"] = diverged(group)
    result["unfrozen"] = unfrozen(group)
    result["joined"] = group.joined(torch.full((group.rank, 2), float(group.rank)))
    result["total"] = group.total(group.rank + 1)
    result["first"] = group.from_first(lambda: f"made by {group.rank}")
    torch.save(result, folder / f"rank-{group.rank}.pt")
    group.close()


if __name__ == "__main__":
    {"cpu": main, "cuda": on_gpus}[sys.argv[2]](Path(sys.argv[1]))
