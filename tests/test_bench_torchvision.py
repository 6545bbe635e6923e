from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import bench
import bench_torchvision
from bench.engine.freezing import layers_of
from bench_torchvision.building import default_weights, first_convolution, for_channels

MODELS = {model.name: model for model in bench_torchvision.register_models()}
CLASSES = 10


def build(name: str, shape: tuple[int, int, int] = (3, 64, 64), **params: Any) -> nn.Module:
    with torch.device("meta"):
        network = MODELS[name].build(CLASSES, shape, **params)
    assert isinstance(network, nn.Module)
    return network


def logits(network: nn.Module, channels: int, size: int) -> torch.Tensor:
    device = next(network.parameters()).device
    found = network(torch.zeros(2, channels, size, size, device=device))
    assert isinstance(found, torch.Tensor)
    return found


def trains_at(name: str, size: int) -> bool:
    try:
        logits(build(name).train(), 3, size)
    except Exception:  # each network refuses sizes in its own way
        return False
    return True


@pytest.mark.parametrize("name", MODELS)
def test_what_the_hints_say_is_so(name: str) -> None:
    hints = MODELS[name].hints
    assert hints is not None
    assert hints.smallest_size is not None
    with torch.device("meta"):
        network = MODELS[name].build(1000, (3, 224, 224)).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty(1, 3, 224, 224))
    assert sum(parameter.numel() for parameter in network.parameters()) == hints.parameters
    assert counter.get_total_flops() // 2 == hints.macs
    assert sum(bool(module._parameters) for module in network.modules()) == hints.layers
    assert trains_at(name, hints.smallest_size)
    assert not trains_at(name, hints.smallest_size - 1)
    own = MODELS[name].preprocessing
    assert own is not None
    assert (own().size, own().interpolation) == (hints.input_size, "bilinear")


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("name", MODELS)
def test_networks_give_logits_alone_in_training_too(name: str, channels: int) -> None:
    network = build(name, (channels, 64, 64))
    for training in (True, False):
        assert logits(network.train(training), channels, 64).shape == (2, CLASSES)


def test_no_name_is_one_of_timm() -> None:
    import timm

    names = {*MODELS, *(alias for model in MODELS.values() for alias in model.aliases)}
    assert "googlenet" in names
    assert not names & set(timm.list_models())


def test_gray_images_are_seen_as_colour_would_be() -> None:
    torch.manual_seed(0)
    colour = MODELS["googlenet"].build(CLASSES, (3, 32, 32)).eval()
    torch.manual_seed(0)
    gray = MODELS["googlenet"].build(CLASSES, (1, 32, 32)).eval()
    images = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(gray(images), colour(images.expand(-1, 3, -1, -1)))


def test_further_channels_keep_the_sum_of_the_weights() -> None:
    weight = torch.rand(4, 3, 3, 3)
    spread = for_channels(weight, 6)
    assert spread.shape == (4, 6, 3, 3)
    torch.testing.assert_close(spread.sum(dim=1), weight.sum(dim=1))


def test_dropout_is_set_where_a_network_has_it() -> None:
    for name, model in MODELS.items():
        if name.startswith("shufflenet"):
            assert model.defaults == {}
            assert model.suggest is None
            continue
        rates = {part.p for part in build(name, dropout=0.37).modules() if type(part) is nn.Dropout}
        assert rates == {0.37}
        assert model.suggest is not None
        trial: Any = optuna.trial.FixedTrial({"dropout": 0.25})
        assert model.suggest(trial) == {"dropout": 0.25}
    assert MODELS["googlenet"].defaults == {"dropout": 0.2}
    assert MODELS["alexnet"].defaults == {"dropout": 0.5}


@pytest.mark.parametrize("dropout", [1.0, -0.1, "much"])
def test_a_wrong_dropout_is_named(dropout: Any) -> None:
    with pytest.raises(bench.ConfigError, match=f"`alexnet`: `dropout` is {dropout}; ") as caught:
        build("alexnet", dropout=dropout)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MODELS)
