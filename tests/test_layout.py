"""Which layout a model trains in, and how often that is tried."""

from __future__ import annotations

import gc
import json
import random
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.engine import layout, measured
from bench.engine.layout import choose

LONG = 1000
SHAPE = (4, 3, 8, 8)
PLANES, LAST = torch.contiguous_format, torch.channels_last


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep choices in a folder of the test's own, and to one thread, which waits for no other."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path / "cache"
    torch.set_num_threads(threads)


class Picky(nn.Module):
    """A network that computes for so many seconds in each layout."""

    def __init__(self, planes: float, last: float) -> None:
        super().__init__()
        self.seconds = {PLANES: planes, LAST: last}
        self.convolution = nn.Conv2d(3, 2, 3)
        self.steps: list[torch.memory_format] = []

    def forward(self, x: Tensor) -> Tensor:
        given = LAST if x.is_contiguous(memory_format=LAST) else PLANES
        assert self.convolution.weight.is_contiguous(memory_format=given)
        assert self.training
        self.steps.append(given)
        end = time.thread_time() + self.seconds[given]
        while time.thread_time() < end:
            pass
        return self.convolution(x).mean((2, 3))


class Factory:
    """Makes models and counts them."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        self.make = make
        self.made: list[nn.Module] = []

    def __call__(self) -> nn.Module:
        self.made.append(self.make())
        return self.made[-1]


def picky(planes: float = 0.001, last: float = 0.004) -> Factory:
    return Factory(lambda: Picky(planes, last))


def chosen(build: Callable[[], nn.Module], **values: Any) -> torch.memory_format:
    options: dict[str, Any] = {"steps": LONG, "deterministic": False, **values}
    shape = options.pop("shape", SHAPE)
    subject = options.pop("subject", {"model": "picky"})
    return choose(build, shape, "cpu", "float32", subject, **options)


def kept(root: Path) -> list[Path]:
    return sorted(root.glob("profiles/*.json"))


def test_the_faster_layout_is_chosen() -> None:
    assert chosen(picky(0.001, 0.004), subject={"model": "a"}) is PLANES
    assert chosen(picky(0.004, 0.001), subject={"model": "b"}) is LAST


def test_a_layout_that_is_hardly_faster_is_not_worth_a_change() -> None:
    assert chosen(picky(0.0101, 0.01)) is PLANES


def test_both_layouts_are_tried_in_turn_after_warming_up() -> None:
    factory = picky()
    chosen(factory)
    [model] = factory.made
    assert isinstance(model, Picky)
    warm = layout.WARM_UPS
    rounds = min(int(LONG * layout.SHARE - 2 * warm) // 4, layout.MOST_ROUNDS)
    expected = [PLANES] * warm + [LAST] * warm
    for each in (PLANES, LAST, LAST, PLANES):
        expected += [each] * rounds
    assert model.steps == expected
    assert len(model.steps) <= layout.SHARE * LONG


@pytest.mark.parametrize("steps", [160, 200, 3000, 10**6])
def test_a_trial_takes_little_of_a_run(steps: int) -> None:
    factory = picky(0, 0)
    chosen(factory, steps=steps)
    [model] = factory.made
    assert isinstance(model, Picky)
    assert 0 < len(model.steps) <= min(layout.SHARE * steps, 24)


def test_a_short_run_goes_without_a_trial_and_without_its_outcome(root: Path) -> None:
    assert chosen(picky(0.004, 0.001)) is LAST
    factory = picky()
    assert chosen(factory, steps=159) is PLANES
    assert factory.made == []


def test_deterministic_mode_goes_without_a_trial_and_without_its_outcome() -> None:
    assert chosen(picky(0.004, 0.001)) is LAST
    factory = picky()
    assert chosen(factory, deterministic=True) is PLANES
    assert factory.made == []


def test_what_is_usual_depends_on_the_device() -> None:
    assert layout.usual("cpu") is PLANES
    assert layout.usual("cuda") is LAST


def test_all_runs_of_a_cell_share_one_trial(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = picky(0.004, 0.001), picky(), picky()
    assert chosen(first) is chosen(second) is LAST
    monkeypatch.setattr(measured, "_known", {})  # another process
    assert chosen(third) is LAST
    assert (len(first.made), second.made, third.made) == (1, [], [])
    [file] = kept(root)
    found = json.loads(file.read_text())
    assert found["subject"] == {"model": "picky", "shape": list(SHAPE)}
    assert found["found"]["memory_format"] == "channels_last"
    seconds = found["found"]["seconds"]
    assert 0.001 <= seconds["channels_last"] < 0.004 <= seconds["contiguous_format"]


@pytest.mark.parametrize("other", [{"shape": (8, 3, 8, 8)}, {"subject": {"model": "other"}}])
def test_another_shape_or_model_is_tried_anew(other: dict[str, Any]) -> None:
    assert chosen(picky(0.004, 0.001)) is LAST
    factory = picky()
    assert chosen(factory, **other) is PLANES
    assert len(factory.made) == 1


@pytest.mark.parametrize("found", ["", "{}", '{"found": {"memory_format": "sideways"}}', "[]"])
def test_a_damaged_choice_is_made_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    chosen(picky())
    [file] = kept(root)
    file.write_text(found)
    monkeypatch.setattr(measured, "_known", {})
    factory = picky(0.004, 0.001)
    assert chosen(factory) is LAST
    assert len(factory.made) == 1
    assert json.loads(file.read_text())["found"]["memory_format"] == "channels_last"


def test_a_choice_that_names_no_layout_is_made_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(picky())
    [file] = kept(root)
    content = json.loads(file.read_text())
    for wrong in ("sideways", ["channels_last"], None):
        content["found"]["memory_format"] = wrong
        file.write_text(json.dumps(content))
        monkeypatch.setattr(measured, "_known", {})
        assert chosen(picky(0.004, 0.001)) is LAST


def test_a_cache_that_cannot_be_written_costs_a_trial_in_each_worker(root: Path) -> None:
    root.write_text("no folder")
    first, second = picky(0.004, 0.001), picky()
    assert chosen(first) is chosen(second) is LAST
    assert (len(first.made), len(second.made)) == (1, 0)


def test_a_network_without_convolutions_is_not_tried(root: Path) -> None:
    class Flat(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError

    factory = Factory(lambda: Flat(nn.Flatten(), nn.Linear(192, 2)))
    assert chosen(factory) is chosen(factory) is PLANES
    assert len(factory.made) == 1
    assert len(kept(root)) == 1


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError, MemoryError, SystemExit])
def test_a_network_that_fails_is_left_to_the_run_itself(
    root: Path, error: type[BaseException]
) -> None:
    class Broken(Picky):
        def forward(self, x: Tensor) -> Tensor:
            raise error("no")

    factory = Factory(lambda: Broken(0, 0))
    assert chosen(factory) is PLANES
    assert len(factory.made) == 1
    assert kept(root) == []


def test_no_generator_moves() -> None:
    class Drawing(Picky):
        def forward(self, x: Tensor) -> Tensor:
            random.random()
            np.random.rand()
            return super().forward(nn.functional.dropout(x))

    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed()
    expected = draw()
    seed()
    chosen(lambda: Drawing(0, 0))
    assert draw() == expected


def test_nothing_of_the_trial_stays_in_memory() -> None:
    remains: list[weakref.ref[nn.Module]] = []

    def build() -> nn.Module:
        model = Picky(0, 0)
        model.__dict__["itself"] = model  # only the collector frees what refers to itself
        remains.append(weakref.ref(model))
        return model

    gc.disable()
    try:
        chosen(build)
        assert [each() for each in remains] == [None]
    finally:
        gc.enable()
