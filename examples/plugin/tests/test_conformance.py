"""Every rule that bench has for the kinds of component that this package offers."""

import bench_example
import pytest

from bench.testing import cases


@pytest.mark.parametrize("case", cases(bench_example))
def test_conformance(case):
    case.run()
