"""The weights that come with `bench`: files, earlier runs, what a model's plugin has published."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from samples import make_record, make_spec

import bench
from bench.store import Store
from bench_weights import file, published, reading, run

TENSORS = {"a.weight": torch.arange(4.0), "a.bias": torch.ones(1)}
MODEL = bench.Model(name="net", build=lambda classes, shape: None)


def same(found: Mapping[str, Any]) -> bool:
    return found.keys() == TENSORS.keys() and all(found[n].equal(t) for n, t in TENSORS.items())


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w.safetensors")
    assert same(reading.read(tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    "wrapped",
    [
        TENSORS,
        {"state_dict": TENSORS, "epoch": 3},
        {"model": {"state_dict": TENSORS}},
        {"state_dict": {}, "state_dict_ema": TENSORS},
        {"state_dict": {"a.bias": torch.zeros(1)}, "model_ema": TENSORS},
        {"state_dict": TENSORS, "best_accuracy": torch.zeros(1)},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_are_read_whatever_wraps_the_weights(
    tmp_path: Path, wrapped: Any, zipped: bool
) -> None:
    path = tmp_path / "w.pth"
    torch.save(wrapped, path, _use_new_zipfile_serialization=zipped)
    assert same(reading.read(path))


class Payload:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors"])
def test_a_file_with_code_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": TENSORS, "extra": Payload()}, f"w{suffix}")
    with pytest.raises(bench.ConfigError, match=f"w{suffix}") as caught:
        reading.read(Path(f"w{suffix}"))
    assert not Path("pwned").exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("part", [0, 10, 0.5, 0.99])
def test_half_a_file_is_one_line(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(TENSORS, path)
    else:
        save_file(TENSORS, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part if part >= 1 else part * len(whole))])
    with pytest.raises(bench.ConfigError, match=str(path)) as caught:
        reading.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{}, {"epoch": 3, "lr": 0.1}, [1, 2], {"model": [1]}])
def test_a_file_without_weights_says_what_it_holds(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(bench.ConfigError, match=r"holds no weights"):
        reading.read(tmp_path / "w.pt")


def test_a_file_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(bench.ConfigError, match="there is no file of weights"):
        file.origin(MODEL, tmp_path, path=str(tmp_path / "none.pth"))


def test_a_model_without_published_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(bench.ConfigError, match="model `net` has no published weights"):
        published.origin(MODEL, tmp_path)


def test_published_weights_come_from_the_models_plugin(tmp_path: Path) -> None:
    asked: list[Any] = []

    def pretrained(input_shape: Sequence[int], *, tag: str = "") -> Mapping[str, Any]:
        asked.append((tuple(input_shape), tag))
        return TENSORS

    model = bench.Model(name="net", build=MODEL.build, pretrained=pretrained)
    assert published.origin(model, tmp_path) == bench.Origin()
    bound = model.with_params({"tag": "new"})
    assert same(published.load(bound, (3, 8, 8), []))
    assert asked == [((3, 8, 8), "new")]


def record(tmp_path: Path, model: str = "net", weights: bool = True) -> bench.RunRecord:
    made = make_record(
        make_spec(model),
        environment={"mean": [0.3], "std": [0.2], "classes": ["cat", "dog"]},
        profile={"input_size": 24},
    )
    store = Store(tmp_path)
    store.write(made)
    if weights:
        save_file(TENSORS, store.folder(made.id) / "model.safetensors")
    return made


def test_a_run_brings_its_classes_and_the_way_in_which_it_saw_images(tmp_path: Path) -> None:
    made = record(tmp_path)
    found = run.origin(MODEL, tmp_path, path=made.id[:6])
    assert found.files == [tmp_path / "runs" / made.id / "model.safetensors"]
    assert found.classes == ["cat", "dog"]
    assert found.preprocessing == bench.Preprocessing(
        mean=[0.3], std=[0.2], size=24, interpolation="bilinear"
    )
    assert same(run.load(MODEL, (1, 24, 24), found.files, path=made.id))


def test_a_run_of_another_model_or_without_weights_is_one_line(tmp_path: Path) -> None:
    other = record(tmp_path, "other")
    with pytest.raises(bench.ConfigError, match=rf"run {other.id} trained `other`, not `net`"):
        run.origin(MODEL, tmp_path, path=other.id)
    bare = record(tmp_path, weights=False)
    with pytest.raises(bench.ConfigError, match="has left no weights"):
        run.origin(MODEL, tmp_path, path=bare.id)
    with pytest.raises(bench.UnknownNameError):
        run.origin(MODEL, tmp_path, path="ffff")
