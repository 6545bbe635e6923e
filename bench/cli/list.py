"""`bench list`: what there is to choose from."""

from __future__ import annotations

import fnmatch
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.common import (
    complete_kinds,
    json_option,
    print_columns,
    print_json,
    print_warnings,
    registry_with_warnings,
    results_option,
)
from bench.errors import UnknownNameError
from bench.registry import Offer
from bench.specs import KINDS, Metric, Model, Task
from bench.text import did_you_mean, listing

if TYPE_CHECKING:
    from bench.studies import StudyRecord


@click.command("list")
@click.argument("kind", required=False, shell_complete=complete_kinds)
@click.argument("pattern", required=False)
@results_option
@json_option
def command(kind: str | None, pattern: str | None, results: Path, as_json: bool) -> None:
    """List components of a kind (datasets, models, optimizers, ...), runs, or studies.

    PATTERN is a name or a glob, for example `mobilenetv3*`.
    """
    if kind == "runs":
        _list_runs(results, pattern, as_json)
        return
    if kind == "studies":
        _list_studies(results, pattern, as_json)
        return
    plurals = {spec.plural: name for name, spec in KINDS.items()}
    registry = registry_with_warnings()
    if kind is None:
        rows = [(plural, str(len(registry.offers(name)))) for plural, name in plurals.items()]
        if as_json:
            print_json({"schema": 1, "kinds": {plural: int(number) for plural, number in rows}})
        else:
            print_columns(("kind", "components"), rows)
        return
    singular = kind if kind in KINDS else plurals.get(kind)
    if singular is None:
        known = [*plurals, "runs", "studies"]
        raise UnknownNameError(
            f"there is no kind `{kind}`{did_you_mean(kind, known)}; there are {listing(known)}"
        )
    offers = [offer for offer in registry.offers(singular) if _matches(offer, pattern)]
    if pattern and not offers:
        hint = did_you_mean(pattern, registry.names(singular))
        raise UnknownNameError(f"no {singular} matches `{pattern}`{hint}")
    offers.sort(key=lambda offer: offer.name)
    if as_json:
        print_json({"schema": 1, KINDS[singular].plural: [_plain(offer) for offer in offers]})
        return
    print_columns(
        ("name", "description", "plugin"),
        [(_name(offer), _described(offer), offer.plugin.name) for offer in offers],
    )


def _matches(offer: Offer, pattern: str | None) -> bool:
    names = (offer.name, *offer.component.aliases)
    return pattern is None or any(
        name == pattern or fnmatch.fnmatchcase(name, pattern) for name in names
    )


def _name(offer: Offer) -> str:
    aliases = ", ".join(offer.component.aliases)
    return f"{offer.name} (alias {aliases})" if aliases else offer.name


def _described(offer: Offer) -> str:
    """Return what a listing says: a model's family, any other component's first line."""
    component = offer.component
    if isinstance(component, Model) and component.hints is not None:
        hints = component.hints
        known = [hints.family]
        if hints.parameters:
            known.append(f"{hints.parameters / 1e6:.1f}M parameters")
        if hints.input_size:
            known.append(f"{hints.input_size} px")
        return ", ".join(known)
    marks = [f"{name} is always {value}" for name, value in component.pins.items()]
    marks += ["default"] if component.default else []
    if isinstance(component, Metric):
        marks += ["lower is better"] if component.lower_is_better else []
        marks += [", ".join(component.tasks)] if len(component.tasks) < len(Task) else []
    return component.summary + (f" ({'; '.join(marks)})" if marks else "")


def _plain(offer: Offer) -> dict[str, Any]:
    component = offer.component
    hints = getattr(component, "hints", None)
    return {
        "name": component.name,
        "aliases": list(component.aliases),
        "plugin": offer.plugin.name,
        "version": offer.plugin.version,
        "description": component.summary,
        "params": component.defaults,
        "pins": dict(component.pins),
        "default": component.default,
        **({"hints": vars(hints)} if hints is not None else {}),
        **(_of_metric(component) if isinstance(component, Metric) else {}),
    }


def _of_metric(metric: Metric) -> dict[str, Any]:
    return {
        "tasks": [str(task) for task in metric.tasks],
        "lower_is_better": metric.lower_is_better,
        "bounds": [bound if math.isfinite(bound) else None for bound in metric.bounds],
    }


def _list_runs(results: Path, pattern: str | None, as_json: bool) -> None:
    from bench.store import Store

    store = Store(results)
    records = [
        record
        for record in store.records()
        if pattern is None
        or any(
            fnmatch.fnmatchcase(text, pattern)
            for text in (record.id, record.spec.model.name, str(record.status))
        )
    ]
    print_warnings(store.warnings)
    if as_json:
        print_json({"schema": 1, "runs": [record.to_dict() for record in records]})
        return
    rows = []
    for record in records:
        accuracy = record.metrics.get("test", {}).get("accuracy")
        shown = f"{accuracy:.1%}" if accuracy is not None else "–"
        spec = record.spec
        names = (spec.dataset.name, spec.model.name, spec.optimizer.name)
        rows.append((record.id, str(record.status), *names, str(spec.seed), shown, spec.role))
    columns = ("run", "status", "dataset", "model", "optimizer", "seed", "test accuracy", "role")
    print_columns(columns, rows)


def _names(study: StudyRecord) -> tuple[str, ...]:
    return (study.name, study.label, study.dataset, study.model, study.optimizer)


def _list_studies(results: Path, pattern: str | None, as_json: bool) -> None:
    from bench import studies
    from bench.cli import study_tables

    found, warnings = studies.read_all(results)
    print_warnings(warnings)
    chosen = [
        study
        for study in found
        if pattern is None
        or any(fnmatch.fnmatchcase(text, pattern) for text in (study.id, *_names(study)))
    ]
    study_tables.print_list(chosen, as_json=as_json)
