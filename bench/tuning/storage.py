"""Where studies are kept: a journal beside the results, or a database that machines share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna


def open_storage(
    where: str | None, results: Path, say: Callable[[str], None]
) -> optuna.storages.BaseStorage:
    """Return the storage of studies.

    Args:
        where: the URL of a database (`postgresql://`, `mysql://`, `sqlite:///`); None means
            `studies/journal.log` of the results folder.
        results: the results folder.
        say: is told in one line of a damaged journal that was mended.

    Raises:
        UsageError: the URL is none, or names a kind of database that is not known.
        EnvironmentFailure: the database's driver is missing, or the database cannot be reached,
            refuses, or was made by another version of Optuna.
        StoreError: the journal cannot be read or written.
    """
    raise NotImplementedError


def journal_path(results: Path) -> Path:
    """Return the file that studies of a results folder are kept in unless told otherwise."""
    return results / "studies" / "journal.log"


def masked(url: str) -> str:
    """Return a database's URL without its password, for printing."""
    raise NotImplementedError
