"""Models, and the weights that they may start from."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.specs.component import Component

if TYPE_CHECKING:
    from bench.decoding import Interpolation


@dataclass(frozen=True, kw_only=True)
class ModelHints:
    """What is known of a model before it is built; used for listings and estimates only.

    Attributes:
        family: the architecture's family, for example `resnet`.
        parameters: number of trainable parameters with 1,000 classes.
        macs: multiply-accumulates of one forward pass of one image at `input_size`.
        layers: modules that hold parameters.
        input_size: the height and width it was designed for, pixels.
        smallest_size: the smallest height and width that it takes, pixels.
    """

    family: str
    parameters: int | None = None
    macs: int | None = None
    layers: int | None = None
    input_size: int | None = None
    smallest_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How the training that made a model's weights saw its images.

    Attributes:
        mean: by channel, in [0, 1].
        std: by channel, in [0, 1].
        size: height and width, pixels; None where the model does not mind.
        interpolation: how images were resized.
    """

    mean: Sequence[float]
    std: Sequence[float]
    size: int | None = None
    interpolation: Interpolation | None = None


@dataclass(frozen=True, kw_only=True)
class Model(Component):
    """A network.

    Attributes:
        build: `build(num_classes, input_shape, *, ...)` returns a `torch.nn.Module` that maps
            float images (N, C, H, W) to logits (N, num_classes). `input_shape` is (C, H, W).
        hints: sizes for listings and estimates.
        preprocessing: `preprocessing(*, ...)`, with the params of `build`, returns the model's own
            `Preprocessing`: what `--normalize model` asks for, and what training that starts from
            weights uses unless these name their own. It is asked while planning too, and so is to
            import nothing heavy.
        pretrained: `pretrained(input_shape, *, ...)`, with the params of `build`, returns the
            model's published weights, fetched if need be: tensors by the names of the network's
            `state_dict`, those of its classifier included.
        layers: `layers(network)` returns the names of all its parameters in groups, from the
            input to the logits, for learning rates and freezing by layer; by default the groups
            are the network's children, in the order in which it defines them.
    """

    kind: ClassVar[str] = "model"
    plural: ClassVar[str] = "models"

    build: Callable[..., Any]
    hints: ModelHints | None = None
    preprocessing: Callable[..., Preprocessing] | None = None
    pretrained: Callable[..., Mapping[str, Any]] | None = None
    layers: Callable[[Any], Sequence[Sequence[str]]] | None = None

    def with_params(self, params: Mapping[str, Any]) -> Model:
        """Return this model with its params bound."""
        bound: dict[str, Any] = {
            name: functools.partial(factory, **params)
            for name in ("build", "preprocessing", "pretrained")
            if (factory := getattr(self, name)) is not None
        }
        return dataclasses.replace(self, **bound)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where weights come from, found without loading them.

    Attributes:
        files: what is read; their content is part of a run's identity.
        preprocessing: how images were seen; None where that is the model's own affair.
        classes: what the logits stood for, in their order; empty where that is not known. A head
            that was trained for other classes is not taken over.
    """

    files: Sequence[Path] = ()
    preprocessing: Preprocessing | None = None
    classes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Weights(Component):
    """Weights that training starts from, in place of random ones.

    Attributes:
        load: `load(model, input_shape, files, *, ...)` returns tensors by the names of the
            network's `state_dict`. `model` is the `Model` with its params bound, `input_shape` is
            (C, H, W), and `files` are those that `origin` named.
        origin: `origin(model, results, *, ...)` returns their `Origin`. It imports no torch;
            `results` is the folder of earlier runs.
        address: makes this a source: users write `NAME:TEXT`, and `address(TEXT)` is what `load`
            and `origin` get as their param `path`.
        suffixes: of a source, endings of files for which `NAME:` may be left out.
    """

    kind: ClassVar[str] = "weights"
    plural: ClassVar[str] = "weights"
    addressed: ClassVar[tuple[str, ...]] = ("load", "origin")

    load: Callable[..., Mapping[str, Any]]
    origin: Callable[..., Origin] | None = None
    address: Callable[[str], str] | None = None
    suffixes: tuple[str, ...] = ()

    @property
    def factory(self) -> Callable[..., Mapping[str, Any]]:
        """The callable that loads the tensors."""
        return self.load
