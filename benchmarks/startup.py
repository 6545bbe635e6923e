"""Seconds of the commands that people wait for, beside a bare `python -c pass`.

Commands alternate, each in a fresh process, with warm disk caches; ratios are medians over the
median of the bare interpreter. Those "with others" have 20 more distributions installed: each adds
two commands and a plugin whose import takes a second, which help must not wait for.

    python benchmarks/startup.py [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import hardware

OTHERS = 20
COMMAND = "import click\n\n@click.command()\ndef command():\n    click.echo('done')\n"


def install_others(site):
    """Make a folder hold distributions that add commands, and plugins that are slow to import."""
    for number in range(OTHERS):
        name = f"acme_{number}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[bench]\n{name} = {name}_slow\n"
            f"[bench.commands]\nfirst-{number} = {name}:command\nsecond-{number} = {name}:command\n"
        )
        (site / f"{name}.py").write_text(COMMAND)
        (site / f"{name}_slow.py").write_text("import time\n\ntime.sleep(1)\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    bench = shutil.which("bench")
    if bench is None:
        sys.exit("`bench` is not on the PATH; install it first")
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as site:
        install_others(Path(site))
        others = {**os.environ, "PYTHONPATH": site}
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "bench --help": [bench, "--help"],
            "bench --help, with others": [bench, "--help"],
            "bench first-1, with others": [bench, "first-1"],
            "bench list models": [bench, "list", "models"],
            "bench leaderboard (empty)": [bench, "leaderboard", "--results", empty],
            "bench run --plan": [bench, "run", "--models", "resnet50,mobilenet", "--plan"],
        }
        times = {name: [] for name in commands}
        for number in range(arguments.rounds + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                environment = others if name.endswith("with others") else None
                subprocess.run(command, check=True, capture_output=True, cwd=empty, env=environment)
                if number:  # the first round fills the caches
                    times[name].append(time.perf_counter() - start)
    bare = statistics.median(times["python -c pass"])
    print(f"{hardware.cpu_name()}, python {platform.python_version()}, n = {arguments.rounds}")
    for name, values in times.items():
        median = statistics.median(values)
        spread = f"{1000 * min(values):.0f} to {1000 * max(values):.0f}"
        print(f"  {name:28} {1000 * median:5.0f} ms ({spread}), {median / bare:4.1f} × bare")


if __name__ == "__main__":
    main()
