from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import optuna
import pytest

import bench
import bench_timm
from bench_timm import names
from bench_timm.building import build

SIZES = (28, 32, 48, 64, 75, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512, 600)
CLASSES = 10


def _families() -> dict[str, list[str]]:
    spec = importlib.util.find_spec("timm")
    assert spec is not None
    assert spec.origin is not None
    families = defaultdict(list)
    for name, family in names.scan(Path(spec.origin).parent / "models").items():
        families[family].append(name)
    return dict(families)


FAMILIES = _families()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    return tmp_path / "timm"


def models() -> dict[str, bench.Model]:
    return {model.name: model for model in bench_timm.register_models()}


# Names


def test_scan_finds_what_timm_registers():
    import timm

    assert sorted(name for members in FAMILIES.values() for name in members) == sorted(
        timm.list_models()
    )
    for family, members in FAMILIES.items():
        assert sorted(members) == sorted(timm.list_models(module=family))


def test_scan_reads_decorated_functions_only(tmp_path):
    (tmp_path / "nets.py").write_text(
        "@register_model\ndef one(x): ...\n"
        "@register_model  # reason\n@other(1)\ndef two(x): ...\n"
        "@register_model_later\ndef three(x): ...\n"
        "def four(x): ...\n"
        "# @register_model\ndef five(x): ...\n"
    )
    assert names.scan(tmp_path) == {"one": "nets", "two": "nets"}


def test_cache_is_used(cache, monkeypatch):
    first = names.architectures()
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(names, "scan", lambda folder: pytest.fail("scanned again"))
    assert names.architectures() == first


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"resnet18": 3}', "null", "\udcff"])
def test_damaged_cache_is_ignored(cache, damage):
    first = names.architectures()
    (file,) = cache.iterdir()
    file.write_bytes(damage.encode(errors="surrogateescape"))
    assert names.architectures() == first
    assert json.loads(file.read_text()) == first  # and mended


