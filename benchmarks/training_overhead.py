"""Training wall time of bench's loop over a bare PyTorch loop.

Both arms train the same network from the same weights on the same resident uint8 images, batches
and order, with AdamW and a one-cycle schedule, in one process. Rounds alternate (A B B A ...);
the loss of each epoch must agree before a time counts. The clock is outside both arms; bench's
arm is charged with all it does in an epoch but the evaluation on val, which a bare loop lacks.

    python benchmarks/training_overhead.py [--model cnn|resnet18] [--images N] [--rounds N]
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time

import numpy as np
import torch

from bench import datastore, hardware, selection, stored
from bench.engine import pipeline, placement
from bench.engine.evaluation import Question
from bench.engine.training import Training, train
from bench.records import ComponentRef
from bench.registry import load_registry
from bench.specs import Task
from bench_optim import one_cycle


def bare_loop(model, data, orders, factors, lr):
    """Train as one would in a notebook, with the same batches; return the loss of each epoch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    criterion = torch.nn.CrossEntropyLoss()
    model.train()
    losses = []
    step = 0
    for order in orders:
        total = torch.zeros(())
        for indices in order:
            for group in optimizer.param_groups:
                group["lr"] = lr * factors[step]
            images = (
                data.images.images.index_select(0, indices)
                .float()
                .div(255)
                .sub(data.mean)
                .div(data.std)
            )
            loss = criterion(model(images), data.labels[indices])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
            step += 1
        losses.append(total.item() / len(order))
    return losses


def bench_loop(model, data, val, epochs, batch_size, factors, lr):
    """Train with the engine; return the loss of each epoch and the seconds spent on val."""
    job = Training(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01),
        loss=torch.nn.CrossEntropyLoss(),
        factors=factors,
        epochs=epochs,
        batch_size=batch_size,
        seed=0,
        device="cpu",
        precision="float32",
        select="last",
        question=Question(Task.MULTI_CLASS, tuple(map(str, range(10)))),
    )
    result = train(job, data, val, lambda metrics: None)
    return [metrics.train_loss for metrics in result.epochs], result.evaluation_seconds


def resident(dataset, ids):
    """Place images and labels as a run on a CPU does."""
    images = dataset.images("train")
    mean, std = pipeline.shaped(*stored.channel_statistics(images, ids))
    return pipeline.Batches(
        images=placement.place(images, ids, "cpu", "memory"),
        labels=torch.from_numpy(dataset.labels("train")[ids]),
        ids=ids,
        size=28,
        resize="crop",
        mean=mean,
        std=std,
        memory_format=torch.contiguous_format,
        classes=len(dataset.classes),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    registry = load_registry()
    offer = registry.get("dataset", "fashion-mnist-mini")
    dataset = datastore.prepare(offer, ComponentRef(offer.name, offer.plugin.name))
    ids = selection.take(dataset.labels("train"), arguments.images, 0)
    data, val = resident(dataset, ids), resident(dataset, ids[:16])
    orders = [
        pipeline.epoch_order(len(ids), arguments.batch_size, 0, epoch)
        for epoch in range(1, arguments.epochs + 1)
    ]
    steps = sum(len(order) for order in orders)
    factors = one_cycle.build(steps, len(orders[0]))
    torch.manual_seed(0)
    build = registry.get("model", arguments.model).component.factory
    initial = build(10, (1, 28, 28))

    times = {"bare": [], "bench": []}
    curves = {}
    for number in range(arguments.rounds + 1):
        for arm in ("bare", "bench") if number % 2 else ("bench", "bare"):
            model = copy.deepcopy(initial)
            torch.manual_seed(0)
            start = time.perf_counter()
            if arm == "bare":
                curves[arm], aside = bare_loop(model, data, orders, factors, 2e-3), 0.0
            else:
                curves[arm], aside = bench_loop(
                    model, data, val, arguments.epochs, arguments.batch_size, factors, 2e-3
                )
            seconds = time.perf_counter() - start - aside
            if number:  # the first round warms up
                times[arm].append(seconds)
        np.testing.assert_allclose(curves["bench"], curves["bare"], rtol=0, atol=1e-5)

    ratios = [b / a for a, b in zip(times["bare"], times["bench"], strict=True)]
    print(
        f"{arguments.model}, {arguments.images} images 28x28, batch {arguments.batch_size}, "
        f"{arguments.epochs} epoch(s), {arguments.threads} thread(s), n = {arguments.rounds} rounds"
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
