"""A component asked a question in a fresh process: another hash seed, another working folder."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.conformance.recipes import Recipe
from bench.conformance.rules import DATA_DIR, Broken
from bench.registry import Offer
from bench.text import one_line

HASH_SEED = "4321"
"""Python hashes strings by it: what follows from the order of a set will differ."""


def ask(question: Callable[[Offer], Any], offer: Offer) -> Any:
    """Return what a function says of a component in a fresh process, as plain data.

    Args:
        question: a function of a module; it returns plain data.
        offer: the component.

    Raises:
        Broken: the process ended without an answer.
    """
    request = {
        "recipe": dataclasses.asdict(Recipe.of(offer)),
        "module": question.__module__,
        "function": question.__name__,
    }
    paths = [os.path.abspath(entry) for entry in sys.path]
    with tempfile.TemporaryDirectory(prefix="bench-elsewhere-") as folder:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "bench.conformance.elsewhere"],
            input=json.dumps(request).encode(),
            capture_output=True,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(paths),
                "PYTHONHASHSEED": HASH_SEED,
            },
            check=False,
        )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = one_line(said[-1]) if said else f"exit code {done.returncode}"
        raise Broken(
            f"in a fresh process, with another working folder, it fails: {why}",
            "depend neither on the working folder nor on what the process did before",
        )
    return json.loads(lines[-1])


def main() -> None:
    """Answer the question on stdin."""
    request = json.loads(sys.stdin.buffer.read())
    recipe = Recipe(**request["recipe"])
    DATA_DIR.set(Path(recipe.data_dir) if recipe.data_dir else None)
    offer = recipe.offer()
    # As where it was asked: what differs then is not due to a generator that nobody has seeded.
    random.seed(0)
    np.random.seed(0)
    question = getattr(importlib.import_module(request["module"]), request["function"])
    answer = question(offer)
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main()