def test_unwritable_cache_is_ignored(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    assert len(names.architectures()) == sum(map(len, FAMILIES.values()))


def test_cache_follows_the_files(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "version.py").write_text("__version__ = '1'\n")
    module = package / "models" / "nets.py"
    module.write_text("@register_model\ndef one(x): ...\n")
    spec = importlib.util.spec_from_file_location("timm", package / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert names.architectures() == {"one": "nets"}
    module.write_text("@register_model\ndef another(x): ...\n")
    assert names.architectures() == {"another": "nets"}


def test_missing_timm_says_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(bench.EnvironmentFailure, match="pip install timm"):
        names.architectures()


# Listing


def test_listing_is_light():
    script = """
import sys, time
import bench_timm
assert len(list(bench_timm.register_models())) > 1000
heavy = {"torch", "torchvision", "timm", "numpy"} & set(sys.modules)
assert not heavy, heavy
seconds = []
for _ in range(5):
    start = time.perf_counter()
    list(bench_timm.register_models())
    seconds.append(time.perf_counter() - start)
print(min(seconds))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.2  # about 0.02 on an idle machine


def test_components_are_whole():
    offered = models()
    assert len(offered) == sum(map(len, FAMILIES.values()))
    model = offered["resnet50"]
    assert model.defaults == {"drop_rate": 0.0, "drop_path_rate": 0.0}
    assert model.preload == ("timm",)
    assert model.summary == "from timm's resnet family"
    assert model.hints == bench.ModelHints(
        family="resnet",
        parameters=25_557_032,
        macs=4_089_184_256,
        layers=107,
        input_size=224,
        smallest_size=32,
    )


def test_aliases_mean_their_documented_models():
    aliases = {alias: name for name, model in models().items() for alias in model.aliases}
    assert aliases == {
        "resnet": "resnet50",
        "vgg": "vgg16",
        "mobilenet": "mobilenetv3_large_100",
        "inception": "inception_v3",
        "xception": "legacy_xception",
        "densenet": "densenet121",
    }


def test_alias_gives_way_to_an_architecture_of_that_name(monkeypatch):
    known = {"resnet": "resnet", "resnet50": "resnet", "vgg16": "vgg"}
    monkeypatch.setattr(bench_timm, "architectures", lambda: known)
    assert {name: model.aliases for name, model in models().items()} == {
        "resnet": (),
        "resnet50": (),
        "vgg16": ("vgg",),
    }


def test_architecture_missing_in_the_table_has_its_family(monkeypatch):
    monkeypatch.setattr(bench_timm, "architectures", lambda: {"brand_new": "novel"})
    assert models()["brand_new"].hints == bench.ModelHints(family="novel")


def test_table_is_sane():
    table = bench_timm.read_table()
    assert list(table) == sorted(table)
    for name, row in table.items():
        for column in ("parameters", "input_size", "macs", "layers", "smallest_size"):
            value = row[column]
            assert value is None or (type(value) is int and value > 0), (name, column)


def test_suggest_overrides_params():
    model = models()["resnet18"]
    assert model.suggest is not None
    trial: Any = optuna.trial.FixedTrial({"drop_rate": 0.25})
    assert model.suggest(trial) == {"drop_rate": 0.25}
    assert set(model.suggest(trial)) <= set(model.defaults)


# Building


def assert_gives_logits(network: Any, channels: int, size: int) -> None:
    import torch

    device = next(network.parameters()).device
    images = torch.zeros(2, channels, size, size, device=device)
    for training in (True, False):
        logits = network.train(training)(images)
        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (2, CLASSES)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 28),
        ("vgg11", 32),
        ("mobilenetv3_small_050", 28),
        ("efficientnet_b0", 28),
        ("regnety_002", 28),
        ("convnext_atto", 32),
        ("inception_v3", 75),
        ("deit_tiny_distilled_patch16_224", 224),
        ("csatv2", 512),
    ],
)
def test_builds_on_meta_and_gives_logits(name, size, channels):
    import torch

    with torch.device("meta"):
        network = models()[name].build(CLASSES, (channels, size, size))
    assert_gives_logits(network, channels, size)


def test_builds_on_cpu():
    assert_gives_logits(build("mobilenetv3_small_050", CLASSES, (1, 28, 28)), 1, 28)


def test_gray_images_reach_a_color_network():
    import torch

    torch.manual_seed(0)
    network = build("csatv2", CLASSES, (1, 512, 512)).eval()
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        inner: Any = network.network
        assert torch.equal(network(gray), inner(gray.repeat(1, 3, 1, 1)))


def test_rates_take_effect():
    import torch

    with torch.device("meta"):
        network = build("convnext_atto", CLASSES, (3, 32, 32), drop_rate=0.3, drop_path_rate=0.2)
    rates = {getattr(part, "drop_prob", None) for part in network.modules()}
    assert max(rate for rate in rates if rate) == pytest.approx(0.2)
    assert any(getattr(part, "p", None) == 0.3 for part in network.modules())


@pytest.mark.parametrize(
    ("name", "channels", "params", "message"),
    [
        ("densenet121", 3, {"drop_path_rate": 0.1}, "does not take `drop_path_rate`"),
        ("resnet18", 3, {"drop_rate": 1.5}, "`drop_rate` is 1.5"),
        ("resnet18", 3, {"drop_path_rate": -0.1}, "`drop_path_rate` is -0.1"),
        ("csatv2", 2, {}, "1 or 3 channels, not 2"),
        ("qwen3_vit_88m_enc", 3, {}, "choose `qwen3_vit_88m`"),
        ("mobilenetv5_300m_enc", 3, {}, "an encoder without a classifier"),
        ("gemma4_vit_167m_enc", 3, {"drop_rate": 0.1}, "does not take `drop_rate`"),
    ],
)
def test_what_cannot_work_is_one_line(name, channels, params, message):
    import torch

    with torch.device("meta"), pytest.raises(bench.ConfigError, match=message) as caught:
        build(name, CLASSES, (channels, 224, 224), **params)
    assert "\n" not in str(caught.value)


# Sweeps


def smallest_size(name: str) -> int:
    """Return the smallest size at which a meta forward pass in training mode gives logits."""
    import torch

    native = bench_timm.read_table()[name]["input_size"] or 224
    with torch.device("meta"):
        network = build(name, CLASSES, (1, native, native)).train()
    failure: Exception | None = None
    for size in sorted({*SIZES, native}):
        try:
            logits = network(torch.empty(2, 1, size, size, device="meta"))
        except Exception as error:  # each family refuses sizes in its own way
            failure = error
            continue
        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (2, CLASSES)
        assert network.eval()(torch.empty(2, 1, size, size, device="meta")).shape == logits.shape
        return size
    raise AssertionError(f"{name} works at no size") from failure


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_architecture_gives_logits_at_some_size(family):
    failures = {}
    for name in FAMILIES[family]:
        try:
            smallest_size(name)
        except bench.ConfigError as error:
            if not name.endswith("_enc"):
                failures[name] = str(error)
        except Exception as error:  # report all of a family at once
            failures[name] = f"{error} (from {error.__cause__!r})"
    assert not failures


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_architecture_takes_what_tuning_proposes(family):
    import torch

    failures = {}
    for name in FAMILIES[family]:
        try:
            with torch.device("meta"):
                build(name, CLASSES, (3, 224, 224), drop_rate=0.1)
        except Exception as error:
            if not name.endswith("_enc"):
                failures[name] = str(error)
    assert not failures


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_takes_a_training_step(family):
    import torch

    torch.manual_seed(0)
    table = bench_timm.read_table()
    classifiers = [name for name in FAMILIES[family] if not name.endswith("_enc")]
    name = min(classifiers, key=lambda name: table[name]["macs"] or math.inf)
    size = smallest_size(name)
    network = build(name, CLASSES, (1, size, size)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loss = torch.nn.functional.cross_entropy(
        network(torch.randn(2, 1, size, size)), torch.tensor([0, 1])
    )
    loss.backward()
    optimizer.step()
    assert math.isfinite(loss.item())
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())
