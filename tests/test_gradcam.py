"""Maps of which places speak for what a network says, and which layer they are of."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.engine import gradcam


def said(classes: list[int], count: int = 3) -> Tensor:
    return functional.one_hot(torch.tensor(classes), count).float()


def maps(model: nn.Module, images: Tensor, chosen: Tensor) -> tuple[Tensor, str]:
    return gradcam.maps(model.eval(), images, chosen, "cpu", "float32")


def test_a_map_is_bright_where_what_was_said_comes_from() -> None:
    # The first class is told by the first channel, the second by the second, the third by neither.
    model = nn.Sequential(
        nn.Conv2d(2, 2, 1, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 3, bias=False),
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2).view(2, 2, 1, 1))
        model[3].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    images = torch.zeros(3, 2, 8, 8)
    images[:, 0, :4, :4] = 0.5
    images[:, 1, 4:, 4:] = 2
    found, layer = maps(model, images, said([0, 1, 2]))
    assert layer == "0"
    expected = torch.zeros(3, 8, 8)
    expected[0, :4, :4] = 1
    expected[1, 4:, 4:] = 1
    assert torch.allclose(found, expected)


def test_it_is_the_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.Tanh())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4))
    model = nn.Sequential(body, head)
    images, classes = torch.randn(3, 3, 16, 16), [2, 0, 3]
    found, layer = maps(model, images, said(classes, 4))
    assert layer == "0"
    for place, label in enumerate(classes):
        activation = body(images[place : place + 1]).detach().requires_grad_()
        head(activation)[0, label].backward()
        gradient = activation.grad
        assert gradient is not None
        weights = gradient.mean((2, 3), keepdim=True)
        expected = (weights * activation.detach()).sum(1)[0].clamp(min=0)
        assert torch.allclose(found[place], expected / expected.max(), atol=1e-5)


def plain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


class Tokens(nn.Module):
    """Takes an image apart into patches, one after the other, as vision transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, stride=4)
        self.block = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.block(self.patches(images).flatten(2).transpose(1, 2))
        return self.head(tokens.mean(1))


class Behind(nn.Module):
    """Keeps channels behind the places, as some hierarchical transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        found = self.norm(self.first(images).permute(0, 2, 3, 1))
        return self.head(found.mean((1, 2)))


class Cut(nn.Module):
    """Lets no gradient through."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 4, stride=4)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.first(images).mean((2, 3)).detach())


LAYERS: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, ...]]] = {
    "the last one": (lambda: plain(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)), "1", (2, 12, 12)),
    "the last with more than one place": (
        lambda: plain(nn.Conv2d(1, 4, 4, stride=4), nn.Conv2d(4, 4, 4)),
        "0",
        (2, 4, 4),
    ),
    "none that a pooling has made up": (
        lambda: plain(nn.Conv2d(1, 4, 16), nn.AdaptiveAvgPool2d(7)),
        "",
        (0, 0, 0),
    ),
    "none of a plain network": (lambda: plain(nn.Flatten(), nn.Linear(256, 8)), "", (0, 0, 0)),
    "none of tokens": (Tokens, "", (0, 0, 0)),
    "one with channels last": (Behind, "norm", (2, 4, 4)),
    "none without a gradient": (Cut, "", (0, 0, 0)),
}


@pytest.mark.parametrize(("build", "layer", "shape"), LAYERS.values(), ids=[*LAYERS])
def test_the_layer_is(build: Callable[[], nn.Module], layer: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = build()
    model(torch.randn(2, 1, 16, 16))
    found, name = maps(model, torch.randn(2, 1, 16, 16), said([0, 1]))
    assert (name, tuple(found.shape)) == (layer, shape)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def test_a_network_is_asked_and_left_as_it_was() -> None:
    model = network().eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    maps(model, torch.randn(2, 1, 8, 8, generator=torch.Generator()), said([0, 1]))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_hooks_are_gone_after_an_error_too() -> None:
    model = network()
    with pytest.raises(RuntimeError):
        maps(model, torch.randn(2, 5, 8, 8), said([0, 1]))
    assert not any(module._forward_hooks for module in model.modules())


def test_weights_that_are_frozen_or_came_of_inference_give_the_same_map() -> None:
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    expected, _ = maps(network(), images, said([0, 1]))
    frozen = network().requires_grad_(False)
    with torch.inference_mode():
        frozen.eval()(images)
    assert torch.allclose(maps(frozen, images, said([0, 1]))[0], expected)


def test_images_explained_together_or_alone_have_the_same_maps() -> None:
    model, images = network(), torch.randn(5, 1, 8, 8)
    together, _ = maps(model, images, said([0, 1, 2, 0, 1]))
    for place, label in enumerate([0, 1, 2, 0, 1]):
        alone, _ = maps(model, images[place : place + 1], said([label]))
        assert torch.allclose(alone[0], together[place], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "edge"),
    [
        ("resnet18", 96, 6),
        ("vgg11", 32, 4),
        ("mobilenetv3_small_050", 64, 4),
        ("convnext_atto", 64, 4),
        ("densenet121", 64, 4),
        ("legacy_xception", 96, 6),
        ("efficientnet_b0", 64, 4),
        ("swin_tiny_patch4_window7_224", 224, 7),
        ("vit_tiny_patch16_224", 224, 0),
    ],
)
def test_networks_of_timm_have_maps_where_they_have_places(name: str, size: int, edge: int) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model(name, num_classes=3)
    found, layer = maps(model, torch.randn(2, 3, size, size), said([0, 1]))
    assert tuple(found.shape) == ((2, edge, edge) if edge else (0, 0, 0))
    assert bool(layer) == bool(edge)
