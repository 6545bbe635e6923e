"""What holds between the parts of a cell: pins, tasks and losses, fields that limit one another.

Whoever makes a `RunSpec` asks here: `bench.plan` from a config, `bench.variation` from another
spec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench import datastore, metrics
from bench.config import protocol_value
from bench.errors import ConfigError, PluginError, UsageError
from bench.forecast import locating
from bench.geometry import Request
from bench.origins import Start
from bench.records import ComponentRef
from bench.registry import Offer, Registry, suits
from bench.specs import Dataset, Model, Task
from bench.text import did_you_mean, listing

if TYPE_CHECKING:
    from bench.decoding import Interpolation

LATE = ("schedule", "loss", "augmentation")
"""The kinds of component that the protocol names."""


def pins_of(offers: Sequence[Offer]) -> dict[str, Any]:
    """Return the protocol fields that components pin.

    Raises:
        UsageError: two components of one cell pin a field to different values.
    """
    pins: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for offer in offers:
        fields = known_fields(offer, offer.component.pins, "pins")
        late = set(LATE) & fields.keys()
        if late and offer.component.kind in LATE:
            raise PluginError(
                f"{offer.component.kind} `{offer.name}` of plugin {offer.plugin.label} pins "
                f"{listing(sorted(late))}, which is chosen before it"
            )
        for name, value in fields.items():
            if name in pins and pins[name] != value:
                raise UsageError(
                    f"`{owners[name]}` pins {name} to {pins[name]} and `{offer.name}` to {value}; "
                    "they cannot be combined"
                )
            pins[name], owners[name] = value, offer.name
    return pins


def known_fields(offer: Offer, fields: Mapping[str, Any], verb: str) -> dict[str, Any]:
    """Return the protocol fields that a component names, validated.

    Args:
        offer: the component.
        fields: what it names.
        verb: what it does with them, for messages.

    Raises:
        PluginError: there is no such field, or the value does not suit it.
    """
    try:
        return {name: protocol_value(name, value, verb) for name, value in fields.items()}
    except ConfigError as error:
        raise PluginError(
            f"{offer.component.kind} `{offer.name}` of plugin {offer.plugin.label}: {error}"
        ) from error


def task_of(dataset: Offer, ref: ComponentRef, request: Request, asked: str) -> Task | None:
    """Return what a dataset's labels ask for; None where only loading it will tell.

    A dataset that was prepared before is known; of others their hints say it. Where these are
    wrong or missing, the plan is made again once the dataset is prepared.

    Args:
        dataset: offers it.
        ref: its params.
        request: where it is and what is left out of it.
        asked: the protocol's field `task`.
    """
    if asked != "auto":
        return Task(asked)
    component = dataset.component
    assert isinstance(component, Dataset)
    with locating(dataset, ref):
        note = datastore.remember(dataset, ref, request)
        if note is not None:
            return Task(note["task"])
        hints = component.hints_at(request.data_dir, ref.params)
    return hints.task if hints else None


def image_size(protocol: Mapping[str, Any], model: Offer, start: Start) -> int | None:
    """Return the height and width that are asked for, pixels; None: the dataset's own.

    Raises:
        UsageError: the model's own size is wanted and not known.
    """
    wanted = protocol["input_size"]
    if wanted is None:
        return start.size
    if wanted != "model":
        return int(wanted)
    assert isinstance(model.component, Model)
    hints = model.component.hints
    if hints is None or hints.input_size is None:
        raise UsageError(f"model `{model.name}` names no size of its own; give `--input-size N`")
    return hints.input_size


def interpolation(protocol: Mapping[str, Any], start: Start) -> Interpolation:
    """Return how images are resized, where that may be left to the weights."""
    wanted = protocol["interpolation"]
    return start.interpolation if wanted == "auto" else wanted


def check_loss(loss: Offer, task: Task, dataset: str, registry: Registry) -> None:
    """Refuse a loss that is not for what a dataset's labels ask for.

    Raises:
        UsageError: it is not.
    """
    if not suits(loss, task):
        fit = [offer.name for offer in registry.offers("loss") if suits(offer, task)]
        raise UsageError(
            f"loss `{loss.name}` is not for a {task} task, as dataset `{dataset}` is; "
            f"leave `--loss` out or choose among {listing(fit)}"
        )


def check_fields(fields: Mapping[str, Any], dataset: str, task: Task | None) -> None:
    """Refuse protocol fields that do not go together, or not with the dataset.

    Args:
        fields: all of them.
        dataset: its name.
        task: what its labels ask for; None if that is not known yet.

    Raises:
        UsageError: there are such fields.
    """
    if fields["warmup"] > fields["epochs"]:
        raise UsageError(
            f"`warmup` takes {fields['warmup']:g} epochs and a run has {fields['epochs']}; "
            "give less"
        )
    if fields["unfreeze"] and fields["unfreeze"][-1] > fields["epochs"]:
        raise UsageError(
            f"`unfreeze` names epoch {fields['unfreeze'][-1]} and a run has "
            f"{fields['epochs']}; give earlier ones"
        )
    monitor = fields["monitor"]
    possible = [task] if task else list(Task)
    if monitor and not any(metrics.can_select(monitor, each) for each in possible):
        known = dict.fromkeys(name for each in possible for name in metrics.SELECTABLE[each])
        raise UsageError(
            f"`monitor` is `{monitor}`{did_you_mean(monitor, known)}, but dataset "
            f"`{dataset}` has {listing(known)} on val"
        )


def check_devices(
    protocol: Mapping[str, Any],
    pins: Mapping[str, Any],
    refs: Mapping[str, ComponentRef],
    devices: int,
) -> None:
    """Refuse a batch that has no image for some of the devices.

    Raises:
        UsageError: there are more devices than images in a batch.
    """
    if protocol["batch_size"] < devices:
        advice = (
            "leave it out or use one device"
            if "batch_size" in pins
            else "give fewer `--devices` or a larger `--batch-size`"
        )
        raise UsageError(
            f"`{refs['optimizer'].name}` trains `{refs['model'].name}` in batches "
            f"of {protocol['batch_size']}, which {devices} devices cannot share; {advice}"
        )
