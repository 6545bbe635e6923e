"""One network on the same data under bench and under others: seconds a step, as ratios.

Every arm starts from the same weights, takes the same items in the same steps, in float32 on one
CPU thread, by SGD with momentum at a constant rate, without augmentation. Each run of an arm is a
process of its own, and the clock is outside: the wall time of a long run less that of a short one,
so that start-up, imports, compilation and what is done once a run cancel. Rounds go through the
arms forwards, then backwards. A round before the first, of short runs, is not timed: in it the mean
loss of each epoch must agree with the bare loop's, or the arm is left out; timed runs are checked
too.

    python benchmarks/peers.py [--network mlp|cnn|resnet18] [--arms NAMES] [--rounds N]

`benchmarks/README.md` says how to install the others. An arm whose packages are missing is named
and skipped.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench import datastore, hardware, provenance, stored
from bench.config import ExperimentConfig
from bench.engine import data as engine_data
from bench.engine import device as devices
from bench.engine import pipeline
from bench.plan import plan
from bench.registry import load_registry

HERE = Path(__file__).parent / "arms"
sys.path.insert(0, str(HERE))
from problem import MOMENTUM  # noqa: E402 - a neighbour of the arms

FLOOR = "bare loop, resident uint8"
LIBRARIES = ("torch", "torchvision", "timm", "lightning", "keras", "transformers", "fastai")


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        script: in `arms/`; its docstring says what it does.
        option: which variant of it.
        needs: packages beyond those of bench.
        slow: takes the shorter of the two long runs.
    """

    name: str
    script: str
    option: str = ""
    needs: tuple[str, ...] = ()
    slow: bool = False


ARMS = (
    Arm("bench", "with_bench.py"),
    Arm("bare loop, batches made in advance", "bare.py", "batches"),
    Arm(FLOOR, "bare.py", "resident"),
    Arm("bare loop, torch.compile", "bare.py", "compiled"),
    Arm("DataLoader, PIL, transforms v1", "with_dataloader.py", "v1-0", slow=True),
    Arm("DataLoader, PIL, transforms v1, 2 workers", "with_dataloader.py", "v1-2", slow=True),
    Arm("DataLoader, PIL, transforms v2", "with_dataloader.py", "v2-0", slow=True),
    Arm("DataLoader, PIL, transforms v2, 2 workers", "with_dataloader.py", "v2-2", slow=True),
    Arm("Lightning", "with_lightning.py", "default", ("lightning",), slow=True),
    Arm("Lightning, barebones", "with_lightning.py", "barebones", ("lightning",), slow=True),
    Arm("Keras on torch", "with_keras.py", "", ("keras",), slow=True),
    Arm("timm, as its train.py", "with_timm.py", "", ("timm",), slow=True),
    Arm("HF Trainer", "with_transformers.py", "", ("transformers", "accelerate"), slow=True),
    Arm("fastai", "with_fastai.py", "", ("fastai",), slow=True),
)


@dataclass(frozen=True)
class Network:
    """A network and how long its runs are: the fastest arm should differ by a few seconds.

    Attributes:
        epochs: of the short and of the long run, and of the long run of slow arms. Both are
            long enough, or both too short, for bench to try which layout of memory is faster.
        tolerance: of the losses, absolute.
    """

    set: dict[str, object]
    size: int
    images: int
    epochs: tuple[int, int, int]
    lr: float = 0.01
    tolerance: float = 1e-3


NETWORKS = {
    "mlp": Network({}, 28, 20_000, (1, 17, 4)),
    # Without dropout: whose draws cannot be alike in all arms.
    "cnn": Network({"cnn.dropout": 0.0, "cnn.dense_dropout": 0.0}, 28, 1_920, (3, 8, 5)),
    # Deep networks with batch normalisation blow up what kernels round differently, at any rate.
    "resnet18": Network({}, 32, 640, (1, 3, 3), lr=1e-4, tolerance=5e-3),
}


