"""Several processes that train one network come to what one would."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rank_cases
import torch
from rank_cases import CASES
from torch import Tensor

from bench.engine import distributed, launching, sync_norm
from bench.engine.distributed import Group, Ranks, split
from bench.engine.launching import reserved
from bench.engine.pipeline import epoch_order
from bench.engine.setup import _part
from bench.errors import ConfigError, EnvironmentFailure

RANKS = 2
TOLERANCE = 2e-5
"""Sums in another order differ in the last bits of float32, and 9 steps of training spread that."""


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what each of two gloo processes made of all cases: starting them takes seconds."""
    return rank_cases.launched(tmp_path_factory.mktemp("ranks"), "cpu", RANKS)


def alone(name: str) -> dict[str, Any]:
    case = CASES[name]
    return rank_cases.told(rank_cases.run(rank_cases.made(case, Group()), case.mixes))


def assert_close(one: Any, other: Any, atol: float, path: str = "") -> None:
    if isinstance(one, Tensor):
        assert torch.allclose(one, other, rtol=0, atol=atol), (path, one, other)
    elif isinstance(one, Mapping):
        assert one.keys() == other.keys(), path
        for name in one:
            assert_close(one[name], other[name], atol, f"{path}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for place, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            assert_close(mine, theirs, atol, f"{path}[{place}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=atol), path
    else:
        assert one == other, path


@pytest.mark.parametrize("name", [*CASES])
def test_two_processes_come_to_what_one_does(told: list[dict[str, Any]], name: str) -> None:
    for rank in told:
        assert_close(rank[name], alone(name), TOLERANCE)


@pytest.mark.parametrize("name", [*CASES])
def test_all_ranks_come_to_the_same_bits(told: list[dict[str, Any]], name: str) -> None:
    assert_close(told[0][name], told[1][name], 0)


def test_the_tolerance_would_show_a_single_image_more_or_less() -> None:
    """A batch of 15 and one of 16 differ by far more than what is let pass above."""
    weights = [alone(name)["weights"]["3.weight"] for name in ("even", "uneven")]
    assert (weights[0] - weights[1]).abs().max() > 100 * TOLERANCE


def test_statistics_of_a_part_are_others_than_those_of_the_batch() -> None:
    """Else the equality of synchronised normalisation would show nothing."""
    case = rank_cases.Case(rank_cases.normalised, protocol={"micro_batch": 8})
    parts = rank_cases.told(rank_cases.run(rank_cases.made(case, Group())))
    whole = alone("sync")
    assert (parts["weights"]["0.weight"] - whole["weights"]["0.weight"]).abs().max() > 1e-3


def test_a_run_that_any_rank_wants_stopped_goes_on_to_the_same_bits(
    told: list[dict[str, Any]],
) -> None:
    for rank in told:
        assert "in epoch 2, after step 2" in rank["stopped"]["message"]
        assert rank["stopped"]["times"] == 1
        assert_close(rank["stopped"]["resumed"], rank["stopped"]["whole"], 0)


def test_ranks_draw_different_numbers(told: list[dict[str, Any]]) -> None:
    assert len(set(told[0]["stopped"]["draws"])) == RANKS


def test_a_loss_that_is_no_number_on_one_rank_ends_all(told: list[dict[str, Any]]) -> None:
    assert [rank["diverged"] for rank in told] == ["the training loss is nan in epoch 1"] * RANKS


def test_the_wrapper_follows_the_parameters_that_are_trained(told: list[dict[str, Any]]) -> None:
    assert [rank["unfrozen"] for rank in told] == [[True] * 4] * RANKS


def test_ranks_tell_each_other(told: list[dict[str, Any]]) -> None:
    for rank in told:
        assert rank["joined"].tolist() == [[1.0, 1.0]]
        assert rank["total"] == sum(range(RANKS + 1))
        assert rank["first"] == "made by 0"


def test_no_state_has_a_prefix(told: list[dict[str, Any]]) -> None:
    assert [*told[0]["even"]["weights"]] == ["0.weight", "0.bias", "3.weight", "3.bias"]


def ranks(size: int) -> list[Ranks]:
    """Return ranks that have met nobody, for what they can answer alone."""
    made = [object.__new__(Ranks) for _ in range(size)]
    for rank, each in enumerate(made):
        each.rank, each.size = rank, size
    return made


@pytest.mark.parametrize(("batch", "size"), [(16, 2), (15, 2), (7, 3), (4, 4), (64, 6)])
def test_every_item_of_a_batch_is_with_one_rank(batch: int, size: int) -> None:
    order = epoch_order(100, batch, 0, 1)
    parts = [each.part(order) for each in ranks(size)]
    assert torch.equal(torch.cat(parts, 1), order)
    lengths = [part.shape[1] for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert all(each.largest_part(batch) == max(lengths) for each in ranks(size))
    scales = [each.scale(batch) for each in ranks(size)]
    assert scales == pytest.approx([length * size / batch for length in lengths])


@pytest.mark.parametrize(("count", "size"), [(10, 2), (11, 3), (2, 4), (0, 2)])
def test_every_row_that_is_predicted_is_with_one_rank(count: int, size: int) -> None:
    rows = [torch.tensor([row]) for row in range(count)]
    found = [row for each in ranks(size) for row in split(rows, each)]
    assert [int(row) for row in found] == [*range(count)]


def test_devices_are_reserved_one_by_one() -> None:
    names = ["a", "b", "c"]
    with reserved(names, 2) as first:
        assert first == [0, 1]
        # The same process may take its own locks again; another's are seen from another.
        code = (
            "from bench.engine.launching import reserved\n"
            f"with reserved({names}, 2) as places: print(places)"
        )
        command = [sys.executable, "-c", code]
        assert subprocess.check_output(command, text=True).strip() == "[0, 2]"
    with reserved(names, 3) as places:
        assert places == [0, 1, 2]


def test_more_devices_than_there_are_is_one_line() -> None:
    launching.check_devices("cpu", 64, 2)
    launching.check_devices("cuda", 1, 4)  # several runs may share one GPU
    found = torch.cuda.device_count()
    with pytest.raises(
        EnvironmentFailure, match=rf"`--devices {found + 2}` needs .* finds {found}"
    ):
        launching.check_devices("cuda", found + 2, 1)
    with pytest.raises(EnvironmentFailure, match=rf"`--workers 3` needs {3 * (found + 2)} GPUs"):
        launching.check_devices("cuda", found + 2, 3)


def test_a_micro_batch_of_one_needs_equal_parts() -> None:
    assert _part(16, 1, 2) == 1
    assert _part(15, 4, 2) == 4
    assert _part(15, None, 2) == 8
    with pytest.raises(ConfigError, match="share evenly"):
        _part(15, 1, 2)
    with pytest.raises(ConfigError, match="a batch of 3 cannot be shared among 4 devices"):
        _part(3, None, 4)


def test_a_library_s_normalisation_keeps_what_it_does_besides() -> None:
    class Activated(torch.nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    plain = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), Activated(2))
    model = copy.deepcopy(plain)
    sync_norm.synchronise(model)
    images = torch.randn(4, 1, 6, 6)
    assert torch.equal(model(images), plain(images))
    assert torch.equal(copy.deepcopy(model)(images), plain(images))
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert isinstance(model[1], Activated)


class Met(Ranks):
    """Ranks of which the others have the same to say as this one."""

    def __init__(self) -> None:
        self.asked = 0
        self._steps_left = self._steps_between = 1
        self._asked = time.perf_counter()

    def gathered(self, own: Any) -> list[Any]:
        self.asked += 1
        return [own, own]


def test_quick_steps_are_not_held_up_by_questions_and_slow_ones_are_asked_about() -> None:
    quick = Met()
    assert not any(quick.any_now_and_then(lambda: False) for _ in range(1000))
    assert 8 <= quick.asked <= 20  # at first more often: 1, 2, 4, ... steps apart
    slow = Met()
    for _ in range(3):
        time.sleep(distributed.AGREED_SECONDS)
        slow.any_now_and_then(lambda: False)
    assert slow.asked == 3
    assert slow.any_now_and_then(lambda: True)


@pytest.mark.parametrize(
    ("ended", "codes", "said"),
    [
        ({0: "reset by peer", 1: None}, {0: 1, 1: -15}, "rank 1 of 2 was killed by SIGTERM"),
        ({1: None, 0: "reset by peer"}, {0: 1, 1: -9}, "rank 1 of 2 was killed by SIGKILL"),
        ({0: "no such layer", 1: None}, {0: 1, 1: -15}, "no such layer"),
        ({1: "closed by peer", 0: "no such layer"}, {0: 1, 1: 1}, "no such layer"),
    ],
)
def test_the_cause_is_told_and_not_what_came_of_it(
    ended: dict[int, str | None], codes: dict[int, int], said: str
) -> None:
    nowhere: Any = None
    launched = launching.Launched([{}, {}], nowhere, Path(), see="see the log")
    launched.ended = {
        rank: None if error is None else {"status": "failed", "error": error}
        for rank, error in ended.items()
    }
    ends: Any = {rank: SimpleNamespace(exitcode=code) for rank, code in codes.items()}
    launched.failures = ends
    assert said in launched._result()["error"]
