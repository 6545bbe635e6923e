"""Third-party packages that go wrong, each in one way, and a few that are sound.

Every one is a distribution of its own, so that a message can be held against the name of the
plugin at fault.
"""

from __future__ import annotations

from environments import Package

DATASET = """
import bench
import numpy as np

def arrays(count, seed):
    labels = np.arange(count) % 3
    images = np.random.default_rng(seed).integers(0, 120, (count, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels):
        image[2 * label : 2 * label + 3] += 100
    return images, labels

def load(data_dir):
    '''Gray images whose brightest rows tell their class.'''
    images, labels = arrays(48, 1)
    {fault}
    return bench.Splits(train=(images, labels), test=arrays(24, 2), classes=("a", "b", "c"))

@bench.hookimpl
def register_datasets():
    hints = bench.DatasetHints(train=48, test=24, image_size=8, channels=1)
    small = {{"epochs": 1, "batch_size": 16}}
    yield bench.Dataset(name="{name}", load=load, recommends=small, hints=hints)
"""

MODEL = """
import os
import signal

import bench

def build(num_classes, input_shape):
    '''One linear layer.'''
    import math
    import torch

    {fault}
    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(math.prod(input_shape), num_classes)

        def forward(self, images):
            logits = self.head(images.flatten(1))
            {late_fault}
            return logits

    return Linear()

@bench.hookimpl
def register_models():
    yield bench.Model(name="{name}", build=build)
"""

LOSS = """
import bench

@bench.hookimpl
def register_losses():
    yield bench.Loss(name="{name}", build=lambda num_classes: None)
"""


def dataset(name: str, fault: str = "pass") -> Package:
    return Package(f"bench-{name}", DATASET.format(name=name, fault=fault))


def model(name: str, fault: str = "pass", late_fault: str = "pass", package: str = "") -> Package:
    source = MODEL.format(name=name, fault=fault, late_fault=late_fault)
    return Package(f"bench-{package or name}", source)


SOUND = [dataset("bars"), model("linear")]

# They fail while they load: name -> what the warning says of it.
UNLOADABLE = {
    Package("bench-raises", "raise RuntimeError('no luck')"): "RuntimeError: no luck",
    Package("bench-exits", "import sys\nsys.exit(7)"): "SystemExit: 7",
    Package("bench-misses", "import a_package_that_nobody_has"): (
        "ModuleNotFoundError: No module named 'a_package_that_nobody_has'"
    ),
    Package("bench-no-python", "def build(:"): "SyntaxError: ",
    Package("bench-half-way", LOSS.format(name="half-way") + "    raise KeyError('second')\n"): (
        "KeyError: 'second'"
    ),
    Package("bench-misspelt", LOSS.format(name="unseen").replace("losses", "loses")): (
        "there is no hook `register_loses` (did you mean `register_losses`?)"
    ),
    Package("bench-strangers", LOSS.format(name="x").replace("losses", "models")): (
        "`register_models` returned Loss, not bench.Model"
    ),
    Package("bench-too-new", "BENCH_API = 99\nfrom bench import Unheard\n"): (
        "it is written for plugin API 99, and this bench has 1; install a newer bench-harness, or "
        "an older `bench-too-new`"
    ),
    Package("bench-too-old", "BENCH_API = 0\n" + LOSS.format(name="old")): (
        "it is written for plugin API 0, and this bench understands 1; install a newer "
        "`bench-too-old`, or an older bench-harness"
    ),
}

# Two plugins, one name.
TWINS = [model("twin", package="first"), model("twin", package="second")]

# What they return is wrong: what the run's error says of it.
WRONG_DATASETS = {
    dataset("label-is-c", "labels = labels.copy(); labels[5] = 3"): (
        "train holds label 3, but 3 classes"
    ),
    dataset("label-negative", "labels = labels.copy(); labels[5] = -1"): "train holds label -1",
    dataset("label-float", "labels = labels + 0.5"): "train labels are float64",
    dataset("two-channels", "images = np.stack([images] * 2, -1)"): "shape (48, 8, 8, 2)",
    dataset("empty", "images, labels = images[:0], labels[:0]"): "train is empty",
    dataset("load-exits", "raise SystemExit('a plugin has no business here')"): (
        "SystemExit: a plugin has no business here"
    ),
}
WRONG_MODELS = {
    model("nan", late_fault="logits = logits * float('nan')"): "returned NaN or infinite logits",
    model("one-too-many", "num_classes += 1"): "logits of shape (2, 4) for 2 images and 3 classes",
    model("pair", late_fault="return logits, logits"): "returned tuple",
}

# They take their worker with them.
DEADLY_DATASETS = {
    dataset("load-segfaults", "import os; os.kill(os.getpid(), 11)"): "SIGSEGV",
}
DEADLY_MODELS = {
    model("segfaults", "os.kill(os.getpid(), signal.SIGSEGV)"): "SIGSEGV",
    model("os-exits", "os._exit(0)"): "exited with code 0",
    model("dies-in-step", late_fault="self.training and os.kill(os.getpid(), signal.SIGKILL)"): (
        "SIGKILL"
    ),
}