def main():
    given = parsed()
    network = NETWORKS[given.network]
    short, long, long_slow = given.epochs or network.epochs
    tolerance = given.tolerance or network.tolerance
    arms = [arm for arm in ARMS if wanted(arm, given.arms)]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        environment = environ(work)
        count = given.images or network.images
        steps, fused = prepare(work, given.network, network, count, given.batch_size, (short, long))
        curves, left = {}, []
        for arm in sorted(arms, key=lambda arm: arm.name != FLOOR):
            why = missing(arm) or first_run(arm, short, work, environment, curves, tolerance)
            if why:
                print(f"{arm.name}: left out: {why}", file=sys.stderr)
            else:
                left.append(arm)
        left.sort(key=ARMS.index)

        times, parts = defaultdict(list), []
        for number in range(given.rounds):
            for arm in left if number % 2 == 0 else reversed(left):
                most = long_slow if arm.slow else long
                one, many = (clocked(arm, epochs, work, environment) for epochs in (short, most))
                agree(arm, many.losses, curves, tolerance)
                taken = (most - short) * steps
                times[arm.name].append(
                    ((many.wall - one.wall) / taken, (many.cpu - one.cpu) / taken)
                )
                if arm.name == "bench":
                    parts.append(difference(one.timing, many.timing, most - short))
                print(f"round {number + 1}: {arm.name}", file=sys.stderr)
    versions = {name: version(name) for name in LIBRARIES}
    print(
        f"{given.network}, {count:,} images {network.size}×{network.size}×1, batch "
        f"{given.batch_size}, {steps} steps an epoch, runs of {short} and {long} epochs "
        f"({long_slow} for slow arms), SGD (lr {network.lr}, momentum {MOMENTUM}, "
        f"{'fused' if fused else 'not fused'}; Keras and fastai have their own), float32, "
        f"1 thread, n = {given.rounds} rounds; losses agree to {tolerance:g}\n"
    )
    print(
        f"{hardware.cpu_name()}, {hardware.cpu_count()} cores, python {platform.python_version()}, "
        + ", ".join(f"{name} {number}" for name, number in versions.items() if number)
        + "\n"
    )
    print_table(times)
    if parts:
        print_parts(parts, steps)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="mlp")
    parser.add_argument("--arms", default="", help="parts of their names, with commas; all if none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, help="in an epoch; a multiple of the batch size")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--tolerance", type=float, help="of the losses, absolute")
    parser.add_argument(
        "--epochs",
        type=lambda text: tuple(int(part) for part in text.split(",")),
        help="of the short run, the long one and that of slow arms, such as 2,22,7",
    )
    return parser.parse_args()


def wanted(arm, names):
    parts = [part.strip().lower() for part in names.split(",") if part.strip()]
    return arm.name == FLOOR or not parts or any(part in arm.name.lower() for part in parts)


def missing(arm):
    """Return why an arm cannot run here, or nothing."""
    absent = [name for name in arm.needs if importlib.util.find_spec(name) is None]
    if absent:
        return f"{', '.join(absent)} is not installed"
    if arm.option.endswith("-2") and len(os.sched_getaffinity(0)) < 2:
        return "its workers need a core of their own"
    if arm.option == "compiled" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "torch.compile needs a C++ compiler"
    return ""


def environ(work):
    """Return the variables of every process; those that bench reads are set here too."""
    # An installed plugin is a folder with entry points on the path.
    metadata = work / "bench_peers-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-peers\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[bench]\nbench_peers = bench_peers\n")
    sys.path.insert(0, str(work))
    os.environ["BENCH_CACHE"] = str(work / "cache")
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **os.environ,
        **dict.fromkeys(threads, "1"),
        "PYTHONPATH": os.pathsep.join([str(work), str(HERE)]),
        "CUDA_VISIBLE_DEVICES": "",
        "KERAS_BACKEND": "torch",
        "HF_HUB_OFFLINE": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(work / "inductor"),
    }


