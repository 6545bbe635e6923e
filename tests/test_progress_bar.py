"""The bar on a terminal keeps out of the way of rows on the same terminal."""

from __future__ import annotations

import io
import sys

import pytest

from bench.cli.common import progress_bar


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_that_is_not_to_be_shown_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("predicting", shown=shown) as progress:
        progress(1, 2)
    assert bool(stream.getvalue()) is shown
