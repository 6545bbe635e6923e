"""Clean environments with real wheels in them, made without the internet.

Wheels are built by setuptools and installed by pip, as an author's and a user's would be. A clean
environment has what this interpreter has, torch and pytest among it, but neither its `bench` nor
its plugins: `bench-harness` comes from a wheel of this repository, built once a session.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent
HARNESS = ("pyproject.toml", "README.md", "LICENSE", "bench", "plugins")

# Each project in a process of its own: setuptools remembers folders that it has made. Two at once.
BUILD = """
import os, sys
from setuptools import build_meta

wheels, *projects = sys.argv[1:]

def build(project):
    os.chdir(project)
    log = os.open("build.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1), os.dup2(log, 2)
    build_meta.build_wheel(wheels)

children, failed = {}, []
for number, project in enumerate(projects):
    child = os.fork()
    if not child:
        try:
            build(project)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    children[child] = project
    while len(children) > (1 if number + 1 < len(projects) else 0):
        child, status = os.wait()
        project = children.pop(child)
        if status:
            failed.append(project)
for project in failed:
    print(project, open(os.path.join(project, "build.log")).read(), file=sys.stderr)
sys.exit(bool(failed))
"""


@dataclass(frozen=True)
class Package:
    """A distribution of one module, which is called as it is, and its entry points.

    Attributes:
        points: group -> name -> object path; by default the module is a plugin of its own name.
    """

    name: str
    source: str
    version: str = "1.0"
    points: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    def write(self, folder: Path) -> Path:
        """Write the project as its author would, and return its folder."""
        points = self.points or {"bench": {self.module: self.module}}
        lines = [
            *('[build-system]\nrequires = ["setuptools"]', ""),
            'build-backend = "setuptools.build_meta"\n[project]',
            f'name = "{self.name}"\nversion = "{self.version}"',
            f'[tool.setuptools]\npy-modules = ["{self.module}"]',
        ]
        for group, entries in points.items():
            lines.append(f'[project.entry-points."{group}"]')
            lines += [f'{name} = "{value}"' for name, value in entries.items()]
        project = folder / self.name
        project.mkdir()
        (project / "pyproject.toml").write_text("\n".join(lines) + "\n", "utf-8")
        (project / f"{self.module}.py").write_text(self.source, "utf-8")
        return project


@dataclass(frozen=True)
class Told:
    """What a command line did."""

    code: int
    out: str
    err: str

    def lines(self, start: str) -> list[str]:
        """Return the lines of stderr that begin so."""
        return [line for line in self.err.splitlines() if line.startswith(start)]


@dataclass(frozen=True)
class Environment:
    """A virtual environment and the folder that its commands run in."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        """The folder that packages are installed in."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    @property
    def results(self) -> Path:
        """Where commands of this environment put results by default."""
        return self.folder / "work" / "results"

    def variables(self, **more: str) -> dict[str, str]:
        """Return what the environment's processes see: nothing of this process's own paths."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BENCH_", "PYTHON", "PYTEST_", "VIRTUAL_ENV", "COV_"))
        }
        path = os.pathsep.join([str(self.folder / "bin"), kept.get("PATH", os.defpath)])
        own = {"PATH": path, "BENCH_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"}
        return {**kept, **own, **more}

    def run(self, *words: object, timeout: float = 240, **variables: str) -> Told:
        """Run a command of the environment to its end."""
        done = subprocess.run(
            [str(word) for word in words],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=self.folder / "work",
            env=self.variables(**variables),
            stdin=subprocess.DEVNULL,
        )
        return Told(done.returncode, done.stdout, done.stderr)

    def bench(self, *words: object, timeout: float = 240, **variables: str) -> Told:
        """Run the `bench` that is installed in the environment."""
        return self.run(self.folder / "bin" / "bench", *words, timeout=timeout, **variables)


@dataclass(frozen=True)
class Workshop:
    """Builds wheels and environments; the processes of a test session share what it keeps.

    Attributes:
        folder: holds the wheel of `bench-harness`, pip, and what environments see of this one.
    """

    folder: Path

    def prepare(self) -> None:
        """Make what is shared, once a session."""
        with FileLock(self.folder.with_suffix(".lock")):
            if self.folder.exists():
                return
            making = self.folder.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            source = making / "source"
            source.mkdir()
            for name in HARNESS:
                if (ROOT / name).is_dir():
                    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                    shutil.copytree(ROOT / name, source / name, ignore=ignored)
                else:
                    shutil.copy(ROOT / name, source / name)
            _build(making / "wheels", [source])
            shutil.rmtree(source)
            _link_packages(making / "packages")
            venv.create(making / "pip", with_pip=True)
            making.rename(self.folder)

    @property
    def harness(self) -> Path:
        """The wheel of `bench-harness`."""
        [wheel] = (self.folder / "wheels").glob("bench_harness-*.whl")
        return wheel

    def wheels(self, folder: Path, projects: Iterable[Path | Package]) -> list[Path]:
        """Build projects into wheels, in a folder that does not exist yet."""
        sources = folder / "sources"
        sources.mkdir(parents=True)
        given = [p.write(sources) if isinstance(p, Package) else p for p in projects]
        _build(folder / "wheels", given)
        return sorted((folder / "wheels").glob("*.whl"))

    def environment(self, folder: Path, wheels: Iterable[Path] = ()) -> Environment:
        """Make a clean environment with `bench-harness` and these wheels installed."""
        venv.create(folder, symlinks=True)
        environment = Environment(folder)
        (environment.folder / "work").mkdir()
        # Its own packages come first. No `.pth` of the other folder is heeded there.
        (environment.site / "packages.pth").write_text(f"{self.folder / 'packages'}\n")
        self.install(environment, [self.harness, *wheels])
        return environment

    def install(self, environment: Environment, wheels: Iterable[Path]) -> None:
        """Install wheels, but not what they depend on."""
        self._pip(environment, "install", "--no-index", "--no-deps", "--no-compile", *wheels)

    def uninstall(self, environment: Environment, distribution: str) -> None:
        """Uninstall a distribution."""
        self._pip(environment, "uninstall", "--yes", distribution)

    def _pip(self, environment: Environment, *words: object) -> None:
        pip = (self.folder / "pip" / "bin" / "python", "-m", "pip", "--python", environment.python)
        done = environment.run(*pip, "--disable-pip-version-check", "--quiet", *words)
        assert done.code == 0, done.err


def _build(wheels: Path, projects: Iterable[Path]) -> None:
    wheels.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-c", BUILD, wheels, *projects]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=240, env=variables, check=False
    )
    assert done.returncode == 0, done.stderr


def _link_packages(folder: Path) -> None:
    """Fill a folder with links to all installed packages but `bench` and plugins of it."""
    folder.mkdir()
    for site in sys.path:
        if Path(site).name not in ("site-packages", "dist-packages"):
            continue
        for path in sorted(Path(site).iterdir()):
            if not (folder / path.name).exists() and not _is_of_bench(path):
                (folder / path.name).symlink_to(path)


def _is_of_bench(path: Path) -> bool:
    if path.suffix == ".pth" or path.name.startswith(("bench_", "__editable__")):
        return True
    points = path / "entry_points.txt"
    groups = points.read_text("utf-8") if path.suffix == ".dist-info" and points.exists() else ""
    return path.name == "bench" or any(
        f"[{name}]" in groups for name in ("bench", "bench.commands")
    )


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return what makes clean environments; workers of one session share it."""
    pytest.importorskip("ensurepip", reason="clean environments need pip from Python's `ensurepip`")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = Workshop(shared / "workshop")
    made.prepare()
    return made
