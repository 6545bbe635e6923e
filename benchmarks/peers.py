"""One network on the same data under bench and under others: seconds a step, as ratios.

Every arm starts from the same weights, takes the same items in the same steps, in float32 on one
CPU thread, by SGD with momentum at a constant rate, without augmentation. Each run of an arm is a
process of its own, and the clock is outside: an arm prints a line at the end of each epoch, and
what counts is the time from the first of them to the last, so that start-up, imports, compilation
and what is done once a run do not. Rounds go through the arms forwards, then backwards. In every
round the mean loss of the first epoch must agree with the bare loop's, and those of later epochs
as far as roundings grow, or the arm is left out.

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
from problem import EPOCH, MOMENTUM  # noqa: E402 - a neighbour of the arms

GROWTH = 20
"""How much further apart losses may be after the first epoch: other kernels round otherwise."""
FLOOR = "bare loop, resident uint8"
LIBRARIES = ("torch", "torchvision", "timm", "lightning", "keras", "transformers", "fastai")


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        script: in `arms/`; its docstring says what it does.
        option: which variant of it.
        needs: packages beyond those of bench.
        slow: takes the shorter run.
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
        epochs: of a run, and of a run of slow arms; the first is not timed.
        tolerance: of the first epoch's mean loss, absolute.
    """

    set: dict[str, object]
    size: int
    images: int
    epochs: tuple[int, int]
    lr: float = 0.01
    tolerance: float = 1e-3


NETWORKS = {
    "mlp": Network({}, 28, 20_000, (11, 4)),
    # Without dropout: whose draws cannot be alike in all arms.
    "cnn": Network({"cnn.dropout": 0.0, "cnn.dense_dropout": 0.0}, 28, 1_920, (5, 4)),
    # Deep networks with batch normalisation blow up what kernels round differently, at any rate.
    "resnet18": Network({}, 32, 640, (3, 3), lr=1e-4, tolerance=5e-3),
}


def main():
    given = parsed()
    network = NETWORKS[given.network]
    most, most_slow = given.epochs or network.epochs
    tolerance = given.tolerance or network.tolerance
    arms = [arm for arm in ARMS if wanted(arm, given.arms)]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        environment = environ(work)
        count = given.images or network.images
        steps, fused = prepare(work, given.network, network, count, given.batch_size, most)
        times, timings, curves = defaultdict(list), [], {}
        # The bare loop comes first in the first round: all others' losses are held against its.
        left = sorted((arm for arm in arms if is_there(arm)), key=lambda arm: arm.name != FLOOR)
        for number in range(given.rounds):
            for arm in left[:: 1 if number % 2 == 0 else -1]:
                try:
                    took = clocked(arm, most_slow if arm.slow else most, work, environment)
                    apart = agree(arm, took.losses, curves, tolerance)
                except (RuntimeError, AssertionError) as error:
                    print(f"{arm.name}: left out: {error}", file=sys.stderr)
                    left = [other for other in left if other is not arm]
                    times.pop(arm.name, None)
                    continue
                times[arm.name].append((took.wall / steps, took.cpu / steps))
                if arm.name == "bench":
                    timings.append(took.timing)
                told = f"losses differ by {apart:.1e} from the bare loop's"
                print(f"round {number + 1}: {arm.name}: {told}", file=sys.stderr)
    versions = {name: version(name) for name in LIBRARIES}
    print(
        f"{given.network}, {count:,} images {network.size}×{network.size}×1, batch "
        f"{given.batch_size}, {steps} steps an epoch, runs of {most} epochs "
        f"({most_slow} for slow arms), SGD (lr {network.lr}, momentum {MOMENTUM}, "
        f"{'fused' if fused else 'not fused'}; Keras and fastai have their own), float32, "
        f"1 thread, n = {given.rounds} rounds; losses of the first epoch agree to {tolerance:g}\n"
    )
    print(
        f"{hardware.cpu_name()}, {hardware.cpu_count()} cores, python {platform.python_version()}, "
        + ", ".join(f"{name} {number}" for name, number in versions.items() if number)
        + "\n"
    )
    print_table({arm.name: times[arm.name] for arm in ARMS if arm.name in times})
    if timings:
        print_parts(timings)


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
        help="of a run and of a run of slow arms, such as 20,5",
    )
    return parser.parse_args()


def wanted(arm, names):
    parts = [part.strip().lower() for part in names.split(",") if part.strip()]
    return arm.name == FLOOR or not parts or any(part in arm.name.lower() for part in parts)


def is_there(arm):
    why = missing(arm)
    if why:
        print(f"{arm.name}: left out: {why}", file=sys.stderr)
    return not why


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


def prepare(work, name, network, count, batch_size, most):
    """Write what the arms read, bench's own job among it.

    Returns the steps of an epoch, and whether bench's optimizer is fused.
    """
    registry = load_registry()
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
        "offline": config.offline,
        "checkpoint_minutes": config.checkpoint_minutes,
        "rerun": config.rerun,
    }
    (work / "bench.json").write_text(json.dumps(payload), "utf-8")

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
    """One process: wall and CPU seconds an epoch after the first, and what it printed."""

    wall: float
    cpu: float
    losses: list[float]
    timing: dict[str, float]


def clocked(arm, epochs, work, environment):
    command = [sys.executable, "-W", "ignore", HERE / arm.script, work, str(epochs), arm.option]
    walls, cpus, said = [], [], ""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=work
        ) as process,
    ):
        for line in process.stdout:
            if line.strip() == EPOCH:
                walls.append(time.perf_counter())
                cpus.append(cpu_seconds(process.pid))
            said = line.strip() or said
        process.wait()
        errors.seek(0)
        if process.returncode:
            raise RuntimeError((errors.read().strip() or "no message").splitlines()[-1])
    assert len(walls) == epochs, f"it told of {len(walls)} epochs, not of {epochs}"
    told = json.loads(said)
    timed = epochs - 1
    return Took(
        (walls[-1] - walls[0]) / timed,
        (cpus[-1] - cpus[0]) / timed,
        told["losses"],
        told.get("timing", {}),
    )


def cpu_seconds(pid):
    """Return the processor time of a process so far; that of its children does not count."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def agree(arm, losses, curves, tolerance):
    """Return how far losses are from the bare loop's longest so far; too far is an error."""
    known = curves.setdefault(FLOOR, losses) if arm.name == FLOOR else curves[FLOOR]
    if arm.name == FLOOR and len(losses) > len(known):
        curves[FLOOR] = losses
    common = min(len(known), len(losses))
    apart = np.abs(np.subtract(losses[:common], known[:common]))
    told = f"its losses differ by {apart[0]:.1e} to {apart.max():.1e} from those of the bare loop"
    assert apart[0] <= tolerance, told
    assert apart.max() <= GROWTH * tolerance, told
    return apart.max()


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


def print_parts(timings):
    """Print where bench's time goes, by its own record of a whole run."""
    whole = statistics.median(timing["wall_seconds"] for timing in timings)
    print(f"\nbench's own record of a run, milliseconds (medians), of {1000 * whole:.0f}:\n")
    for name in timings[0]:
        value = statistics.median(timing[name] for timing in timings)
        if name.endswith("_seconds") and name != "wall_seconds" and value > whole / 1000:
            print(f"- {name.removesuffix('_seconds')}: {1000 * value:.1f}")


if __name__ == "__main__":
    main()
