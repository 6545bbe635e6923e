"""A run's images and labels: selected, placed, sized, normalised. Test is opened apart, once."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import selection, stored
from bench.engine import pipeline, placement
from bench.engine.augment import Augmenter
from bench.engine.evaluation import EVALUATION_BATCH, Question
from bench.errors import DataError, PluginError
from bench.records import Purpose, RunSpec
from bench.registry import Offer
from bench.selection import Selection, Subset
from bench.specs import ImageKind, Model, Preprocessing
from bench.stored import Images, StoredDataset


@dataclass(frozen=True)
class RunData:
    """What a run may see of its dataset before it has ended: everything but the test images.

    Attributes:
        stored: the dataset.
        question: what is to be said of an image.
        statistics: mean and std that images are normalised by.
        normalized_by: where these come from, for the record.
        size: height and width that the model gets, pixels.
        batch_size: at most the number of training images.
        counts: items by split, also in a rehearsal; test among them where the run is to see it.
        origins: how each of these splits was chosen, for the record.
        held_in: the stored split that holds each of them, or `all`.
        lacking: how many classes such a split has no image of, where it lacks any.
        class_counts: training images of each class, also in a rehearsal.
    """

    stored: StoredDataset
    question: Question
    train: pipeline.Batches
    val: pipeline.Batches
    statistics: tuple[Tensor, Tensor]
    normalized_by: str
    size: int
    batch_size: int
    counts: dict[str, int]
    origins: dict[str, str]
    held_in: dict[str, str]
    lacking: dict[str, int]
    class_counts: list[int]

    @property
    def steps_per_epoch(self) -> int:
        """Return the steps of an epoch of the whole training split."""
        return math.ceil(self.counts["train"] / self.batch_size)


@dataclass(frozen=True)
class View:
    """A dataset as a run's protocol sees it, before any image is placed."""

    stored: StoredDataset
    chosen: Selection

    @property
    def channels(self) -> int:
        """Return the channels of the stored images."""
        return self.stored.image_shape[2]

    @property
    def wanted_size(self) -> int:
        """Return the dataset's own height and width, pixels, where nobody names another."""
        return max(self.stored.image_shape[:2])


def view(spec: RunSpec, where: str) -> View:
    """Open a run's dataset and choose the items of its splits."""
    listed = Path(spec.files) if spec.files else None
    opened = stored.open_stored(spec.fingerprint, spec.variant, listed)
    return View(opened, selection.select(opened, spec.protocol, where))


def place(
    spec: RunSpec,
    seen: View,
    size: int,
    device: str,
    model: Offer,
    transforms: Sequence[object],
    memory_format: torch.memory_format,
    *,
    rehearsal: bool,
) -> RunData:
    """Place a run's training and validation images.

    Args:
        spec: the run.
        seen: its dataset.
        size: height and width that the model gets, pixels.
        device: `cpu` or `cuda`.
        model: whose own mean and std may be wanted.
        transforms: what changes the training images.
        memory_format: layout of the batches.
        rehearsal: whether a few images are enough.
    """
    chosen = seen.chosen
    statistics, normalized_by = _statistics(spec, seen, model)
    batch_size = min(spec.protocol["batch_size"], len(chosen.train))
    train, val = chosen.train, chosen.val
    if rehearsal:
        # Two batches show what the whole set would: the rest need not be placed on the device.
        train, val = train.first(2 * batch_size), val.first(EVALUATION_BATCH)
    as_wanted = (size, statistics, device, memory_format)
    batches = _batches(spec, seen, train, *as_wanted)
    if transforms:
        augmenter = Augmenter(transforms, spec.seed, len(train))  # type: ignore[arg-type]
        batches = dataclasses.replace(batches, augmenter=augmenter)
    splits = {"train": chosen.train, "val": chosen.val}
    if spec.purpose is Purpose.FINAL:
        splits["test"] = chosen.test
    return RunData(
        stored=seen.stored,
        question=Question(chosen.task, chosen.classes, chosen.taxonomy),
        train=batches,
        val=_batches(spec, seen, val, *as_wanted),
        statistics=statistics,
        normalized_by=normalized_by,
        size=size,
        batch_size=batch_size,
        counts={split: len(subset) for split, subset in splits.items()},
        origins={split: subset.origin for split, subset in splits.items()},
        held_in={split: subset.split for split, subset in splits.items()},
        lacking={
            split: lacking
            for split, subset in splits.items()
            if (lacking := _lacking(subset, len(chosen.classes)))
        },
        class_counts=_class_counts(chosen.train, len(chosen.classes)),
    )


def open_test(spec: RunSpec, data: RunData, device: str, where: str) -> pipeline.Batches:
    """Return the test split, prepared as the training images were; called once, at the end.

    Raises:
        DataError: the run is none that may see it.
    """
    _check_final(spec)
    seen = view(spec, where)
    as_train = (data.size, data.statistics, device, data.train.memory_format)
    return _batches(spec, seen, seen.chosen.test, *as_train)


