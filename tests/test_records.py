from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import make_record, make_spec

from bench import files
from bench.errors import StoreError
from bench.records import (
    Mode,
    Purpose,
    RunRecord,
    RunSpec,
    RunStatus,
    canonical,
    digest,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values.filter(lambda value: isinstance(value, dict)))
@settings(deadline=None)
def test_canonical_text_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical(turned) == canonical(value)
    assert digest(turned) == digest(value)


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, "1"), ([1], [1, 1]), ({"a": None}, {}), (True, 1)]
)
def test_canonical_text_tells_different_values_apart(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)


def test_a_spec_survives_json() -> None:
    spec = make_spec(
        params={"model": {"depth": 3, "sizes": [1, 2], "name": "é"}, "optimizer": {"lr": 1e-5}},
        pinned={"batch_size": 64},
        mode=Mode.DETERMINISTIC,
        purpose=Purpose.TRIAL,
        device="cuda",
        data_dir="/data",
    )
    again = RunSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert isinstance(again.mode, Mode)
    assert isinstance(again.purpose, Purpose)
    assert again.id == spec.id
    assert again.cell == spec.cell


def test_tuples_among_params_do_not_change_identity() -> None:
    spec = make_spec(params={"optimizer": {"betas": (0.9, 0.999)}})
    again = RunSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert (again.id, again.cell) == (spec.id, spec.cell)


def test_an_id_is_twelve_digits_of_the_key() -> None:
    assert make_spec().id == digest(make_spec().key)[:12]
    assert make_spec().id != make_spec(seed=1).id


def test_a_spec_without_a_key_has_no_id() -> None:
    with pytest.raises(AssertionError, match="key"):
        _ = dataclasses.replace(make_spec(), key={}).id


def test_a_cell_holds_all_but_the_seed_and_where_the_data_lie() -> None:
    cell = make_spec().cell
    assert make_spec(seed=1).cell == cell
    assert make_spec(data_dir="/data").cell == cell
    assert make_spec(version="2.0").cell == cell
    others = [
        make_spec(model="other"),
        make_spec(dataset="other"),
        make_spec(optimizer="other"),
        make_spec(params={"loss": {"smoothing": 0.1}}),
        make_spec(protocol={"epochs": 3}),
        make_spec(mode=Mode.DETERMINISTIC),
        make_spec(purpose=Purpose.TRIAL),
        make_spec(device="cuda"),
    ]
    assert len({cell, *(spec.cell for spec in others)}) == len(others) + 1


def test_a_part_of_a_run_knows_the_whole() -> None:
    whole = make_spec(purpose=Purpose.TRIAL, protocol={"epochs": 10})
    parts = [whole.paused_at(epoch) for epoch in (1, 3)]
    assert [part.until for part in parts] == [part.last_epoch for part in parts] == [1, 3]
    assert len({whole.id, *(part.id for part in parts)}) == 3
    assert {part.whole_id for part in parts} == {whole.whole_id} == {whole.id}
    assert whole.last_epoch == 10
    assert len({each.cell for each in (whole, *parts)}) == 3
    assert len({each.method for each in (whole, *parts)}) == 3
    # From the last epoch on a part is the whole, and so it is for a part that is asked.
    assert parts[0].paused_at(3) == parts[1]
    for epoch in (10, 11, None):
        assert whole.paused_at(epoch) == parts[1].paused_at(epoch) == whole
    without_key = dataclasses.replace(whole, key={}).paused_at(3)
    assert without_key.until == 3
    assert not without_key.key


@pytest.mark.parametrize("epoch", [0, -1])
def test_nothing_can_pause_before_its_first_epoch(epoch: int) -> None:
    with pytest.raises(ValueError, match=rf"a trial run cannot pause after epoch {epoch}"):
        make_spec(purpose=Purpose.TRIAL).paused_at(epoch)


def test_only_a_trial_pauses() -> None:
    final = make_spec(protocol={"epochs": 10})
    with pytest.raises(ValueError, match="a final run cannot pause after epoch 3"):
        final.paused_at(3)
    assert final.paused_at(10) == final


def test_a_tuned_run_is_another_one_whichever_trial_it_comes_from() -> None:
    plain = make_spec()
    tuned = [make_spec(tuned={"study": "5e1f00d5e1f0", "trial": n}) for n in (0, 7)]
    other = make_spec(tuned={"study": "0ddba110ddba", "trial": 0})
    assert tuned[0].id == tuned[1].id
    assert tuned[0].cell == tuned[1].cell
    assert len({plain.id, tuned[0].id, other.id}) == 3
    assert len({plain.cell, tuned[0].cell, other.cell}) == 3
    assert len({plain.method, tuned[0].method, other.method}) == 3