def prepare(work, name, network, count, batch_size, epochs):
    """Write what the arms read, bench's own jobs among it.

    Returns the steps of an epoch, and whether bench's optimizer is fused.
    """
    registry = load_registry()
    for most in range(1, max(epochs) + 1):
        config = ExperimentConfig.create(
            {
                "datasets": "garments",
                "models": name,
                "optimizers": "momentum",
                "set": {
                    "garments.images": count,
                    "garments.size": network.size,
                    "momentum.lr": network.lr,
                    "momentum.momentum": MOMENTUM,
                    **network.set,
                },
                "schedule": "constant",
                "augmentation": "none",
                "epochs": most,
                "batch_size": batch_size,
                "threads": 1,
                "device": "cpu",
            }
        )
        [spec] = plan(config, registry).runs
        offer = registry.of("dataset", spec.dataset)
        dataset = datastore.prepare(offer, spec.dataset, datastore.request_of(spec))
        content = (dataset.fingerprint, dataset.variant)
        spec = provenance.complete(spec, registry, content, hardware.device_name("cpu"))
        payload = {
            "spec": spec.to_dict(),
            "workers": 1,
            "keep": config.keep,
            "checkpoint_minutes": config.checkpoint_minutes,
            "rerun": config.rerun,
        }
        (work / f"bench-{most}.json").write_text(json.dumps(payload), "utf-8")

    train = engine_data.view(spec, "garments").chosen.train
    images = dataset.images(train.split)
    mean, std = pipeline.shaped(*stored.channel_statistics(images, train.ids))
    devices.seed_everything(spec.seed)
    component = registry.of("model", spec.model).component
    model = component.build(10, (1, network.size, network.size), **spec.model.params)
    optimizer = registry.of("optimizer", spec.optimizer).component
    settings = optimizer.build(model, **spec.optimizer.params).defaults
    orders = [
        pipeline.epoch_order(count, batch_size, spec.seed, epoch + 1) for epoch in range(most)
    ]
    values = {
        "model": model,
        # Cloned: with one channel, strides of another layout count as contiguous, and convolutions
        # would go by them.
        "images": torch.from_numpy(images[train.ids])
        .permute(0, 3, 1, 2)
        .clone(memory_format=torch.contiguous_format),
        "labels": torch.from_numpy(train.labels),
        "mean": mean,
        "std": std,
        "orders": torch.stack(orders),
        "lr": network.lr,
        "fused": bool(settings["fused"]),
    }
    torch.save(values, work / "problem.pt")
    return len(orders[0]), values["fused"]


@dataclass(frozen=True)
class Took:
    """One process: its wall and CPU seconds, children included, and what it printed."""

    wall: float
    cpu: float
    losses: list[float]
    timing: dict[str, float]


def clocked(arm, epochs, work, environment):
    command = [sys.executable, "-W", "ignore", HERE / arm.script, work, str(epochs), arm.option]
    cpu, wall = cpu_seconds(), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=work)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or "no message").splitlines()[-1])
    said = json.loads(done.stdout.splitlines()[-1])
    return Took(wall, cpu, said["losses"], said.get("timing", {}))


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def first_run(arm, epochs, work, environment, curves, tolerance):
    """Try an arm and keep its losses; return why it is left out, or nothing."""
    try:
        curves[arm.name] = clocked(arm, epochs, work, environment).losses
        apart = agree(arm, curves[arm.name], curves, tolerance)
    except (RuntimeError, AssertionError) as error:
        return f"{error}"
    print(f"{arm.name}: losses differ by {apart:.1e} from the bare loop's", file=sys.stderr)
    return ""


def agree(arm, losses, curves, tolerance):
    """Return how far losses are from the bare loop's longest so far; too far is an error."""
    known = curves[FLOOR]
    if arm.name == FLOOR and len(losses) > len(known):
        curves[FLOOR] = losses
    common = min(len(known), len(losses))
    apart = np.abs(np.subtract(losses[:common], known[:common])).max()
    assert apart <= tolerance, f"its losses differ by {apart:.1e} from those of the bare loop"
    return apart


def difference(one, many, epochs):
    """Return the milliseconds an epoch of each part of bench's own timing."""
    return {
        name: 1000 * (many[name] - one.get(name, 0.0)) / epochs
        for name in many
        if name.endswith("_seconds")
    }


def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def print_table(times):
    """Print medians and ranges; ratios are taken within each round."""
    print("| arm | ms/step, wall | CPU ms/step | over the bare loop | over bench |")
    print("|---|---|---|---|---|")
    for name, taken in times.items():
        walls, cpus = ([1000 * pair[i] for pair in taken] for i in (0, 1))
        cells = [
            f"{statistics.median(walls):.3f} ({min(walls):.3f} to {max(walls):.3f})",
            f"{statistics.median(cpus):.3f}",
        ]
        for other in (FLOOR, "bench"):
            ratios = [a[0] / b[0] for a, b in zip(taken, times.get(other, []), strict=False)]
            cells.append(
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                if ratios
                else ""
            )
        print(f"| {name} | {' | '.join(cells)} |")


def print_parts(parts, steps):
    """Print where bench's time goes, by its own record."""
    whole = statistics.median(part["wall_seconds"] for part in parts)
    print(f"\nbench's own record, ms an epoch of {steps} steps (medians):\n")
    for name in parts[0]:
        value = statistics.median(part[name] for part in parts)
        if abs(value) > whole / 1000:
            print(f"- {name.removesuffix('_seconds')}: {value:.2f}")


if __name__ == "__main__":
    main()
