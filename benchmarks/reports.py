"""What a report costs by the number of stored runs: seconds, memory, bytes, the browser's time.

Runs are those of `benchmarks/leaderboard.py`, here with probabilities, curves, and pictures of
test items, taken from the packaged photographs of clothes. Each command is run in a fresh process,
with a warm disk cache; the first call finds no index. Memory is the largest resident set of the
process (on Linux, in kilobytes). Where chromium and playwright are installed, the file is opened in
it: the time is that from the request to the `load` event, n fresh pages.

    python benchmarks/reports.py [--runs 10,1000,10000] [--folder DIR] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import tempfile
from pathlib import Path

import leaderboard
import numpy as np

from bench import hardware, index, pictures
from bench.records import EpochMetrics
from bench_datasets import fashion_mnist_mini

EPOCHS, PICTURES = 10, 150


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="10,1000,10000")
    parser.add_argument("--folder", type=Path, help="where to make them; kept if it is named")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{hardware.cpu_name()}, python {platform.python_version()}, n = {arguments.rounds}")
    for count in map(int, arguments.runs.split(",")):
        with tempfile.TemporaryDirectory() as temporary:
            root = (arguments.folder or Path(temporary)) / str(count)
            if not root.exists():
                leaderboard.make(root, count, predictions=True)
                for folder in sorted((root / "runs").iterdir()):
                    dress(folder)
            measure(root, count, arguments.rounds)


def dress(folder):
    """Give a run what a report shows of it: probabilities, curves and pictures."""
    generator = np.random.default_rng(int(folder.name, 16))
    with np.load(folder / "predictions.npz") as stored:
        arrays = dict(stored)
    said = arrays["test_predicted"]
    logits = generator.normal(0, 1, (len(said), leaderboard.CLASSES))
    logits[np.arange(len(said)), said] += 2 + logits.max(1)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    arrays["test_probabilities"] = shares.astype(np.float16)
    np.savez_compressed(folder / "predictions.npz", **arrays)
    accuracy = float((said == arrays["test_labels"]).mean())
    with (folder / "epochs.jsonl").open("w") as file:
        for epoch in range(1, EPOCHS + 1):
            reached = accuracy * (1 - 0.5 / epoch)
            values = (2 / epoch, reached, 2.2 / epoch, reached, 0.001, 1.0, 1000.0, 10 * epoch)
            file.write(json.dumps(EpochMetrics(epoch, EPOCHS, *values).to_dict()) + "\n")
    chosen = np.sort(generator.choice(len(said), PICTURES, replace=False))
    maps = generator.integers(0, 255, (12, 28, 28), dtype=np.uint8)
    found = pictures.Pictures(
        "test", chosen, IMAGES[chosen][..., None], chosen[:12], maps, "the last one"
    )
    pictures.write(folder, found)


def measure(root, count, rounds):
    (root / index.NAME).unlink(missing_ok=True)
    target = root / "report.html"
    command = [shutil.which("bench"), "report", "--results", str(root), "-o", str(target)]
    first, memory, _ = leaderboard.timed(command)
    print(f"{count:7,} runs: first call {first:.1f} s, {memory:,} kB")
    leaderboard.say("  report", [leaderboard.timed(command) for _ in range(rounds)])
    told = [*command[:-1], str(root / "report.md"), "--format", "md"]
    leaderboard.say("  report --format md", [leaderboard.timed(told) for _ in range(rounds)])
    print(f"  {target.stat().st_size:,} bytes{opened(target, rounds)}")


def opened(path, rounds):
    """Return how long a browser takes to load the file, if there is one."""
    program = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        return ""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        found = []
        for _ in range(rounds):
            page = browser.new_page()
            page.goto(path.resolve().as_uri())
            (timing,) = page.evaluate("performance.getEntriesByType('navigation')")
            found.append(timing["loadEventEnd"] / 1000)
            page.close()
        browser.close()
    spread = f"{min(found):.2f} to {max(found):.2f}"
    return f", opened in {statistics.median(found):.2f} s ({spread})"


IMAGES = np.asarray(fashion_mnist_mini.load(None).test[0])


if __name__ == "__main__":
    main()
