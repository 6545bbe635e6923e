"""Makes `tests/faults` an installed plugin, and keeps tests away from the user's cache."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from environments import workshop
from postgres import postgresql

from bench import api
from bench.api import Result
from bench.cli import main
from bench.config import ExperimentConfig
from bench.hookspecs import hookimpl
from bench.records import EpochMetrics, RunRecord, RunSpec
from bench.registry import load_registry

__all__ = ["postgresql", "workshop"]  # fixtures for whoever asks

_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Set the paths before any worker server starts: it keeps those that it was started with."""
    folder = Path(tempfile.mkdtemp(prefix="bench-tests-"))
    config.stash[_FOLDER] = folder
    install(folder / "site", "bench-faults", {"faults": "faults"})
    paths = [str(folder / "site"), str(Path(__file__).parent)]
    sys.path[:0] = paths
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *([before] if before else [])])
    os.environ["BENCH_CACHE"] = str(folder / "cache")
    for name in ("BENCH_PLUGINS", "BENCH_STRICT_PLUGINS", "BENCH_PLUGINS_FATAL"):
        os.environ.pop(name, None)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


def install(
    site: Path,
    distribution: str,
    points: dict[str, str],
    version: str = "1.0",
    group: str = "bench",
) -> None:
    """Make a folder hold a distribution with these entry points, as an installer would."""
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata)
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    # Listings of folders are kept by their time of change, which may be the same a moment later.
    importlib.invalidate_caches()


@dataclass
class Watcher:
    """An observer that remembers; it stands in for the console.

    Attributes:
        stop_after: the number of epochs after which Ctrl-C comes; it comes once.
    """

    messages: list[str] = field(default_factory=list)
    started: list[RunSpec] = field(default_factory=list)
    epochs: list[tuple[str, EpochMetrics]] = field(default_factory=list)
    finished: list[RunRecord] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    progressed: list[tuple[str, str, int, int]] = field(default_factory=list)
    stop_after: int | None = None

    def message(self, text: str) -> None:
        self.messages.append(text)

    def progress(self, label: str, what: str, done: int, total: int) -> None:
        self.progressed.append((label, what, done, total))

    def sized(self, spec: RunSpec, facts: dict[str, Any]) -> None:
        self.sizes[spec.model.name] = facts["input_size"]

    @hookimpl
    def run_started(self, run: RunSpec) -> None:
        self.started.append(run)

    @hookimpl
    def epoch_finished(self, run: RunSpec, metrics: EpochMetrics) -> None:
        self.epochs.append((run.id, metrics))
        if self.stop_after is not None:
            self.stop_after -= 1
            if not self.stop_after:
                self.stop_after = None
                raise KeyboardInterrupt

    @hookimpl
    def run_finished(self, record: RunRecord) -> None:
        self.finished.append(record)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def experiment(tmp_path: Path, watcher: Watcher) -> Callable[..., Result]:
    """Return a function that runs an experiment in this process, as `bench.run` does.

    The worker server lives as long as this process, so torch is imported once for all tests.
    """

    def run(models: Any = "tiny", plugins: tuple[Any, ...] = (), **values: Any) -> Result:
        given = {"datasets": "tiny", "results": tmp_path / "results", "models": models, **values}
        config = ExperimentConfig.create(given)
        registry = load_registry()
        for number, plugin in enumerate(plugins):
            registry.manager.register(plugin, name=f"observer-{number}")
        return api.execute(config, registry, *api.prepare(config, registry), watcher)

    return run


@dataclass(frozen=True)
class Done:
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Return a function that runs a command line in this process."""

    def run(*arguments: Any) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        code = caught.value.code
        return Done(code if isinstance(code, int) else 0 if code is None else 1, out, err)

    return run


def statuses(result: Result) -> dict[str, str]:
    """Return model -> status of an experiment."""
    return {record.spec.model.name: str(record.status) for record in result.records}
