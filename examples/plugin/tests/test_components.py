"""What the rules of bench cannot know: what these components in particular are to do."""

import logging
from types import SimpleNamespace

import numpy as np
import torch
from bench_example import failures, hello, patches, shapes, signum
from click.testing import CliRunner

import bench


def test_shapes_are_of_all_classes_in_equal_numbers_and_follow_their_params():
    splits = shapes.load(None, train=30, test=12)
    images, labels = splits.train
    assert images.shape == (30, 24, 24, 3)
    assert np.bincount(labels).tolist() == [10, 10, 10]
    assert len(splits.test[0]) == 12
    again, other = (shapes.load(None, train=30, test=12, seed=seed).train[0] for seed in (0, 1))
    assert (images == again).all()
    assert (images != other).any()


def test_a_disc_is_round_and_a_square_is_not():
    generator = np.random.default_rng(0)
    disc, square = (shapes.draw(label, 0.0, generator) for label in (0, 1))
    inside = [(image != image[0, 0]).any(-1) for image in (disc, square)]
    widths = [np.unique(mask.sum(1)[mask.any(1)]) for mask in inside]
    assert len(widths[0]) > 2  # the rows of a disc differ in length
    assert len(widths[1]) == 1


def test_patches_grow_with_their_params():
    def size(**params):
        return sum(p.numel() for p in patches.build(3, (3, 24, 24), **params).parameters())

    assert size(depth=1) < size() < size(width=64)


def test_signum_moves_each_weight_by_the_learning_rate():
    model = torch.nn.Linear(2, 1, bias=False)
    before = model.weight.detach().clone()
    model.weight.grad = torch.tensor([[3.0, -1e-3]])
    signum.build(model, lr=0.5).step()
    torch.testing.assert_close(model.weight.detach(), before + torch.tensor([[-0.5, 0.5]]))


def test_a_run_that_failed_is_logged_and_one_that_ended_well_is_not(caplog):
    caplog.set_level(logging.ERROR)
    for status, error in ((bench.RunStatus.OK, None), (bench.RunStatus.OOM, "out of memory")):
        failures.run_finished(SimpleNamespace(id="0123abcd", status=status, error=error))
    assert caplog.messages == ["run 0123abcd oom: out of memory"]


def test_hello_greets():
    told = CliRunner().invoke(hello.command, ["--name", "Ada"])
    assert told.exit_code == 0
    assert told.output.startswith("hello Ada, try `bench run ")
