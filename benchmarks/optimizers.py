"""What each optimizer reaches with its defaults: the cnn on fashion-mnist-mini, on val.

`bench.run` trains every optimizer of `bench_optim` by the protocol that the dataset recommends.
Val accuracy is what the defaults were chosen on; test is left alone. `sgd-vanilla`, which takes a
step for each image, is trained with one seed. The table goes to stdout, progress to stderr; with
`--results` finished runs are kept, and a second call goes on where the first one stopped.
`--times` adds the seconds of training steps, for a machine that does nothing else.

    python benchmarks/optimizers.py [--seeds N] [--workers N] [--optimizers A,B] [--results DIR]
        [--times]
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import platform
import re
import statistics
import sys
import tempfile

import timm
import torch

import bench
import bench_optim
from bench import hardware

DATASET, MODEL = "fashion-mnist-mini", "cnn"
BAR = 0.7


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--optimizers", help="names with commas; by default all")
    parser.add_argument("--results", help="a folder to keep the runs in")
    parser.add_argument("--times", action="store_true", help="add the seconds of training steps")
    given = parser.parse_args()
    offers = {offer.name: offer for offer in bench_optim.register_optimizers()}
    names = given.optimizers.split(",") if given.optimizers else list(offers)
    with contextlib.ExitStack() as stack:
        results = given.results or stack.enter_context(tempfile.TemporaryDirectory())
        slow = [name for name in names if offers[name].pins.get("batch_size") == 1]
        fast = [name for name in names if name not in slow]
        records = measure(fast, given.seeds, given.workers, results)
        records += measure(slow, 1, given.workers, results)

    found = {}
    for record in records:
        found.setdefault(record.spec.optimizer.name, []).append(record)
    print(
        f"{MODEL} on {DATASET}, {records[0].spec.protocol['epochs']} epochs, batch size "
        f"{records[0].spec.protocol['batch_size']}, one-cycle, on the CPU with one thread; "
        f"n = {given.seeds} seed{'s' if given.seeds > 1 else ''}"
        f"{' (sgd-vanilla: batch size 1, one seed)' if slow else ''}\n"
    )
    print(
        f"{hardware.cpu_name()}, {hardware.cpu_count()} cores, python {platform.python_version()}, "
        f"torch {torch.__version__}, timm {timm.__version__}\n"
    )
    times = " training |" if given.times else ""
    print(f"| optimizer | what it is | default `lr` | val accuracy |{times} source |")
    print("|---|---|---|---|---|" + ("---|" if given.times else ""))
    means = {}
    for name, runs in found.items():
        scores = [record.metrics["val"]["accuracy"] for record in runs]
        means[name] = statistics.mean(scores)
        seconds = statistics.mean(record.timing["train_seconds"] for record in runs)
        each = f" ({', '.join(f'{score:.1%}' for score in scores)})" if len(scores) > 1 else ""
        time = f" {seconds:.1f} s |" if given.times else ""
        print(
            f"| `{name}` | {offers[name].summary} | {offers[name].defaults['lr']:g} "
            f"| {means[name]:.1%}{each} |{time} {source(offers[name])} |"
        )
    below = [name for name, mean in means.items() if mean < BAR]
    print(f"\nBelow {BAR:.0%}: {', '.join(below) or 'none'}.")


def measure(names, seeds, workers, results):
    """Train with each optimizer and seed, and return the records."""
    if not names:
        return []
    with contextlib.redirect_stdout(sys.stderr):
        records = bench.run(
            datasets=DATASET,
            models=MODEL,
            optimizers=",".join(names),
            seeds=seeds,
            workers=workers,
            threads=1,
            device="cpu",
            results=results,
        ).records
    failed = [record.spec.optimizer.name for record in records if record.status != "ok"]
    if failed:
        sys.exit(f"runs failed: {', '.join(failed)}")
    return records


def source(offer):
    """Return a link to the first address in an optimizer's documentation."""
    address = re.search(r"https?://[^\s,;]+", inspect.getdoc(offer.build))
    if address is None:
        return ""
    link = address[0].rstrip(".")
    # The parenthesis around an address is no part of it, that within one is.
    if link.count(")") > link.count("("):
        link = link[: link.rindex(")")]
    return f"[{link.split('/')[2]}](<{link}>)"


if __name__ == "__main__":
    main()
