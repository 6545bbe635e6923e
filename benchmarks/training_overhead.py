"""Training wall time of bench's loop over a bare PyTorch loop, within one process.

Both arms train the same network from the same weights on the same resident uint8 images, batches
and order, with AdamW and a one-cycle schedule. Rounds alternate (A B B A ...); the loss of each
epoch must agree before a time counts. The clock is outside both arms; bench's arm is charged with
all it does in an epoch but the evaluation on val, which a bare loop lacks. `peers.py` has the clock
outside the process and charges bench with that too.

    python benchmarks/training_overhead.py [--model cnn|resnet18] [--images N] [--rounds N]
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import statistics
import time

import numpy as np
import torch

from bench import datastore, hardware, provenance
from bench.config import ExperimentConfig
from bench.engine import pipeline
from bench.engine.checkpoint import Checkpoints
from bench.engine.clock import Clock
from bench.engine.setup import set_up
from bench.engine.training import train
from bench.plan import plan
from bench.registry import load_registry
from bench_optim import one_cycle


def bare_loop(setup):
    """Train as one would in a notebook, with the same batches; return the loss of each epoch."""
    job, data = setup.job, setup.data.train
    model, optimizer, criterion = job.model, job.optimizer, torch.nn.CrossEntropyLoss()
    size = len(data)
    orders = [
        pipeline.epoch_order(size, job.batch_size, job.seed, epoch + 1)
        for epoch in range(job.epochs)
    ]
    lr = optimizer.param_groups[0]["lr"]
    factors = one_cycle.build(job.epochs * len(orders[0]), len(orders[0]))
    model.train()
    losses = []
    step = 0
    for order in orders:
        total = torch.zeros(())
        for indices in order:
            for group in optimizer.param_groups:
                group["lr"] = lr * factors[step]
            images = data.images.images[indices].float().div_(255).sub_(data.mean).div_(data.std)
            loss = criterion(model(images), data.labels[indices])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
            step += 1
        losses.append(total.item() / len(order))
    return losses, 0.0


def bench_loop(setup):
    """Train with the engine; return the loss of each epoch and the seconds spent on val."""
    clock = Clock()
    train(
        setup.job, setup.data.train, setup.data.val, lambda metrics: None, clock, Checkpoints(None)
    )
    losses = [metrics.train_loss for metrics in setup.job.progress.history]
    return losses, clock.parts["evaluation_seconds"]


def planned(given):
    """Return the run that both arms carry out, its dataset stored."""
    registry = load_registry()
    config = ExperimentConfig.create(
        {
            "datasets": "fashion-mnist-mini",
            "models": given.model,
            "optimizers": "adamw",
            "schedule": "one-cycle",
            "augmentation": "none",
            "epochs": given.epochs,
            "batch_size": given.batch_size,
            "limit": given.images,
            "val": 0.02,
            "threads": given.threads,
            "select": "last",
            "device": "cpu",
        }
    )
    [spec] = plan(config, registry).runs
    offer = registry.of("dataset", spec.dataset)
    dataset = datastore.prepare(offer, spec.dataset, datastore.request_of(spec))
    content = (dataset.fingerprint, dataset.variant)
    return provenance.complete(spec, registry, content, hardware.device_name("cpu"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    spec = dataclasses.replace(planned(given), placement="memory")

    arms = {"bare": bare_loop, "bench": bench_loop}
    times = {"bare": [], "bench": []}
    curves = {}
    for number in range(given.rounds + 1):
        for arm in ("bare", "bench") if number % 2 else ("bench", "bare"):
            setup = set_up(spec, 1, rehearsal=False)  # seeds all, so that dropout is alike too
            torch.manual_seed(0)
            start = time.perf_counter()
            curves[arm], aside = arms[arm](setup)
            seconds = time.perf_counter() - start - aside
            if number:  # the first round warms up
                times[arm].append(seconds)
        np.testing.assert_allclose(curves["bench"], curves["bare"], rtol=0, atol=1e-5)

    ratios = [b / a for a, b in zip(times["bare"], times["bench"], strict=True)]
    print(
        f"{given.model}, {given.images} images 28x28, batch {given.batch_size}, "
        f"{given.epochs} epoch(s), {given.threads} thread(s), n = {given.rounds} rounds"
    )
    print(f"{hardware.cpu_name()}, python {platform.python_version()}, torch {torch.__version__}")
    for arm, values in times.items():
        spread = f"{min(values):.3f} to {max(values):.3f}"
        print(f"  {arm:6} median {statistics.median(values):.3f} s ({spread})")
    print(
        f"  bench / bare: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}); losses equal to 1e-5"
    )


if __name__ == "__main__":
    main()
