"""`bench export`: a run's network as a file for other programs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import click

from bench.cli.common import (
    NamedPath,
    json_option,
    print_json,
    print_warnings,
    registry_with_warnings,
    results_option,
)
from bench.errors import EnvironmentFailure, UsageError
from bench.text import byte_size, listing

FORMATS = {".safetensors": "safetensors", ".onnx": "onnx"}
EXTRA = ("onnx", "onnxscript", "onnxruntime")
"""What writing and checking a graph needs; the extra `onnx` installs it."""


@click.command("export")
@click.argument("run")
@click.option(
    "-o",
    "--output",
    type=NamedPath(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Ends in .safetensors (weights) or .onnx (a graph that needs no bench).",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@click.option("--offline", is_flag=True, help="Download nothing to check a graph on.")
@results_option
@json_option
def command(
    run: str, output: Path, force: bool, offline: bool, results: Path, as_json: bool
) -> None:
    """Write a run's network to a file, with its classes and its way of preparing images.

    RUN is the beginning of its id, as `bench list runs` shows it. A graph takes images as floats
    from 0 to 1 and is checked against torch on test images of the run's dataset.
    """
    kind = FORMATS.get(output.suffix.lower())
    if kind is None:
        raise UsageError(f"`{output}`: the file's ending is one of {listing(FORMATS)}")
    if output.exists() and not force:
        raise UsageError(f"`{output}` is there already; `--force` replaces it")
    if kind == "onnx":
        _check_extra()

    from bench import errand, files, reuse
    from bench.jobs import JobKind
    from bench.store import Store

    store = Store(results)
    record = store.find(run)
    if record.spec.members:
        raise UsageError(
            f"run {record.id} is an ensemble, which has no weights of its own; export its members "
            f"{listing(record.spec.members)}"
        )
    registry = registry_with_warnings()
    trained = reuse.open_run(record, store, registry)
    print_warnings(reuse.notes(trained, registry))
    # The temporary file belongs to this process: it is gone whatever becomes of the worker.
    with files.atomic_open(output) as file:
        payload = {
            "network": trained.to_dict(),
            "output": str(Path(file.name).absolute()),
            "format": kind,
            "offline": offline,
        }
        facts = errand.carry_out(JobKind.EXPORT, payload, registry, [record.spec], lambda _: None)
    size = output.stat().st_size
    if as_json:
        checked = _checked(facts)
        about = {"run": record.id, "output": str(output), "bytes": size, "format": kind}
        print_json({"schema": 1, **about, "checked": checked, "metadata": facts["metadata"]})
        return
    click.echo(f"{output}: {byte_size(size)}, {_words(facts, kind)}")


def _check_extra() -> None:
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentFailure(
            f"a graph needs {listing(missing)}, which is not installed; "
            "pip install 'bench-harness[onnx]'"
        )


def _checked(facts: dict[str, Any]) -> dict[str, Any] | None:
    names = ("opset", "images", "difference", "equal")
    return {name: facts[name] for name in names} if "opset" in facts else None


def _words(facts: dict[str, Any], kind: str) -> str:
    if kind == "safetensors":
        return "weights of the tested epoch, read back"
    return (
        f"opset {facts['opset']}; on {facts['images']} test images probabilities differ from "
        f"torch's by at most {facts['difference']:.1e}, predictions are equal on {facts['equal']}"
    )
