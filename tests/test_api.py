"""`bench.load_records`: one row a run, in columns whose types do not depend on what is stored."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import make_record, make_spec

import bench
from bench import frames
from bench.protocol import Protocol
from bench.records import Purpose, RunRecord, RunStatus
from bench.store import Store


def of(*records: RunRecord) -> pd.DataFrame:
    found = frames.frame(records)
    assert len(found) == len(records)
    return found


def test_no_results_are_no_rows_of_the_same_columns(tmp_path: Path) -> None:
    nothing = bench.load_records(tmp_path / "nowhere")
    some = of(make_record(), make_record(status=RunStatus.FAILED, error="why"))
    assert len(nothing) == 0
    assert [*nothing.columns] == [*frames.columns()]
    assert (nothing.dtypes == some.dtypes[nothing.columns]).all()
    assert nothing["metrics.test.accuracy"].isna().sum() == 0


def test_the_columns_and_types_are_those_that_are_documented() -> None:
    found = of(make_record(make_spec(params={"optimizer": {"lr": 0.1, "nesterov": True}})))
    types = {
        "id": "string",
        "seed": "Int64",
        "metrics.test.accuracy": "float64",
        "metrics.test.n": "Int64",
        "timing.stopped_early": "boolean",
        "protocol.epochs": "Int64",
        "protocol.warmup": "float64",
        "protocol.classes": "string",
        "params.optimizer.lr": "float64",
        "params.optimizer.nesterov": "boolean",
        "finished_at": "datetime64[us, UTC]",
    }
    assert {name: str(found[name].dtype) for name in types} == types
    documented = frames.__doc__ or ""
    for name in frames.columns():
        group = name.split(".")[0]
        assert f"`{name}`" in documented or f"`{group}." in documented, name
    assert {f"protocol.{name}" for name in Protocol.model_fields} <= {*found.columns}


def test_values_are_those_of_the_record() -> None:
    spec = make_spec("net", "sgd", 3, params={"optimizer": {"lr": 0.5}}, protocol={"epochs": 7})
    [row] = of(make_record(spec, accuracy=0.75, n=40)).to_dict("records")
    assert (row["model"], row["optimizer"], row["seed"], row["kind"]) == ("net", "sgd", 3, "run")
    assert (row["metrics.test.accuracy"], row["metrics.test.n"]) == (0.75, 40)
    assert (row["params.optimizer.lr"], row["protocol.epochs"]) == (0.5, 7)
    assert row["id"] == spec.id
    assert row["finished_at"] == pd.Timestamp("2026-01-01", tz="UTC")
    assert pd.isna(row["weights"])


def test_a_failed_run_is_a_row_without_metrics() -> None:
    found = of(make_record(status=RunStatus.OOM, error="out of memory"))
    assert found["status"].tolist() == ["oom"]
    assert found["error"].tolist() == ["out of memory"]
    assert found["metrics.test.accuracy"].isna().all()


def test_trials_and_ensembles_are_marked() -> None:
    trial = make_spec(purpose=Purpose.TRIAL, tuned={"study": "f00", "trial": 4}, until=2)
    ensemble = make_spec(members=("a", "b", "c"))
    found = of(make_record(), make_record(trial), make_record(ensemble))
    assert found["kind"].tolist() == ["run", "trial", "ensemble"]
    assert found["members"].tolist() == [0, 0, 3]
    assert found["trial"].fillna(-1).tolist() == [-1, 4, -1]
    assert found["until"].fillna(-1).tolist() == [-1, 2, -1]


def test_metrics_by_class_stay_in_one_column() -> None:
    per_class = {"cat": {"f1": 0.5}, "dog": {"f1": 1.0}}
    other = dataclasses.replace(
        make_record(), metrics={"test": {"f1_macro": 0.75, "per_class": per_class, "n": 4}}
    )
    found = of(make_record(), other)
    assert found["metrics.test.per_class"].tolist() == [None, per_class]
    assert found["metrics.test.f1_macro"].dtype == "float64"
    assert not [name for name in found.columns if "cat" in name]


def test_params_of_several_kinds_are_text() -> None:
    values = (3, "auto", [1, 2], None)
    specs = [make_spec(params={"model": {"depth": v}}, seed=n) for n, v in enumerate(values)]
    found = of(*map(make_record, specs))["params.model.depth"]
    assert str(found.dtype) == "string"
    assert found.fillna("none").tolist() == ["3", "auto", "[1,2]", "none"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(st.integers(-(2**40), 2**40), st.floats(), st.booleans(), st.text(max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_a_record_holds_the_fixed_types_stay(values: list[object]) -> None:
    records = [
        dataclasses.replace(
            make_record(make_spec(seed=place)),
            metrics={"test": {"accuracy": value, "n": value}},
            timing={"epochs": value, "stopped_early": value},
            started_at=str(value),
        )
        for place, value in enumerate(values)
    ]
    found = of(*records)
    expected = of(make_record())
    fixed = [*frames.columns()]
    assert (found[fixed].dtypes == expected[fixed].dtypes).all()


def test_a_foreign_file_is_warned_of_and_the_rest_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(make_record())
    (tmp_path / "runs" / "foreign").mkdir()
    (tmp_path / "runs" / "foreign" / "record.json").write_text("{")
    with pytest.warns(UserWarning, match="foreign"):
        assert len(bench.load_records(tmp_path)) == 1
    (tmp_path / "runs" / "foreign" / "record.json").unlink()
    (tmp_path / "runs" / "foreign").rmdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bench.load_records(str(tmp_path))
    assert found["model"].tolist() == ["net"]