def test_layers_hold_every_parameter_once_from_input_to_logits(name: str) -> None:
    """By the core's own grouping, which suits how torchvision writes its networks."""
    network = build(name)
    assert MODELS[name].layers is None
    groups = layers_of(network, None, frozenset(), name)
    names = [parameter for group in groups for parameter in group]
    assert names == [parameter for parameter, _ in network.named_parameters()]
    assert len(groups) > 5
    assert f"{first_convolution(network)[0]}.weight" in groups[0]


def test_googlenet_is_told_the_scale_that_its_weights_know() -> None:
    """torchvision's network turns ImageNet's mean and std into this very scale."""
    from torchvision.models import googlenet

    own = MODELS["googlenet"].preprocessing
    assert own is not None
    theirs: Any = googlenet(init_weights=False, transform_input=True)
    transforms = default_weights("googlenet").transforms()
    pixels = torch.rand(2, 3, 4, 4)

    def scaled(mean: Any, std: Any) -> torch.Tensor:
        return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    torch.testing.assert_close(
        scaled(own().mean, own().std),
        theirs._transform_input(scaled(transforms.mean, transforms.std)),
    )


# Published weights


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, network: nn.Module) -> Any:
    """Put a network's weights where torchvision looks for them, under the hash of the file."""
    file = folder / "weights.pth"
    torch.save(network.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    file = file.rename(folder / f"{name}-{digest[:8]}.pth")
    monkeypatch.setattr(default_weights(name).value, "url", file.as_uri())
    return network.state_dict()


def test_published_weights_arrive(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = MODELS["squeezenet1_1"].build(1000, (3, 64, 64))
    published = publish(hub, monkeypatch, "squeezenet1_1", theirs)
    fetch = MODELS["squeezenet1_1"].pretrained
    assert fetch is not None
    found = fetch((3, 64, 64), dropout=0.3)
    assert list(found) == list(published)
    assert all(torch.equal(found[name], tensor) for name, tensor in published.items())
    gray = MODELS["squeezenet1_1"].build(1000, (1, 64, 64))
    gray.load_state_dict(fetch((1, 64, 64)))
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(gray.eval()(images), theirs.eval()(images.expand(-1, 3, -1, -1)))


def test_classifiers_at_the_side_are_left_out(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import googlenet

    publish(hub, monkeypatch, "googlenet", googlenet(init_weights=False))
    fetch = MODELS["googlenet"].pretrained
    assert fetch is not None
    with torch.device("meta"):
        network = MODELS["googlenet"].build(1000, (3, 64, 64))
    network.load_state_dict(fetch((3, 64, 64)), assign=True)


@pytest.mark.parametrize("forbidden", [True, False])
def test_missing_weights_name_their_file_and_a_way_out(
    hub: Path, monkeypatch: pytest.MonkeyPatch, forbidden: bool
) -> None:
    monkeypatch.setattr(default_weights("alexnet").value, "url", "http://127.0.0.1:9/alex-1.pth")
    if forbidden:
        monkeypatch.setenv("BENCH_OFFLINE", "1")
    fetch = MODELS["alexnet"].pretrained
    assert fetch is not None
    kind = bench.DataError if forbidden else bench.EnvironmentFailure
    with pytest.raises(kind, match=r"`alex-1\.pth`.* `alexnet`.*`--weights file:PATH`") as caught:
        fetch((3, 64, 64))
    assert "\n" not in str(caught.value)
    assert ("http://127.0.0.1:9/alex-1.pth" in str(caught.value)) is not forbidden


def test_a_damaged_download_is_no_weights(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = hub / "alexnet-00000000.pth"
    file.write_bytes(b"half of it")
    monkeypatch.setattr(default_weights("alexnet").value, "url", file.as_uri())
    fetch = MODELS["alexnet"].pretrained
    assert fetch is not None
    with pytest.raises(bench.EnvironmentFailure, match="invalid hash value"):
        fetch((3, 64, 64))
