"""Where studies are kept: a journal beside the results, or a database that machines share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.addresses import masked
from bench.studies import folder_of
from bench.tuning.quiet import quietly, silence

if TYPE_CHECKING:
    import optuna

__all__ = ["check_storage", "journal_path", "masked", "open_storage"]


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
    # Optuna and SQLAlchemy take a second; only who tunes waits for them.
    silence()
    with quietly():
        if where is None:
            from bench.tuning.journal import Journal

            return Journal(journal_path(results), say)
        from bench.tuning.database import open_database

        return open_database(where)


def check_storage(where: str | None) -> None:
    """Refuse what cannot be a storage, without reaching for it.

    Raises:
        UsageError: the URL is none, or names a kind of database that is not known.
        EnvironmentFailure: the database's driver is missing.
    """
    if where is not None:
        silence()
        with quietly():
            from bench.tuning.database import read_url

            read_url(where)


def journal_path(results: Path) -> Path:
    """Return the file that studies of a results folder are kept in unless told otherwise."""
    return folder_of(results) / "journal.log"
