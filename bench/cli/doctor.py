"""`bench doctor`: whether all is there that runs need."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from bench import files, hardware, provenance
from bench.cli.common import json_option, print_columns, print_json, results_option
from bench.foreign_code import stdout_to_stderr
from bench.registry import Registry, load_registry
from bench.specs import Dataset
from bench.text import byte_size, listing, one_line

MINIMUM_FREE = 2e9
# In a process of its own: a broken torch may end it, and reading never imports torch.
_ASK_TORCH = """
import json, torch
gpu = torch.cuda.is_available()
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if gpu else []
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "gpus": names}))
"""


@click.command("doctor")
@results_option
@json_option
def command(results: Path, as_json: bool) -> int:
    """Check python, torch, GPU, plugins, data and disk."""
    registry = load_registry()
    checks = [
        _check_python(),
        *_check_torch(),
        *_check_plugins(registry),
        _check_data(registry),
        _check_disk("results", results),
        _check_disk("dataset cache", files.cache_folder()),
    ]
    if as_json:
        keys = ("check", "ok", "found")
        print_json(
            {"schema": 1, "checks": [dict(zip(keys, check, strict=True)) for check in checks]}
        )
    else:
        rows = [("ok" if ok else "PROBLEM", name, found) for name, ok, found in checks]
        print_columns(("", "check", "found"), rows)
    return 0 if all(ok for _, ok, _ in checks) else 3


def _check_python() -> tuple[str, bool, str]:
    found = f"{platform.python_version()}, {hardware.cpu_count()} cores, {hardware.cpu_name()}"
    return "python", sys.version_info >= (3, 11), found


def _check_torch() -> list[tuple[str, bool, str]]:
    versions = ", ".join(
        f"{name} {provenance.library_version(name)}" for name in provenance.LIBRARIES
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=180
        )
        facts: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return [("torch", False, f"it cannot be imported ({versions}); install it again")]
    seen = hardware.gpu_names()
    if facts["gpus"]:
        gpu = ("GPU", True, f"{', '.join(facts['gpus'])}, CUDA {facts['cuda']}")
    elif seen:
        gpu = ("GPU", False, f"the driver shows {', '.join(seen)}, but torch finds none")
    else:
        gpu = ("GPU", True, "none; runs use the CPU")
    return [("torch", True, versions), gpu]


def _check_plugins(registry: Registry) -> list[tuple[str, bool, str]]:
    broken = [plugin for plugin in registry.plugins if plugin.error]
    sound = [plugin.name for plugin in registry.plugins if not plugin.error]
    checks = [("plugins", bool(sound), listing(sound) or "none; install bench-harness again")]
    for plugin in broken:
        checks.append((f"plugin {plugin.name}", False, f"{plugin.label}: {plugin.error}"))
    return checks


def _check_data(registry: Registry) -> tuple[str, bool, str]:
    """Say which datasets can be loaded without a download."""
    here = []
    for offer in registry.offers("dataset"):
        component = offer.component
        assert isinstance(component, Dataset)
        if component.address is not None:
            continue  # a source has data only once it is given a path
        try:
            with stdout_to_stderr():
                if component.locate is None or component.locate(None, **component.defaults):
                    here.append(offer.name)
        except (Exception, SystemExit) as error:  # a plugin's own code; one line is enough here
            return "data", False, one_line(f"`{offer.name}`: {type(error).__name__}: {error}")
    return "data", bool(here), f"at hand without a download: {listing(here)}"


def _check_disk(name: str, folder: Path) -> tuple[str, bool, str]:
    free = files.free_bytes(folder)
    return f"disk for {name}", free > MINIMUM_FREE, f"{byte_size(free)} free in {folder}"
