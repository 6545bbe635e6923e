"""What a run leaves to be looked at: small pictures of some test items, maps of a few of them."""

from __future__ import annotations

import math
import traceback
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from bench import pictures, thumbnails
from bench.decoding import Resize, scaled_size
from bench.engine import generators, gradcam
from bench.engine.data import stored_test
from bench.engine.evaluation import Predictions
from bench.engine.setup import Setup
from bench.pictures import Ids, Pictures
from bench.records import RunSpec
from bench.specs import Answers, Task
from bench.stored import Images
from bench.text import one_line

EXPLAINED = 12
"""Items that get a map; each costs about what a training step takes for one image."""
AT_A_TIME = 2**26
"""Bytes of stored images that are read at a time."""

Pixels = npt.NDArray[np.uint8]


def keep(spec: RunSpec, setup: Setup, said: Predictions, folder: Path) -> str:
    """Leave pictures in a run's folder; return why there are none, or no maps, if so.

    Whatever fails here costs a run its pictures and no more. Called last: nothing that a run has
    come to is changed by it, whatever a network does when it is asked once more.

    Args:
        spec: a final run.
        setup: its network, in evaluation mode, and its data.
        said: the predictions on test.
        folder: of the attempt.
    """
    try:
        answers = _answers(said)
        ids = pictures.chosen(answers)
        images = stored_test(spec, setup.data)
        small = _small(images, ids)
        none = np.zeros((0, *small.shape[1:3]), np.uint8)
        found = Pictures("test", ids, small, ids[:0], none)
        why = ""
        try:
            with generators.kept(setup.job.device):
                found = _explained(found, spec, setup, answers, images)
        except (Exception, SystemExit) as error:  # a plugin may even call sys.exit
            why = _told("no maps", error)
        pictures.write(folder, found)
    except Exception as error:
        return _told("no pictures", error)
    return why


def _told(what: str, error: BaseException) -> str:
    traceback.print_exc()
    return one_line(f"{what}: {type(error).__name__}: {error}")


def _answers(said: Predictions) -> Answers:
    """Return predictions as their readers will see them: as stored, in the order of their ids."""
    order = np.argsort(said.ids, kind="stable")
    question = said.question
    return Answers(
        question.task,
        question.classes,
        said.ids[order],
        said.labels[order],
        said.predicted[order],
        said.stored_probabilities[order],
        tuple(map(tuple, question.taxonomy)),
    )


def _small(images: Images, ids: Ids) -> Pixels:
    """Return thumbnails of stored images, of which a few are read at a time."""
    step = max(1, AT_A_TIME // math.prod(images.shape[1:]))
    parts = [
        thumbnails.shrunk(np.ascontiguousarray(images[ids[start : start + step]]))
        for start in range(0, len(ids), step)
    ]
    return np.concatenate(parts)


def _explained(
    found: Pictures, spec: RunSpec, setup: Setup, answers: Answers, images: Images
) -> Pictures:
    """Return pictures with maps of some of them, if the network has any."""
    job, val = setup.job, setup.data.val
    ids = np.sort(pictures.with_maps(answers, EXPLAINED))
    places = np.searchsorted(answers.ids, ids)
    height, width = found.images.shape[1:3]
    shape = images.shape[1], images.shape[2]
    # So many images passed through the device in training, all with their gradients.
    part = spec.protocol["micro_batch"] or math.ceil(setup.data.batch_size / spec.devices)
    step = min(len(ids), part)
    parts, layer = [], ""
    job.model.eval()
    for start in range(0, len(ids), step):
        pixels = np.ascontiguousarray(images[ids[start : start + step]])
        # Prepared as all images of the run were.
        stored = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(job.device)
        prepared = val.normalised(val.sized(stored))
        said = torch.from_numpy(_said(answers, places[start : start + step])).to(job.device)
        maps, layer = gradcam.maps(job.model, prepared, said, job.device, job.precision)
        if not layer:
            return found
        laid = _laid(maps.cpu(), val.size, shape, val.resize, (height, width))
        parts.append(laid)
    return Pictures(found.split, found.ids, found.images, ids, np.concatenate(parts), layer)


def _said(answers: Answers, places: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Return which logits of some items are to be explained, (B, C) of 0 and 1.

    Those of what was said; where that was no label at all, the likeliest one.
    """
    claimed, shares = answers.predicted[places], answers.probabilities
    assert shares is not None, "predictions just made have them"
    said = np.zeros((len(places), shares.shape[1]), np.float32)
    if answers.task is Task.MULTI_LABEL:
        said[:] = claimed
        silent = np.flatnonzero(~claimed.any(1))
        said[silent, shares[places[silent]].argmax(1)] = 1
    else:
        said[np.arange(len(places)), claimed] = 1
    return said


def _laid(
    maps: Tensor,
    size: int,
    stored: tuple[int, int],
    resize: Resize,
    shown: tuple[int, int],
) -> Pixels:
    """Return maps (M, a, a) as they lie on thumbnails, (M, h, w) uint8.

    What was cut off before the network saw it has no say; what was added around it is cut off.

    Args:
        maps: in [0, 1], of what the network saw.
        size: of the images that it saw, pixels.
        stored: height and width of the stored images.
        resize: how these were brought to it.
        shown: height and width of the thumbnails.
    """
    seen = functional.interpolate(
        maps[:, None], (size, size), mode="bilinear", align_corners=False
    ).clamp_(0, 1)
    height, width = scaled_size(stored[0], stored[1], size, resize)
    top, left = abs(height - size) // 2, abs(width - size) // 2
    if resize == "pad":
        whole = seen[..., top : top + height, left : left + width]
    else:
        whole = functional.pad(seen, (left, width - size - left, top, height - size - top))
    laid = functional.interpolate(whole, shown, mode="bilinear", antialias=True)
    return laid[:, 0].mul(255).round().clamp(0, 255).to(torch.uint8).numpy()
