"""Seconds of the commands that people wait for, beside a bare `python -c pass`.

Commands alternate, each in a fresh process, with warm disk caches; ratios are medians over the
median of the bare interpreter.

    python benchmarks/startup.py [--rounds N]
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from bench import hardware


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    bench = shutil.which("bench")
    if bench is None:
        sys.exit("`bench` is not on the PATH; install it first")
    with tempfile.TemporaryDirectory() as empty:
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "bench --help": [bench, "--help"],
            "bench list models": [bench, "list", "models"],
            "bench leaderboard (empty)": [bench, "leaderboard", "--results", empty],
            "bench run --plan": [bench, "run", "--models", "resnet50,mobilenet", "--plan"],
        }
        times = {name: [] for name in commands}
        for number in range(arguments.rounds + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, cwd=empty)
                if number:  # the first round fills the caches
                    times[name].append(time.perf_counter() - start)
    bare = statistics.median(times["python -c pass"])
    print(f"{hardware.cpu_name()}, python {platform.python_version()}, n = {arguments.rounds}")
    for name, values in times.items():
        median = statistics.median(values)
        spread = f"{1000 * min(values):.0f} to {1000 * max(values):.0f}"
        print(f"  {name:26} {1000 * median:5.0f} ms ({spread}), {median / bare:4.1f} × bare")


if __name__ == "__main__":
    main()
