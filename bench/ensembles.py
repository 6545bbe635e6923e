"""Ensembles: finished runs combined into one, which is kept as a run like any other."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bench import files, leaderboard, metrics, provenance
from bench.answers import AnswerBook, Answers
from bench.combining import WAYS, Opinion, Said
from bench.errors import StoreError, UsageError
from bench.members import check_alike
from bench.records import (
    COMPONENT_KINDS,
    ComponentRef,
    RunRecord,
    RunSpec,
    RunStatus,
    canonical,
    digest,
)
from bench.specs import Task
from bench.store import Store

PLUGIN = "bench"
"""What stands for a plugin in the components of an ensemble: the core itself."""
SEVERAL = "several"
VOTES = ("soft", "hard", "greedy", "stacking")
"""The ways that need nothing but finished runs."""
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,59}")


@dataclass(frozen=True)
class Recipe:
    """How an ensemble is to be made.

    Attributes:
        how: one of `combining.WAYS`.
        options: what else was asked for; the arguments of that way among them.
        name: what its row is called; `ensemble-HOW` where None.
    """

    how: str
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise UsageError(
                f"`--name {self.name}`: a name has up to 60 letters, digits and `.+-_`, and begins "
                "with a letter or digit"
            )

    @property
    def label(self) -> str:
        """What rows of it are called."""
        return self.name or f"ensemble-{self.how}"


@dataclass(frozen=True)
class Built:
    """An ensemble, and whether it was there already."""

    record: RunRecord
    is_new: bool


def build(
    members: Sequence[RunRecord],
    recipe: Recipe,
    store: Store,
    book: AnswerBook,
    *,
    seed: int = 0,
    alphas: Sequence[float] = (),
    methods: Sequence[str] | None = None,
) -> Built:
    """Combine finished runs into one, and keep it beside them; one that is there is read.

    Args:
        members: two or more that ended well, in the order that counts.
        recipe: how.
        store: where to keep it.
        book: their predictions.
        seed: which of its method's ensembles this is.
        alphas: of the members, for `boosting`.
        methods: what tells its method from others; by default the methods of all members.

    Raises:
        UsageError: members of different data or protocols.
        StoreError: predictions that are missing or damaged, or a folder that cannot be written.
        DataError: the way cannot be gone with these data.
    """
    check_alike(members)
    if methods is None:
        methods = sorted(record.spec.method for record in members)
    spec = _spec(members, recipe, seed, methods)
    known = store.read(spec.id)
    if known is not None and known.status is RunStatus.OK and book.of(known) is not None:
        return Built(known, is_new=False)
    began = _now()
    said = {split: _said(members, split, book) for split in ("val", "test")}
    task, labels = said["val"][0][0].task, said["val"][0][0].labels
    arguments = {n: v for n, v in recipe.options.items() if n in ("steps", "select_by")}
    if alphas:
        arguments["alphas"] = list(alphas)
    combined = WAYS[recipe.how](task, labels, said["val"][1], said["test"][1], **arguments)
    opinions = {"val": combined.val, "test": combined.test}
    threshold = _threshold(spec, task, labels, combined.val)
    arrays: dict[str, Any] = {}
    measured = {}
    for split, opinion in opinions.items():
        answers = said[split][0][0]
        stored = opinion.probabilities.astype(
            np.float32 if task is Task.MULTI_LABEL else np.float16
        )
        predicted = _predicted(opinion, task, stored, threshold)
        arrays |= {
            f"{split}_ids": answers.ids,
            f"{split}_labels": answers.labels,
            f"{split}_predicted": predicted,
            f"{split}_probabilities": stored,
        }
        measured[split] = _measured(members, answers, predicted, stored)
    used = [
        record
        for place, record in enumerate(members)
        if combined.weights is None or combined.weights[place] > 0
    ]
    told = {
        "how": recipe.how,
        "members": len(used),
        "candidates": len(members),
        "val_is": combined.val_is,
        **combined.chosen,
    }
    if alphas:
        told["alphas"] = list(map(float, alphas))
    if combined.weights is not None:
        told["weights"] = {
            record.id: float(weight)
            for record, weight in zip(members, combined.weights, strict=True)
        }
    record = RunRecord(
        spec=spec,
        status=RunStatus.OK,
        metrics=measured,
        timing=_sums(used, "timing", ("train_seconds", "wall_seconds")),
        profile={
            **_sums(used, "profile", ("parameters", "flops", "latency_ms")),
            **_shared(used, "profile", ("input_size",)),
        },
        environment={
            **_shared(members, "environment"),
            "threshold": threshold,
            "shared_device": any(r.environment.get("shared_device") for r in used),
            "ensemble": told,
        },
        started_at=began,
        finished_at=_now(),
    )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    with store.lock(record.id):
        files.write_bytes(store.folder(record.id) / "predictions.npz", buffer.getvalue())
        store.write(record)
    return Built(record, is_new=True)


def resolve_again(record: RunRecord, store: Store) -> RunSpec:
    """Return an ensemble's spec with the key that it would get today.

    Raises:
        StoreError: a member is gone.
    """
    spec = record.spec
    members = []
    for run_id in spec.members:
        member = store.read(run_id)
        if member is None:
            raise StoreError(f"its member `{run_id}` is not in `{store.root}`")
        members.append(member)
    how = str(spec.model.params["how"])
    key = {**spec.key, "source": _source(how), "versions": _versions(members)}
    return dataclasses.replace(spec, key=key)


def _spec(
    members: Sequence[RunRecord], recipe: Recipe, seed: int, methods: Sequence[str]
) -> RunSpec:
    """Return what the ensemble is, key included."""
    first = members[0].spec
    block = leaderboard.block_of(members[0])
    models = [*dict.fromkeys(record.spec.model_label for record in members)]
    refs: dict[str, Any] = {
        kind: _common([r.spec.components[kind] for r in members]) for kind in COMPONENT_KINDS
    }
    params = {
        "how": recipe.how,
        **recipe.options,
        "of": "+".join(models) if len(models) <= 3 else f"{len(models)} models",
        "methods": digest(list(methods))[:6],
    }
    refs["model"] = ComponentRef(recipe.label, PLUGIN, params)
    devices = {str(record.spec.key.get("device", record.spec.device)) for record in members}
    dataset = first.key["dataset"]
    ids = [record.id for record in members]
    key = {
        "schema": provenance.KEY_SCHEMA,
        "dataset": {
            name: dataset.get(name) for name in ("name", "plugin", "fingerprint", "variant")
        },
        "ensemble": {"name": recipe.label, **params},
        "members": ids,
        "seed": seed,
        "mode": str(first.mode),
        "device": devices.pop() if len(devices) == 1 else SEVERAL,
        "source": _source(recipe.how),
        "versions": _versions(members),
    }
    return RunSpec(
        **refs,
        protocol={name: block[name] for name in first.protocol},
        seed=seed,
        mode=first.mode,
        device=first.device,
        members=tuple(ids),
        key=key,
    )


def _common(refs: Sequence[ComponentRef]) -> ComponentRef:
    """Return what components have in common: the name if they share it, the params they share."""
    first = refs[0]
    names = [*dict.fromkeys(ref.name for ref in refs)]
    if len(names) > 1:
        return ComponentRef("+".join(names) if len(names) <= 3 else SEVERAL, PLUGIN)
    shared = {
        name: value
        for name, value in first.params.items()
        if all(canonical(ref.params.get(name)) == canonical(value) for ref in refs)
    }
    return ComponentRef(first.name, first.plugin, shared)


def _source(how: str) -> dict[str, Any]:
    """Return what of code and versions can change what members are combined to."""
    libraries = ("numpy", "scikit-learn", "scipy") if how == "stacking" else ("numpy",)
    own = provenance.component_source(WAYS[how])
    return {"code": own, **{name: provenance.library_version(name) for name in libraries}}


def _versions(members: Iterable[RunRecord]) -> str:
    """Return a hash of the circumstances of the members, equal for all seeds of one method.

    How their items were drawn is left out: of boosting, some seeds have fewer rounds than others.
    """
    told = [leaderboard.circumstances_of(member) for member in members]
    return digest(
        sorted({digest({n: v for n, v in each.items() if n != "draw"}) for each in told})
    )[:16]


def _said(members: Sequence[RunRecord], split: str, book: AnswerBook) -> tuple[list[Answers], Said]:
    """Return what members said of one split, checked to be the same items."""
    answers = [_whole(record, split, book) for record in members]
    first = answers[0]
    for record, other in zip(members[1:], answers[1:], strict=True):
        same = np.array_equal(other.ids, first.ids) and np.array_equal(other.labels, first.labels)
        if not same or (other.task, other.classes) != (first.task, first.classes):
            raise UsageError(
                f"run `{members[0].id}` and run `{record.id}` were asked about different {split} "
                "items or classes; members answer the same question"
            )
    return answers, Said(
        np.stack([each.predicted for each in answers]),
        np.stack([np.asarray(each.probabilities, np.float64) for each in answers]),
    )


def _whole(record: RunRecord, split: str, book: AnswerBook) -> Answers:
    answers = book.of(record, split)
    where = f"the {split} predictions of run `{record.id}`"
    if answers is None or answers.probabilities is None:
        raise StoreError(f"{where} are missing or damaged; `bench run --rerun` makes them again")
    items, classes = answers.probabilities.shape[0], len(answers.classes)
    shape = (items, classes) if answers.task is Task.MULTI_LABEL else (items,)
    fits = (
        answers.probabilities.shape == (items, classes)
        and answers.labels.shape == answers.predicted.shape == shape
        and answers.ids.shape == (items,)
        and items > 0
        and all(np.issubdtype(a.dtype, np.integer) for a in (answers.labels, answers.predicted))
        and min(answers.labels.min(), answers.predicted.min()) >= 0
        and max(answers.labels.max(), answers.predicted.max()) < max(classes, 2)
        and np.isfinite(answers.probabilities).all()
    )
    if not fits:
        raise StoreError(f"{where} do not fit together; `bench run --rerun` makes them again")
    return answers


def _threshold(spec: RunSpec, task: Task, labels: Any, val: Opinion) -> float | None:
    """Return from which probability labels count as present; None where there is one label."""
    if task is not Task.MULTI_LABEL:
        return None
    wanted = spec.protocol["threshold"]
    if wanted != "val":
        return float(wanted)
    return metrics.best_threshold(labels, val.probabilities.astype(np.float32))


def _predicted(opinion: Opinion, task: Task, stored: Any, threshold: float | None) -> Any:
    if task is Task.MULTI_LABEL:
        claimed = opinion.predicted
        if claimed is None:
            assert threshold is not None
            claimed = metrics.said(stored, threshold)
        return claimed.astype(np.uint8)
    # Before rounding: two bytes may make equals of what differs.
    chosen = opinion.probabilities.argmax(1) if opinion.predicted is None else opinion.predicted
    return chosen.astype(np.int32)


def _measured(
    members: Sequence[RunRecord], answers: Answers, predicted: Any, stored: Any
) -> dict[str, Any]:
    """Return the metrics that suit the task, as far as the members' records tell of its classes."""
    taxonomy = members[0].environment.get("taxonomy") or ()
    task = answers.task
    if task is Task.HIERARCHICAL and not taxonomy:
        task = Task.MULTI_CLASS  # the tree is not known here, and so neither are its levels
    asked = (answers.labels, predicted, stored, answers.classes, taxonomy)
    return metrics.compute(task, *asked)


def _sums(records: Sequence[RunRecord], part: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the sums of what is known of all members."""
    found = {}
    for name in names:
        values = [getattr(record, part).get(name) for record in records]
        if all(isinstance(value, int | float) for value in values):
            found[name] = sum(values)
    return found


def _shared(
    records: Sequence[RunRecord], part: str, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return what all members have in common."""
    first: Mapping[str, Any] = getattr(records[0], part)
    return {
        name: value
        for name, value in first.items()
        if (names is None or name in names)
        and all(canonical(getattr(r, part).get(name)) == canonical(value) for r in records)
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
