"""The errors that a user can meet, each with its exit code.

* BenchError                      anything expected; shown as one line
  * UsageError               2    the request cannot be understood
    * UnknownNameError       2    no component, field or run has that name
    * AmbiguousNameError     2    several plugins offer that name
    * ConfigError            2    an option or a file holds a wrong value
  * PluginError              3    a plugin could not be loaded or broke its contract
  * DataError                3    a dataset is missing, empty or inconsistent
  * EnvironmentFailure       3    the machine lacks what the request needs
  * StoreError               3    the results directory cannot be read or written

Whatever else escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class BenchError(Exception):
    """An expected error: one line that names the culprit and what to do next."""

    exit_code = 3


class UsageError(BenchError):
    """The request itself is wrong."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that nothing offers."""


class AmbiguousNameError(UsageError):
    """A name that more than one plugin offers."""


class ConfigError(UsageError):
    """A wrong value in an option, an experiment file or a call."""


class PluginError(BenchError):
    """A plugin that failed to load or that returned the wrong thing."""


class DataError(BenchError):
    """A dataset that is missing, empty or inconsistent."""


class EnvironmentFailure(BenchError):
    """Something that the machine does not have."""


class StoreError(BenchError):
    """A results directory that cannot be used."""
