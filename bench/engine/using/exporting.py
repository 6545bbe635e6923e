"""The job of a worker that writes a trained network to a file that other programs read."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import datastore, downloads, provenance
from bench.engine import data, placement, setup
from bench.engine.using.network import Network, load
from bench.errors import EnvironmentFailure, PluginError, StoreError
from bench.specs import Task
from bench.text import one_line
from bench.trained import Trained

Emit = Callable[[dict[str, Any]], None]

OPSET = 18
"""Of ONNX; the lowest that torch's exporter writes by itself, which most runtimes know."""
TOLERANCE = 1e-4
"""How far probabilities of the graph may lie from torch's; float32 in another order of sums."""
CHECKED = 256
"""Test images that the graph is tried on, at most."""


def perform(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Write a network to a file and check what was written.

    Args:
        payload: `network`; `output`, the file; `format`, `safetensors` or `onnx`; `offline`.
        emit: not called.

    Raises:
        EnvironmentFailure: the graph does not say what the network says.
        PluginError: the network cannot be written as a graph.
        StoreError: the dataset's test images cannot be had any more.
    """
    trained = Trained.from_dict(payload["network"])
    output = Path(payload["output"])
    network = load(trained, "cpu")
    about = metadata(network)
    if payload["format"] == "safetensors":
        _write_tensors(trained, output, about)
        load(dataclasses.replace(trained, weights=output), "cpu")
        return {"metadata": about}
    images = _test_images(network, offline=payload["offline"])
    _write_graph(network, output, about)
    return {"metadata": about, "opset": OPSET, **_check(network, output, images)}


def metadata(network: Network) -> dict[str, str]:
    """Return what whoever gets the file has to know of it: text, or JSON as text."""
    trained = network.trained
    spec, shape = trained.spec, trained.geometry
    values: dict[str, Any] = {
        "made_by": f"bench {provenance.library_version('bench-harness')}",
        "run": trained.record.id,
        "model": spec.model.name,
        "dataset": spec.dataset.name,
        "task": str(trained.task),
        "classes": [*trained.classes],
        "taxonomy": [list(path) for path in trained.taxonomy],
        "threshold": trained.threshold,
        "channels": shape.channels,
        "input_size": network.size,
        "stored_size": [shape.height, shape.width],
        "mean": trained.mean,
        "std": trained.std,
        "resize": spec.protocol["resize"],
        "interpolation": spec.interpolation,
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }


def _write_tensors(trained: Trained, output: Path, about: dict[str, str]) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(trained.weights, "pt") as file:
        # It names tensors that share memory with others.
        own = file.metadata() or {}
    save_file(load_file(trained.weights), output, {**own, **about})


class _Whole(nn.Module):
    """A network with what comes before it and after it: images in [0, 1] to probabilities."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.model = network.model.to(memory_format=torch.contiguous_format)
        mean, std = network.statistics
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.multi_label = network.question.task is Task.MULTI_LABEL

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model((images - self.mean) / self.std)
        return logits.sigmoid() if self.multi_label else logits.softmax(1), logits


def _write_graph(network: Network, output: Path, about: dict[str, str]) -> None:
    """Write an ONNX graph: `images` (batch, C, H, W) in [0, 1] to `probabilities` and `logits`."""
    shape = (2, network.trained.geometry.channels, network.size, network.size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        program = torch.onnx.export(
            _Whole(network).eval(),
            (torch.zeros(shape),),
            dynamo=True,
            input_names=["images"],
            output_names=["probabilities", "logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(about)
        program.save(output, external_data=False)
    except Exception as error:  # whatever tracing a network of a plugin raises
        raise PluginError(
            f"{network.where} cannot be written as an ONNX graph: {one_line(str(error), 200)}; "
            "export it as `.safetensors`"
        ) from error


def _test_images(network: Network, *, offline: bool) -> Tensor:
    """Return test images of the run's dataset at the network's size, (B, C, H, W) uint8."""
    spec = network.trained.spec
    offer = setup.offer_of(spec, "dataset")
    where = f"dataset `{spec.dataset.name}` of plugin {offer.plugin.label}"
    try:
        seen = data.view(spec, where)
    except StoreError:
        with downloads.offline(offline):
            stored = datastore.prepare(offer, spec.dataset, datastore.request_of(spec))
        if (stored.fingerprint, stored.variant) != (spec.fingerprint, spec.variant):
            raise StoreError(
                f"{where} has changed since run {network.trained.record.id}: its test images are "
                "gone, and the graph could not be checked; export as `.safetensors`"
            ) from None
        seen = data.view(dataclasses.replace(spec, files=None), where)
    chosen = seen.chosen.test.first(CHECKED)
    images = placement.place(seen.stored.images(chosen.split), chosen.ids, "cpu", "memory")
    return network.batches(images).sized(images.take(torch.arange(len(chosen))))


def _check(network: Network, output: Path, images: Tensor) -> dict[str, Any]:
    """Ask the graph and the network the same, in two batches of unlike sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(output), providers=["CPUExecutionProvider"])
    mean, std = network.statistics
    pixels = images.to(torch.float32) / 255
    ours = network.probabilities((pixels - mean) / std).numpy()
    parts = [pixels[:1], pixels[1:]]
    theirs = np.concatenate(
        [session.run(["probabilities"], {"images": part.numpy()})[0] for part in parts if len(part)]
    )
    difference = float(np.abs(ours - theirs).max())
    equal = int((ours.argmax(1) == theirs.argmax(1)).sum())
    if not difference <= TOLERANCE:
        raise EnvironmentFailure(
            f"the graph does not say what {network.where} says: of {len(images)} test images "
            f"probabilities differ by up to {difference:.2g} ({TOLERANCE:g} is allowed) and "
            f"{len(images) - equal} predictions; no file is left, export as `.safetensors`"
        )
    return {"images": len(images), "difference": difference, "equal": equal}
