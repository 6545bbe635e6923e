"""How a run is trained, beyond its components: the fields of a protocol, each declared once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.errors import UsageError

COMPANIONS: dict[str, tuple[Callable[[Mapping[str, Any]], bool], str]] = {
    **dict.fromkeys(
        ("freeze", "backbone_rate", "layer_decay"),
        (lambda fields: fields["weights"], "`--pretrained` or `--weights`"),
    ),
    "batch_norm": (
        lambda fields: fields["batch_norm"] != "frozen" or fields["weights"],
        "`--pretrained` or `--weights` where it is `frozen`",
    ),
    "unfreeze": (
        lambda fields: fields["weights"] and fields["freeze"] is not None,
        "`--freeze backbone`",
    ),
    "ema_decay": (lambda fields: fields["averaging"] == "ema", "`--averaging ema`"),
    "swa_start": (lambda fields: fields["averaging"] == "swa", "`--averaging swa`"),
    "min_delta": (lambda fields: fields["patience"] is not None, "`--patience N`"),
    "monitor": (
        lambda fields: fields["select"] == "best" or fields["patience"] is not None,
        "`--select best` or `--patience N`",
    ),
}
"""Fields that do nothing unless others are set so, or training starts from weights."""

_SEEN = "it decides which images a run sees and how, and what differs in that is not compared"
_COUNTED = "it decides how long a run is and how it is scored, the same for every trial"
_CARRIED = "it is about how a run is carried out, not about what it learns"
NOT_SEARCHED = {
    **dict.fromkeys(
        (
            *("input_size", "resize", "interpolation", "color", "image_kind", "on_bad"),
            *("task", "classes", "fractions", "val", "split_seed", "limit"),
        ),
        _SEEN,
    ),
    **dict.fromkeys(
        ("epochs", "select", "monitor", "patience", "min_delta", "threshold"), _COUNTED
    ),
    **dict.fromkeys(("micro_batch", "precision", "threads", "log_steps"), _CARRIED),
}
"""Fields that tuning leaves alone, each with the reason."""

SEARCH_RANGES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "schedule": lambda fields: "*",
    "batch_size": lambda fields: "16,32,64,128,256",
    "warmup": lambda fields: f"0..{min(5.0, fields['epochs'] / 2):g}",
    "l2": lambda fields: "1e-6..1e-2 log",
    "clip_norm": lambda fields: "none,0.5,1,2,5",
    "ema_decay": lambda fields: "0.9,0.99,0.999,0.9999",
    "swa_start": lambda fields: "0.5..0.9",
    "backbone_rate": lambda fields: "0.01..1 log",
    "layer_decay": lambda fields: "0.5..1",
}
"""Where tuning searches a field, given the others; as `--space` spells it, `*` for all there is."""


class Protocol(BaseModel):
    """How a run is trained, beyond its components. Rows are ranked within one protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(10, ge=1, description="passes over the training data")
    batch_size: int = Field(64, ge=1, description="images in a training step")
    schedule: str | None = Field(None, description="learning-rate schedule")
    warmup: float = Field(
        0.0,
        ge=0,
        description="epochs over which the learning rate rises from 0 to what the schedule says",
    )
    loss: str | None = Field(None, description="loss to minimise")
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="images that pass through the network at a time; their gradients are summed "
        "up to those of the whole batch, in less memory",
    )
    l1: float = Field(
        0.0, ge=0, description="strength of a penalty on the sum of |w|, biases and norms left out"
    )
    l2: float = Field(
        0.0,
        ge=0,
        description="strength of a penalty on half the sum of w squared, likewise; unlike an "
        "optimizer's `weight_decay`, which may treat all weights alike",
    )
    clip_norm: float | None = Field(
        None, gt=0, description="longest gradient of all weights together; a longer one is scaled"
    )
    clip_value: float | None = Field(
        None, gt=0, description="largest gradient of a single weight; larger ones are cut"
    )
    averaging: Literal["ema", "swa"] | None = Field(
        None,
        description="weights to evaluate: `ema`, an exponential moving average over steps; `swa`, "
        "the mean over the last epochs; by default those of the last step",
    )
    ema_decay: float = Field(
        0.999, gt=0, lt=1, description="share that a step leaves of the moving average"
    )
    swa_start: float = Field(
        0.75, ge=0, lt=1, description="part of the epochs after which `swa` begins"
    )
    freeze: Literal["backbone"] | None = Field(
        None,
        description="`backbone`: train the head only, and leave all below it as the weights that "
        "training starts from have it",
    )
    unfreeze: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (),
        description="epochs, for example `3,5`, at whose start a further part of the backbone is "
        "trained too, from the top; with n epochs it is in n parts",
    )
    backbone_rate: float = Field(
        1.0,
        gt=0,
        description="factor of the learning rate of all but the head, where training starts from "
        "weights",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="factor by which the learning rate falls from each layer to the one below, "
        "where training starts from weights",
    )
    batch_norm: Literal["train", "sync", "frozen"] = Field(
        "train",
        description="batch normalisation: `train`, by the batch of each device; `sync`, by that of "
        "all devices together; `frozen`, as the weights that training starts from have it, scales, "
        "shifts and statistics",
    )
    normalize: Literal["auto", "standard", "unit", "model"] = Field(
        "auto",
        description="`standard`: by the mean and std of the training images; `unit`: to [0, 1]; "
        "`model`: by the model's own mean and std; `auto`: by those of the weights that training "
        "starts from, else `standard`",
    )
    interpolation: Literal["auto", "bilinear", "bicubic"] = Field(
        "auto",
        description="how images are resized; `auto`: as for the weights that training starts "
        "from, else bilinear",
    )
    augmentation: str | None = Field(None, description="changes to the training images")
    image_kind: Literal["auto", "photo", "symbol", "overhead"] = Field(
        "auto",
        description="what turning an image does to its meaning, for presets of augmentations: "
        "`photo` may be mirrored, `symbol` not, `overhead` turned at will; `auto`: photo if "
        "in colour, else symbol",
    )
    input_size: Annotated[int, Field(ge=1, le=4096)] | Literal["model"] | None = Field(
        None,
        description="height and width, pixels; by default that of the weights that training "
        "starts from, else the dataset's own; `model`: the size that the model was designed for",
    )
    resize: Literal["crop", "squash", "pad"] = Field(
        "crop",
        description="images of another shape: `crop` the centre of the resized image, `squash` "
        "it, or `pad` it with black",
    )
    color: Literal["auto", "gray", "rgb"] = Field(
        "auto", description="channels; `auto`: gray where all images are"
    )
    task: Literal["auto", "binary", "multi-class", "multi-label", "hierarchical"] = Field(
        "auto", description="what is to be said of an image; `auto`: what the labels ask for"
    )
    classes: tuple[str, ...] = Field((), description="use the images of these classes only")
    fractions: tuple[float, float, float] | None = Field(
        None,
        description="parts of all images that become train, val and test, for example "
        "`0.63,0.07,0.3`; official splits are then pooled",
    )
    val: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="part of train that becomes val, where the dataset has no val split; "
        "without a test split, a fifth of all becomes test first",
    )
    split_seed: int = Field(0, ge=0, description="seed of that part, the same for every run")
    limit: int | None = Field(
        None, ge=1, description="at most so many images of each split, stratified by class"
    )
    on_bad: Literal["error", "skip"] = Field(
        "error", description="files that cannot be read: an error, or left out and counted"
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["val"] = Field(
        0.5,
        description="probability from which a label of a multi-label task counts as present; "
        "`val`: the one with the highest macro F1 on val",
    )
    select: Literal["best", "last"] = Field(
        "best", description="which epoch's weights are tested; `best` is chosen on val"
    )
    monitor: str | None = Field(
        None,
        description="val metric that says which epoch is best; by default the task's own, "
        "and of equals the lowest log loss",
    )
    patience: int | None = Field(
        None, ge=1, description="stop after so many epochs without a better one"
    )
    min_delta: float = Field(
        0.0, ge=0, description="what `monitor` must gain for patience to begin anew"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="`auto`: bfloat16 autocast on a GPU, float32 on a CPU"
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads of a run; by default all cores shared among the workers, "
        "and 1 with `--deterministic`",
    )
    log_steps: int | None = Field(
        None,
        ge=1,
        description="record train and val curves every so many steps too; each point costs an "
        "evaluation on val",
    )

    @field_validator("classes", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        return _words(value)

    @field_validator("unfreeze", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else _words(value)

    @field_validator("unfreeze")
    @classmethod
    def _rise(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("each epoch must come after the one before")
        return value

    @field_validator("fractions", mode="before")
    @classmethod
    def _add_up(cls, value: Any) -> Any:
        if value is None:
            return value
        try:
            parts = [float(part) for part in _words(value)]
        except (TypeError, ValueError):
            parts = []
        whole = len(parts) == 3 and all(0 < part < 1 for part in parts)
        if not whole or abs(sum(parts) - 1) > 1e-6:
            raise ValueError("parts for train, val and test are needed that add up to 1")
        return tuple(parts)


def is_in_use(name: str, protocol: Mapping[str, Any]) -> bool:
    """Return whether a field does anything in a protocol; one of another version may lack some."""
    try:
        return name not in COMPANIONS or COMPANIONS[name][0](protocol)
    except KeyError:
        return True


def check_in_use(given: Iterable[str], protocols: Sequence[Mapping[str, Any]]) -> None:
    """Refuse fields that were given and do nothing in any of the protocols.

    Raises:
        UsageError: there is such a field.
    """
    for name in given:
        if name in COMPANIONS:
            flag = COMPANIONS[name][1]
            if not any(is_in_use(name, protocol) for protocol in protocols):
                spelt = name.replace("_", "-")
                raise UsageError(f"`{spelt}` does nothing here; it goes with {flag}")


def _words(value: Any) -> Any:
    """Return the words of a text with commas; what is no text stays as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] == "[" and text[-1:] == "]":
        try:
            return tuple(json.loads(text))  # names that hold commas come in quotes
        except ValueError:
            text = text[1:-1]
    return tuple(part.strip() for part in text.split(",") if part.strip())
