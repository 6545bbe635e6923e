"""A trained network, built anew from its record and its weights, with its way of seeing images."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.engine import device as devices
from bench.engine import pipeline, setup, sizing
from bench.engine.evaluation import Question
from bench.engine.placement import Place
from bench.errors import PluginError, StoreError
from bench.specs import Model
from bench.text import one_line
from bench.trained import Trained


@dataclass(frozen=True)
class Network:
    """A network on its device, ready to be asked.

    Attributes:
        trained: the run that it comes from.
        model: in evaluation mode.
        question: what it says of an image.
        size: height and width that it gets, pixels.
        device: `cpu` or `cuda`.
        precision: `float32` or `bfloat16`.
        where: the model and its plugin, for messages.
    """

    trained: Trained
    model: nn.Module
    question: Question
    size: int
    device: str
    precision: str
    where: str

    def batches(self, images: Place) -> pipeline.Batches:
        """Return images as the network's run saw those of its test split; the labels are void."""
        spec, count = self.trained.spec, images.shape[0]
        mean, std = (value.to(self.device) for value in self.statistics)
        return pipeline.Batches(
            images=images,
            labels=torch.zeros(count, dtype=torch.int64, device=self.device),
            ids=np.arange(count, dtype=np.int64),
            size=self.size,
            resize=spec.protocol["resize"],
            interpolation=spec.interpolation,
            mean=mean,
            std=std,
            memory_format=memory_format_of(self.trained),
            classes=len(self.question.classes),
        )

    @property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and std by channel, (1, C, 1, 1) each."""
        return pipeline.shaped(self.trained.mean, self.trained.std)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return what the network says of normalised images (B, C, H, W), as (B, classes).

        Raises:
            PluginError: it gave something else than finite logits.
        """
        with setup.blaming(self.where), devices.autocast(self.device, self.precision):
            logits = self.model(images)
        sizing.check_logits(logits, len(images), len(self.question.classes), self.where)
        result = self.question.probabilities(logits.float())
        if not torch.isfinite(result).all():
            raise PluginError(f"{self.where} gives no finite numbers; its weights are of no use")
        return result


def load(trained: Trained, device: str) -> Network:
    """Build a run's network and give it the weights that the run has left.

    Args:
        trained: the run.
        device: `cpu` or `cuda`.

    Raises:
        PluginError: its plugin cannot build it any more.
        StoreError: the weights are damaged, or are those of another network.
    """
    spec, classes = trained.spec, trained.classes
    offer = setup.offer_of(spec, "model")
    where = f"model `{spec.model.name}` of plugin {offer.plugin.label}"
    component = offer.component
    assert isinstance(component, Model)
    build = functools.partial(component.build, **spec.model.params)
    shape = trained.geometry
    size = trained.input_size
    if size is None:
        wanted = spec.image_size or max(shape.height, shape.width)
        native = component.hints.input_size if component.hints else None
        size = sizing.choose_input_size(build, len(classes), shape.channels, wanted, native, where)
    devices.set_up(device, spec.seed, spec.mode, spec.protocol["threads"], 1)
    with setup.blaming(where):
        model = build(len(classes), (shape.channels, size, size))
    _fill(model, trained, where)
    wanted_precision = spec.protocol["precision"]
    return Network(
        trained=trained,
        model=model.to(device).to(memory_format=memory_format_of(trained)).eval(),
        question=Question(trained.task, classes, trained.taxonomy),
        size=size,
        device=device,
        # A CPU computes what a GPU was asked to in bfloat16, only more exactly.
        precision="float32" if device == "cpu" else devices.precision_of(wanted_precision, device),
        where=where,
    )


def _fill(model: Any, trained: Trained, where: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    try:
        load_model(model, trained.weights)
    except (SafetensorError, OSError) as error:
        raise StoreError(
            f"`{trained.weights}` is no whole safetensors file: {one_line(str(error), 120)}; "
            "train the run again"
        ) from error
    except (RuntimeError, AttributeError) as error:
        raise StoreError(
            f"`{trained.weights}` does not fit {where} as it is now: {one_line(str(error), 160)}; "
            "train the run again, or install the plugin's version of then"
        ) from error


def memory_format_of(trained: Trained) -> torch.memory_format:
    """Return the layout of the batches that the run's network was given."""
    name = str(trained.record.environment.get("memory_format", "contiguous_format"))
    found = getattr(torch, name, None)
    return found if isinstance(found, torch.memory_format) else torch.contiguous_format
