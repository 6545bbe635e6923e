"""The job of a worker that predicts image files, a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.engine import device as devices
from bench.engine import evaluation
from bench.engine.placement import Stored
from bench.engine.using.network import Network, load
from bench.engine.using.photographs import Photographs
from bench.trained import Trained

Emit = Callable[[dict[str, Any]], None]


def perform(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Predict image files and report each batch: `first`, `probabilities` (B, C) and `bad`.

    Args:
        payload: `networks`, whose probabilities are averaged with `weights`;
            `paths` of the files; `device`; `batch_size`, None for that of an evaluation; `on_bad`,
            `error` or `skip`.
        emit: takes the reports, in the order of the files. `bad` holds by place what is wrong with
            files that could not be read, whose probabilities mean nothing.
    """
    device = devices.resolve(payload["device"])
    networks = [load(Trained.from_dict(each), device) for each in payload["networks"]]
    paths = [Path(path) for path in payload["paths"]]
    begin = time.perf_counter()
    first = 0
    strict = payload["on_bad"] == "error"
    for probabilities, bad in answers(
        networks, payload["weights"], paths, payload["batch_size"], strict=strict
    ):
        emit({"first": first, "probabilities": probabilities.tolist(), "bad": bad})
        first += len(probabilities)
    return {
        "seconds": time.perf_counter() - begin,
        "device": device,
        "device_name": devices.name(device),
        "precision": networks[0].precision,
    }


def answers(
    networks: Sequence[Network],
    weights: Sequence[float],
    paths: Sequence[Path],
    batch_size: int | None,
    *,
    strict: bool,
) -> Iterator[tuple[npt.NDArray[np.float32], dict[int, str]]]:
    """Yield what networks say of files on average, (B, C) by batch, and what is wrong with some.

    Networks that see images alike share what is decoded.
    """
    voters = [*zip(networks, np.array(weights) / np.sum(weights), strict=True)]
    groups = _groups(voters, paths, strict=strict)
    if batch_size is None:
        batch_size = min(
            evaluation.batch_size(network.batches(group.images))
            for group in groups
            for network, _ in group.voters
        )
    told: set[int] = set()
    for parts in zip(*(group.stream(batch_size) for group in groups), strict=True):
        # Files are read ahead: some may belong to batches that are yet to come.
        bad = {place: why for group in groups for place, why in [*group.source.bad.items()]}
        yield torch.stack(parts).sum(0).cpu().numpy(), {p: bad[p] for p in bad.keys() - told}
        told |= bad.keys()


Voter = tuple[Network, float]
"""A network and the share that it has in the mean."""


@dataclass(frozen=True)
class _Group:
    """Networks that want images decoded alike.

    Attributes:
        source: the files.
        images: the same, as the networks get them.
    """

    source: Photographs
    images: Stored
    voters: list[Voter]

    def stream(self, batch_size: int) -> Iterator[Tensor]:
        """Yield the weighted sum of what the networks say, (B, C), batch by batch."""
        count = self.images.shape[0]
        batches = [network.batches(self.images) for network, _ in self.voters]
        whole = torch.arange(count // batch_size * batch_size).view(-1, batch_size)
        rest = torch.arange(whole.numel(), count).view(1, -1)
        for rows in (whole, rest) if rest.numel() else (whole,):
            for raw in self.images.stream(rows):
                said = [
                    network.probabilities(form.normalised(form.sized(raw))) * share
                    for (network, share), form in zip(self.voters, batches, strict=True)
                ]
                yield torch.stack(said).sum(0)


def _groups(voters: Sequence[Voter], paths: Sequence[Path], *, strict: bool) -> list[_Group]:
    found: dict[tuple[Any, ...], _Group] = {}
    for voter in voters:
        network = voter[0]
        shape, spec = network.trained.geometry, network.trained.spec
        how = (spec.protocol["resize"], spec.interpolation)
        # What a file of another shape is brought to matters where the stored images were alike.
        wants = (shape.variant, *((*how, network.size) if shape.resize is None else ()))
        if wants not in found:
            source = Photographs(paths, shape, network.size, *how, strict=strict)
            ids = np.arange(len(paths), dtype=np.int64)
            found[wants] = _Group(source, Stored(source, ids, network.device, "stream"), [])
        found[wants].voters.append(voter)
    return [*found.values()]
