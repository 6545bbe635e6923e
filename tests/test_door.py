"""The Python door: what is in it stays, and an author's type checker knows it."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bench
from bench import deprecations, hookspecs

ROOT = Path(__file__).parent.parent
NAMES = [
    "API_VERSION",
    "SINGLE_LABEL",
    "AmbiguousNameError",
    "Answers",
    "Augmentation",
    "BenchError",
    "Component",
    "ConfigError",
    "DataError",
    "Dataset",
    "DatasetHints",
    "EnvironmentFailure",
    "EpochMetrics",
    "Executor",
    "ExecutorSession",
    "Files",
    "ImageKind",
    "Job",
    "JobEvent",
    "JobEventKind",
    "Loss",
    "Metric",
    "Model",
    "ModelHints",
    "Optimizer",
    "Origin",
    "PluginError",
    "Preprocessing",
    "Report",
    "RunRecord",
    "RunSpec",
    "RunStatus",
    "Schedule",
    "Splits",
    "StoreError",
    "Task",
    "Tracker",
    "TrackerSession",
    "UnknownNameError",
    "UsageError",
    "Weights",
    "hookimpl",
    "load_records",
    "run",
]
"""What plugins may use. A name is added here when `bench` gets it; it leaves with its entry in
`bench.deprecations.NAMES`, a release after it began to warn (docs/plugins/versions.md)."""
HOOKS = {
    **{f"register_{plural}": () for plural in ("datasets", "models", "weights", "optimizers")},
    **{f"register_{plural}": () for plural in ("schedules", "losses", "augmentations", "metrics")},
    **{f"register_{plural}": () for plural in ("executors", "reports", "trackers", "baselines")},
    "run_started": ("run",),
    "epoch_finished": ("run", "metrics"),
    "run_finished": ("record",),
}
"""The hooks with their arguments; alike. pluggy passes arguments by name: a new one breaks nobody,
one that is renamed or gone does."""


def test_the_door_holds_these_names_and_no_others() -> None:
    gone = {name for name, known in deprecations.NAMES.items() if not known.target}
    assert [*bench.__all__] == sorted(
        {*NAMES} - {*deprecations.NAMES}, key=lambda name: (not name.isupper(), name)
    )
    assert not gone & {*dir(bench)}


def test_the_hooks_are_these() -> None:
    found = {
        name: tuple(inspect.signature(value).parameters)
        for name, value in vars(hookspecs).items()
        if hasattr(value, f"{hookspecs.PROJECT}_spec")
    }
    gone = {name for name in deprecations.HOOKS if name not in found}
    assert found == {name: arguments for name, arguments in HOOKS.items() if name not in gone}


def test_the_door_opens_on_what_is_asked_for_alone() -> None:
    script = (
        "import sys, bench\n"
        "def own(): return sorted(n for n in sys.modules if n.startswith('bench.'))\n"
        "print(own(), dir(bench) >= bench.__all__)\n"
        "bench.DataError\nprint(own())\n"
        "assert bench.DataError is bench.DataError\n"
        "from bench import *\nprint(Dataset is bench.Dataset, run is bench.run)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("[] ")
    assert lines[1:] == ["['bench.errors']", "True True"]


def test_it_says_that_it_is_typed() -> None:
    assert Path(bench.__file__).with_name("py.typed").exists()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["bench"]


def test_the_types_are_of_use_to_an_author(tmp_path: Path) -> None:
    """`typed_plugin.py` passes a strict checker, which finds each line that is wrong on purpose."""
    pytest.importorskip("mypy")
    # What neither the door nor the sample speaks of is not looked into, for time.
    others = "torch matplotlib optuna pandas PIL pydantic rich scipy sklearn sqlalchemy timm"
    skipped = ",".join(f"{name}.*" for name in others.split())
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = True\ndisallow_subclassing_any = False\n"
        f"[mypy-{skipped}]\nfollow_imports = skip\nignore_missing_imports = True\n"
        "[mypy-bench.*]\nignore_errors = True\n"
    )
    sample = Path(__file__).with_name("typed_plugin.py")
    words = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-error-summary"]
    environment = {"MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [*words, str(sample)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
