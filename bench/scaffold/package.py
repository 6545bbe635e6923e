"""A package of a new plugin: rendered from templates, written whole or not at all."""

from __future__ import annotations

import importlib.metadata
import shutil
import string
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bench.errors import StoreError, UsageError
from bench.files import umask
from bench.scaffold.naming import component_of, module_of
from bench.specs import KINDS

COMMANDS = {
    "dataset": "bench run --datasets {name} --models cnn",
    "model": "bench run --models {name},cnn",
    "weights": "bench run --models cnn --weights none,{name}",
    "optimizer": "bench run --models cnn --optimizers adamw,{name}",
    "schedule": "bench run --models cnn --schedule {name}",
    "loss": "bench run --models cnn --loss {name}",
    "augmentation": "bench run --models cnn --augmentation {name}",
    "metric": "bench run --models cnn --metrics accuracy,{name}",
    "executor": "bench run --models cnn --executor {name}",
    "report": "bench run --models cnn && bench report --format {name} -o -",
    "tracker": "bench run --models cnn --trackers {name}",
}
"""What tries a component of each kind."""
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "test_conformance.py": "tests/test_conformance.py",
    "tests.yml": ".github/workflows/tests.yml",
    "gitignore": ".gitignore",
}
_UNCOUNTED = ("weights",)
_SELECTED = ("metric", "report")
"""Kinds whose params are set where they are chosen."""


@dataclass(frozen=True)
class Package:
    """What a new plugin is called, and what it offers."""

    name: str
    kind: str

    @property
    def module(self) -> str:
        """The module, which is the entry point's name as well."""
        return module_of(self.name)

    @property
    def component(self) -> str:
        """What users type."""
        return component_of(self.name)

    @property
    def command(self) -> str:
        """What tries the component."""
        return COMMANDS[self.kind].format(name=self.component)

    def files(self) -> dict[str, str]:
        """Return the text of every file by its path in the package."""
        spec = KINDS[self.kind]
        values = {
            "name": self.name,
            "module": self.module,
            "component": self.component,
            "plural": spec.plural,
            "offered": _offered(self.kind),
            "factory": "load" if self.kind in ("dataset", "weights") else "build",
            "command": self.command,
            "setting": f"`{self.component}:PARAM=VALUE`"
            if self.kind in _SELECTED
            else f"`--set {self.component}.PARAM=VALUE`",
            "version": importlib.metadata.version("bench-harness"),
        }
        named = {f"{self.kind}.py": f"{self.module}.py", **_FILES}
        return {path: _template(name).substitute(values) for name, path in named.items()}


def write(package: Package, folder: Path) -> list[str]:
    """Write a package into a new folder, and return the paths in it.

    Raises:
        UsageError: there is something of that name; it stays as it is.
        StoreError: the folder cannot be written; nothing of it is left.
    """
    files = package.files()
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"`{folder}` exists; name another folder with `--folder`")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    except OSError as error:
        raise StoreError(f"cannot write `{folder}`: {error.strerror or error}") from error
    try:
        for path, text in files.items():
            (making / path).parent.mkdir(parents=True, exist_ok=True)
            (making / path).write_text(text, "utf-8")
        making.chmod(0o777 & ~umask())  # mkdtemp lets nobody else in
        making.rename(folder)
    except OSError as error:
        raise StoreError(f"cannot write `{folder}`: {error.strerror or error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return list(files)


def _template(name: str) -> string.Template:
    place = resources.files("bench.scaffold") / "templates" / f"{name}.tmpl"
    return string.Template(place.read_text("utf-8"))


def _offered(kind: str) -> str:
    """Return `An optimizer` and the like."""
    if kind in _UNCOUNTED:
        return kind.capitalize()
    return f"{'An' if kind[0] in 'aeiou' else 'A'} {kind}"
