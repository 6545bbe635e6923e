"""An observer: hooks without a component, which are called wherever the plugin is installed."""

from __future__ import annotations

import logging

import bench

LOGGER = logging.getLogger(__name__)


@bench.hookimpl
def run_finished(record: bench.RunRecord) -> None:
    """Log each run that did not end well, for whoever has set up logging to send it somewhere."""
    if record.status is not bench.RunStatus.OK:
        LOGGER.error("run %s %s: %s", record.id, record.status, record.error)