def test_a_place_in_a_study_survives_json() -> None:
    part = make_spec(purpose=Purpose.TRIAL, protocol={"epochs": 10}).paused_at(3)
    tuned = make_spec(tuned={"study": "5e1f00d5e1f0", "trial": 7})
    for spec in (part, tuned):
        record = make_record(spec)
        again = RunRecord.from_dict(json.loads(files.dump_json(record.to_dict())))
        assert again == record
        assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_label_names_the_run() -> None:
    assert make_spec(seed=3).label == "shapes · net · adamw · seed 3"


def test_statuses_are_the_documented_words() -> None:
    assert [str(status) for status in RunStatus] == [
        "ok",
        "diverged",
        "oom",
        "timeout",
        "crashed",
        "failed",
        "interrupted",
        "lost",
    ]


@pytest.mark.parametrize(
    "record",
    [make_record(), make_record(status=RunStatus.DIVERGED, error="the loss is nan")],
    ids=["ok", "diverged"],
)
def test_a_record_survives_json(record: RunRecord) -> None:
    again = RunRecord.from_dict(json.loads(files.dump_json(record.to_dict())))
    assert again == record
    assert again.id == record.id


def test_a_record_holds_the_documented_fields() -> None:
    content = make_record().to_dict()
    documented = (
        "schema id status error dataset model optimizer params protocol seed purpose metrics "
        "timing profile environment key"
    )
    assert {*documented.split()} <= {*content}
    assert content["schema"] == 1
    assert content["model"] == "net"
    kinds = {"dataset", "model", "optimizer", "schedule", "loss", "augmentation"}
    assert {*content["params"]} == kinds
    assert {*content["metrics"]} == {"val", "test"}


def test_nan_metrics_become_null_and_stay_readable() -> None:
    record = make_record(log_loss=math.nan)
    again = RunRecord.from_dict(json.loads(files.dump_json(record.to_dict())))
    assert again.metrics["test"]["log_loss"] is None


def drop(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda data: {key: value for key, value in data.items() if key != name}


def put(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda data: {**data, name: value}


LATER = {"weights", "origin", "interpolation", "devices", "until", "tuned", "members", "draw"}
"""Fields that records of an earlier version lack."""


@pytest.mark.parametrize("name", sorted({*make_record().to_dict()} - {"schema", "id"} - LATER))
def test_a_missing_field_makes_no_record(name: str) -> None:
    with pytest.raises(StoreError, match=rf"not a whole record \(KeyError: '{name}'\)"):
        RunRecord.from_dict(drop(name)(make_record().to_dict()))


@pytest.mark.parametrize("name", sorted(LATER))
def test_a_record_of_before_there_was_a_field_is_read(name: str) -> None:
    record = make_record()
    assert RunRecord.from_dict(drop(name)(record.to_dict())) == record


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: None, "it holds no object"),
        (lambda data: [data], "it holds no object"),
        (lambda data: {}, "its schema is None, this version reads 1"),
        (put("schema", 2), "its schema is 2, this version reads 1"),
        (put("schema", "1"), "its schema is '1', this version reads 1"),
        (drop("id"), "its id does not fit its key"),
        (put("id", "0" * 12), "its id does not fit its key"),
        (put("key", {}), "its id does not fit its key"),
        (put("status", "splendid"), "not a whole record .*splendid"),
        (put("mode", "warp"), "not a whole record .*warp"),
        (put("purpose", None), "not a whole record"),
        (put("params", {}), "not a whole record"),
        (put("params", 3), "not a whole record"),
        (put("metrics", {"val": 3}), "not a whole record"),
        (put("metrics", [1]), "not a whole record"),
        (put("timing", None), "not a whole record"),
        (put("pinned", 1), "not a whole record"),
        (put("protocol", None), "not a whole record"),
        (put("protocol", []), "`protocol` is no table"),
        (put("protocol", {}), "`protocol` lacks `epochs`"),
        (put("pinned", {"odd": 1}), "`protocol` lacks `odd`"),
        (put("seed", "../../x"), "`seed` is of the wrong type"),
        (put("seed", True), "`seed` is of the wrong type"),
        (put("members", "abc"), "`members` is no list"),
        (put("members", [3]), "`members` is of the wrong type"),
        (put("timing", {"train_seconds": "x"}), "`timing.train_seconds` is of the wrong type"),
        (put("timing", {"train_seconds": 10**400}), "OverflowError"),
        (put("profile", {"flops": [1]}), "`profile.flops` is of the wrong type"),
        (put("environment", {"task": "guess"}), "guess"),
        (put("environment", {"classes": "ab"}), "`environment.classes` is no list"),
        (put("metrics", {"test": {"n": 9, "accuracy": "NaN"}}), "`metrics.test.accuracy` is of"),
        (put("metrics", {"test": {"n": 9, "accuracy": 7}}), "not from 0 to 1"),
        (put("metrics", {"test": {"accuracy": 0.5}}), "no number of items"),
        (put("metrics", {"test": {"n": "9"}}), "`metrics.test.n` is of the wrong type"),
    ],
)
def test_what_is_no_record_is_said_to_be_none(damage: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        RunRecord.from_dict(damage(make_record().to_dict()))