def stored_test(spec: RunSpec, data: RunData) -> Images:
    """Return the images that the items of the test split are places in, as they are stored.

    Raises:
        DataError: the run is none that may see them.
    """
    _check_final(spec)
    return data.stored.images(data.held_in["test"])


def _check_final(spec: RunSpec) -> None:
    """Raise DataError unless a run is one that may see the test split, once it has ended."""
    if spec.purpose is not Purpose.FINAL or spec.until is not None:
        what = f"{spec.purpose} run" + ("" if spec.until is None else " that pauses")
        raise DataError(f"the test split stays shut for a {what}; only a final run may see it")


def image_kind(protocol: Mapping[str, Any], channels: int) -> ImageKind:
    """Return what turning an image does to its meaning: as the protocol says, else a guess."""
    wanted = protocol["image_kind"]
    if wanted != "auto":
        return ImageKind(wanted)
    # Gray sets are mostly digits, letters and drawings, which a mirror would spoil.
    return ImageKind.PHOTO if channels == 3 else ImageKind.SYMBOL


def _batches(
    spec: RunSpec,
    seen: View,
    subset: Subset,
    size: int,
    statistics: tuple[Tensor, Tensor],
    device: str,
    memory_format: torch.memory_format,
) -> pipeline.Batches:
    how = spec.protocol["resize"]
    images = seen.stored.images(subset.split)
    labels = torch.from_numpy(subset.labels)
    mean, std = (value.to(device) for value in statistics)
    return pipeline.Batches(
        images=pipeline.kept_at_size(
            placement.place(images, subset.ids, device, spec.placement),
            *(size, how, spec.interpolation),
        ),
        labels=(labels.to(torch.float32) if labels.ndim == 2 else labels).to(device),
        ids=subset.ids,
        size=size,
        resize=how,
        interpolation=spec.interpolation,
        mean=mean,
        std=std,
        memory_format=memory_format,
        classes=len(seen.chosen.classes),
    )


_known_statistics: dict[tuple[str, ...], tuple[list[float], list[float]]] = {}


def _channel_statistics(dataset: StoredDataset, train: Subset) -> tuple[list[float], list[float]]:
    """Return mean and std of the training images, counted once a worker: it may take decoding."""
    ids = hashlib.sha256(train.ids.tobytes()).hexdigest()
    key = (dataset.fingerprint, dataset.variant, train.split, ids)
    if key not in _known_statistics:
        images = dataset.images(train.split)
        _known_statistics[key] = stored.channel_statistics(images, train.ids)
    return _known_statistics[key]


def _lacking(subset: Subset, classes: int) -> int:
    """Return how many classes no item of a split has."""
    labels = subset.labels
    present = labels.any(0).sum() if labels.ndim == 2 else len(np.unique(labels))
    return classes - int(present)


def _class_counts(train: Subset, classes: int) -> list[int]:
    """Return the training images of each class, or that have each label."""
    labels = train.labels
    counts = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    return [int(count) for count in counts]


def _statistics(spec: RunSpec, seen: View, model: Offer) -> tuple[tuple[Tensor, Tensor], str]:
    """Return mean and std by channel, and where they come from."""
    channels, wanted = seen.channels, spec.protocol["normalize"]
    if wanted == "unit":
        return pipeline.shaped([0.0] * channels, [1.0] * channels), "to [0, 1]"
    own, whose = None, ""
    if wanted == "model" or (wanted == "auto" and spec.weights is not None):
        own, whose = _preprocessing(spec, model)
    if wanted == "standard" or (wanted == "auto" and own is None):
        train = seen.chosen.train
        return pipeline.shaped(
            *_channel_statistics(seen.stored, train)
        ), "mean and std of the training images"
    where = f"model `{model.name}` of plugin {model.plugin.label}"
    if own is None:
        raise PluginError(f"{where} names no mean and std of its own; use `--normalize standard`")
    mean, std = (_for_channels(list(values), channels) for values in (own.mean, own.std))
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise PluginError(f"{where} gives mean {mean} and std {std} for {channels} channels")
    shown = " and ".join(f"({', '.join(f'{v:.3g}' for v in values)})" for values in (mean, std))
    return pipeline.shaped(mean, std), f"{whose} own mean and std {shown}"


def _preprocessing(spec: RunSpec, model: Offer) -> tuple[Preprocessing | None, str]:
    """Return how the weights, or else the model, saw images, and whose affair that is."""
    if spec.protocol["normalize"] == "auto":
        own = spec.origin.get("preprocessing")
        whose = {"weights": "the weights'", "model": "the model's"}[spec.origin["whose"]]
        return (Preprocessing(**own) if own else None), whose
    component = model.component
    assert isinstance(component, Model)
    if component.preprocessing is None:
        return None, ""
    return component.preprocessing(**spec.model.params), "the model's"


def _for_channels(values: list[float], channels: int) -> list[float]:
    """Return a number by channel for gray images in place of colours, or the other way round."""
    if channels == 1:  # the mean of the colours is what a gray image has in each of them
        return [sum(values) / len(values)]
    return values * channels if len(values) == 1 else values
