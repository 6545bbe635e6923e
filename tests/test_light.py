"""Reading is instant and light: no torch, and no built-in plugin by privilege."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from study_samples import make_wide_study

import bench
from bench import studies
from bench.api import Result
from bench.cli import COMMANDS

HEAVY = ("torch", "torchvision", "timm", "sklearn", "bench.engine")
PROBE = f"""
import json, sys
from bench.cli import main
try:
    main(sys.argv[1:])
except SystemExit as error:
    code = error.code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
print(json.dumps({{"code": code, "heavy": heavy}}), file=sys.stderr)
"""


def probe(*arguments: str) -> tuple[int, list[str], str]:
    """Return the exit code, the heavy modules that were imported, and what was printed."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, timeout=120
    )
    last = json.loads(done.stderr.splitlines()[-1])
    return last["code"], last["heavy"], done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("light")
    done: Result = bench.run(models="tiny", datasets="tiny", results=folder)
    assert [str(record.status) for record in done.records] == ["ok"]
    studies.write(folder, make_wide_study(12, name="STUDY"))
    studies.write(folder, make_wide_study(8, name="SMALL"))
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("predict", "--help"),
        ("export", "--help"),
        ("list",),
        ("list", "models"),
        ("list", "runs"),
        ("list", "studies"),
        ("leaderboard",),
        ("leaderboard", "--format", "csv"),
        ("compare", "RUN", "RUN", "--fail-on", "accuracy:-1pp"),
        ("verify", "--list"),
        ("leaderboard", "--metrics", "accuracy,log_loss", "--sort", "brier"),
        ("list", "metrics"),
        ("threshold", "RUN", "--recall", "0.5", "--class", "1"),
        ("show", "RUN"),
        ("show", "SMALL"),
        ("why", "RUN"),
        ("plugins",),
        ("plugins", "list", "--json"),
        ("plugins", "info", "cnn"),
        ("plugins", "info", "resnet50"),
        ("plugins", "info", "adamw"),
        ("plugins", "info", "bench_optim"),
        ("completion", "bash"),
        ("run", "--models", "tiny", "--datasets", "tiny", "--plan"),
    ],
    ids=" ".join,
)
def test_no_heavy_module_is_imported(results: Path, arguments: tuple[str, ...]) -> None:
    [run] = [folder.name for folder in (results / "runs").iterdir()]
    words = [run if word == "RUN" else word for word in arguments]
    takes_results = words[0] in (
        "leaderboard",
        "report",
        "compare",
        "show",
        "threshold",
        "why",
        "run",
    ) or {
        "runs",
        "studies",
    } & {*words}
    if takes_results and "--help" not in words:
        words += ["--results", str(results)]
    code, heavy, out = probe(*words)
    assert code in (0, None)
    assert heavy == []
    assert out


def test_a_study_of_many_trials_needs_optunas_forest_but_no_torch(results: Path) -> None:
    """Importances are estimated by scikit-learn; nothing else of a study needs it."""
    code, heavy, out = probe("show", "STUDY", "--results", str(results))
    assert code in (0, None)
    assert heavy == ["sklearn"]
    assert "importances (" in out


@pytest.mark.parametrize("form", ["html", "md"])
def test_a_report_of_such_a_study_needs_no_more(results: Path, form: str) -> None:
    code, heavy, out = probe("report", "--format", form, "--results", str(results))
    assert code in (0, None)
    assert {*heavy} <= {"sklearn"}
    assert out


def test_the_probe_would_see_torch() -> None:
    """Guard the guard: an import that the probe misses would make the test above blind."""
    code = PROBE.replace("import json, sys", "import json, sys, torch")
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=120
    )
    assert json.loads(done.stderr.splitlines()[-1])["heavy"] == ["torch"]


def test_doctor_imports_torch_in_a_process_of_its_own(tmp_path: Path) -> None:
    code, heavy, out = probe("doctor", "--json", "--results", str(tmp_path))
    assert heavy == []
    checks = {check["check"]: check for check in json.loads(out)["checks"]}
    assert {"python", "torch", "GPU", "plugins", "data", "disk for results"} <= set(checks)
    assert checks["torch"]["ok"]
    assert code == (0 if all(check["ok"] for check in checks.values()) else 3)


def test_the_door_is_light_and_its_list_is_sorted() -> None:
    code = "import sys, bench; print(len([n for n in sys.modules if n.startswith('bench_')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0\n"
    assert bench.__all__ == sorted(bench.__all__, key=lambda name: (not name.isupper(), name))
    assert all(getattr(bench, name) is not None for name in bench.__all__)
    with pytest.raises(AttributeError, match="no attribute `trian`"):
        bench.trian  # noqa: B018


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys\nfrom bench.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print({n for n in sys.modules if n.startswith('bench.cli.')}"
        " - {'bench.cli.lazy', 'bench.cli.foreign'}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == "set()\n"
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_help_imports_nothing_of_plugins() -> None:
    """Nor what running needs: it is what people wait for most often."""
    code = (
        "import sys\nfrom bench.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(json.loads(done.stderr.replace("'", '"')))
    assert "bench.cli" in loaded
    assert {name for name in loaded if name.startswith("bench_") or name == "faults"} == set()
    unneeded = {"bench.registry", "bench.specs", "bench.records", "pluggy", "numpy", "pydantic"}
    assert loaded & unneeded == set()


def test_without_plugins_the_core_offers_nothing() -> None:
    env = {**os.environ, "BENCH_PLUGINS": ""}
    words = [sys.executable, "-m", "bench", "list", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0
    assert set(json.loads(done.stdout)["kinds"].values()) == {0}


def test_models_are_known_by_family_and_size_without_torch() -> None:
    code, heavy, out = probe("list", "models", "--json")
    assert code in (0, None)
    assert heavy == []
    known = {row["name"]: row.get("hints") for row in json.loads(out)["models"]}
    some = ("cnn", "cnn3", "cnn-flowers", "resnet50", "vit_small_patch16_224", "googlenet")
    for name in (*some, "alexnet", "squeezenet1_0", "shufflenet_v2_x1_0"):
        hints = known[name]
        assert hints["family"]
        assert min(hints[field] for field in ("parameters", "macs", "input_size")) > 0, name