# It prints wherever it is called, from Python and beside it, in every process.
NOISY = Package(
    "bench-noisy",
    """
import os

import bench

def noise(place):
    print("clamour of", place)
    os.write(1, b"clamour beside Python\\n")

noise("import")

def build(num_classes, input_shape, *, width=1):
    import math, torch

    noise("build")

    class Noisy(torch.nn.Sequential):
        def forward(self, images):
            noise("forward")
            return super().forward(images)

    return Noisy(torch.nn.Flatten(), torch.nn.Linear(math.prod(input_shape), num_classes))

def suggest(trial):
    noise("suggest")
    return {"width": trial.suggest_int("width", 1, 2)}

def load(data_dir, *, path=""):
    import numpy as np

    noise("load")
    labels = np.arange(48) % 3
    images = np.random.default_rng(0).integers(0, 255, (48, 8, 8), dtype=np.uint8)
    return bench.Splits(train=(images, labels), test=(images, labels))

def locate(data_dir, *, path=""):
    noise("locate")
    return []

def address(text):
    noise("address")
    return text

def share(answers):
    noise("metric")
    return answers.right

def report(content):
    noise("report")
    return "the text\\n"

@bench.hookimpl
def register_models():
    noise("hook")
    yield bench.Model(name="noisy", build=build, suggest=suggest)

@bench.hookimpl
def register_datasets():
    small = {"epochs": 1, "batch_size": 16}
    yield bench.Dataset(
        name="noisy-source", load=load, locate=locate, address=address, recommends=small
    )

@bench.hookimpl
def register_metrics():
    yield bench.Metric(name="noisy-share", per_item=share)

@bench.hookimpl
def register_reports():
    yield bench.Report(name="noisy-text", build=report)

@bench.hookimpl
def run_started(run):
    noise("observer")

@bench.hookimpl
def epoch_finished(run, metrics):
    noise("observer")

@bench.hookimpl
def run_finished(record):
    noise("observer")
""",
)

# What reading commands call.
NO_TEXT = Package(
    "bench-no-text",
    """
import bench

@bench.hookimpl
def register_reports():
    yield bench.Report(name="no-text", build=lambda content: 5)
    yield bench.Report(name="raising", build=lambda content: 1 / 0)

@bench.hookimpl
def register_metrics():
    yield bench.Metric(name="of-text", compute=lambda answers: "high")
    yield bench.Metric(name="exiting", compute=lambda answers: exit(9))
""",
)

# Trackers that post what they are told to a server, and wait for its answer as long as it takes.
TRACKERS = Package(
    "bench-posts",
    """
import bench

class Session:
    def __init__(self, url):
        self.url = url

    def post(self, what):
        from urllib.request import urlopen

        print("clamour of a tracker")
        urlopen(self.url, data=what.encode()).read()

    def run_started(self, run):
        self.post("started")

    def epoch_finished(self, run, metrics):
        self.post("epoch")

    def run_finished(self, record):
        self.post("finished")

    def close(self):
        pass

def build(folder, *, url=""):
    return Session(url)

def fail(folder):
    raise OSError("no server to be found")

def leave(folder):
    raise SystemExit("no server, no run")

@bench.hookimpl
def register_trackers():
    yield bench.Tracker(name="refused", build=build)
    yield bench.Tracker(name="hanging", build=build)
    yield bench.Tracker(name="failing", build=fail)
    yield bench.Tracker(name="leaving", build=leave)
""",
)

# Commands that cannot be called: name -> what is said where somebody tries.
COMMANDS = {
    "lacking": "AttributeError: module 'bench_lacking' has no attribute 'nothing'",
    "late": "SystemExit: too late",
    "thing": "`bench_thing:THING` is no click command but `int`",
}
WITH_COMMANDS = [
    Package("bench-lacking", "", points={"bench.commands": {"lacking": "bench_lacking:nothing"}}),
    Package(
        "bench-late",
        "import sys\nsys.exit('too late')",
        points={"bench.commands": {"late": "bench_late:command"}},
    ),
    Package("bench-thing", "THING = 5", points={"bench.commands": {"thing": "bench_thing:THING"}}),
    Package(
        "bench-thief",
        "import click\n\n@click.command()\ndef command():\n    print('stolen')\n",
        points={"bench.commands": {"plugins": "bench_thief:command"}},
    ),
]

# It takes with it whoever imports it.
FATAL = Package("bench-fatal", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")

SLOW_SECONDS = 1.5
SLOW = Package(
    "bench-slow",
    f"import time\nprint('the slow one is imported')\ntime.sleep({SLOW_SECONDS})\n"
    + LOSS.format(name="slow"),
    points={
        "bench": {"bench_slow": "bench_slow"},
        "bench.commands": {"slowly": "bench_slow:nothing"},
    },
)
