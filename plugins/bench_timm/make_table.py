"""Measure every timm architecture and write `models.json`; and `seen.json`, of which timm tells.

    python -m bench_timm.make_table [--jobs N] [--seen]

Each architecture is built on the meta device, which allocates nothing, for 1,000 classes and one
RGB image at its native size, in evaluation mode. A row holds

    name, family    as timm registers them
    parameters      trainable parameters
    input_size      the native height and width, pixels; the shorter one where they differ
    macs            multiply-accumulates of one forward pass at that size: half of what torch's
                    flop counter reports for convolutions, matrix products and attention.
                    Normalisation, activations, pooling and element-wise products are not counted
    layers          modules that hold parameters of their own
    smallest_size   the smallest of a few sizes, or else the native one, at which it trains

and null for whatever could not be measured. The table gives hints, never results: a name that it
lacks or that another timm builds differently costs no more than an estimate.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import warnings
from typing import Any

from bench import files
from bench_timm import TABLE, seen
from bench_timm.building import build
from bench_timm.names import architectures

COLUMNS = (
    "name",
    "family",
    "parameters",
    "input_size",
    "macs",
    "layers",
    "smallest_size",
)

SIZES = (32, 96)
"""Tried below the native size: most small-image needs are met by one of them, or by none."""


def measure(architecture: tuple[str, str]) -> list[Any]:
    """Return the row of one architecture, given its name and family."""
    import timm
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    name, family = architecture
    torch.set_num_threads(1)
    parameters = size = macs = layers = smallest = None
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = timm.create_model(name, pretrained=False, num_classes=1000).eval()
            parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
            layers = sum(bool(module._parameters) for module in network.modules())
            config: Any = network.pretrained_cfg
            size = min(config["input_size"][1:])
            # Without gradients, since the counter stumbles over parameters that are also inputs.
            network.requires_grad_(False)
            with FlopCounterMode(display=False) as counter:
                network(torch.empty(1, 3, size, size))
            macs = counter.get_total_flops() // 2 or None
            smallest = next((s for s in SIZES if s < size and _trains(name, s)), size)
    except Exception as error:  # whatever a network does, the others still get their rows
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    return [name, family, parameters, size, macs, layers, smallest]


def _trains(name: str, size: int) -> bool:
    """Return whether a forward pass in training mode takes images of a size, on meta."""
    import torch

    try:
        network = build(name, 10, (3, size, size))
        network.train()(torch.empty(2, 3, size, size))
    except Exception:  # whatever it raises, this is not its size
        return False
    return True


def write_seen(names: list[str], version: str) -> None:
    """Write how the training of each architecture's default weights saw images."""
    ways: list[seen.Row] = []
    found = {}
    for name in names:
        way = seen.ask(name)
        if way is not None:
            if way not in ways:
                ways.append(way)
            found[name] = ways.index(way)
    text = ",\n".join(json.dumps(way) for way in ways)
    body = ",\n".join(f"{json.dumps(name)}: {way}" for name, way in found.items())
    files.write_text(
        seen.TABLE,
        f'{{"timm": "{version}", "ways": [\n{text}\n], "architectures": {{\n{body}\n}}}}\n',
    )


def main() -> None:
    """Measure all and replace the tables."""
    parser = argparse.ArgumentParser(description="measure every timm architecture")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--seen", action="store_true", help="write seen.json only")
    given = parser.parse_args()

    import timm
    import torch

    work = sorted(architectures().items())
    write_seen([name for name, _ in work], timm.__version__)
    if given.seen:
        return
    jobs = given.jobs
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        rows = list(pool.imap(measure, work, chunksize=16))
    # One row a line: a new timm shows as the lines that it changed.
    versions = {"timm": timm.__version__, "torch": torch.__version__.partition("+")[0]}
    head = json.dumps({**versions, "columns": COLUMNS})
    body = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    files.write_text(TABLE, f'{head[:-1]}, "rows": [\n{body}\n]}}\n')


if __name__ == "__main__":
    main()
