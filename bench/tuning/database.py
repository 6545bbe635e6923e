"""Studies in a database that several machines reach: PostgreSQL, MySQL, or an SQLite file."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from bench.addresses import masked, secrets
from bench.errors import EnvironmentFailure, UsageError
from bench.text import did_you_mean, one_line

CONNECT_SECONDS = 5
"""After which a server that does not answer cannot be reached."""
PATIENCE_SECONDS = 15.0
"""How long an operation is tried again while the server is away, as when it is restarted."""
_ATTEMPTS = 8
_WAIT_SECONDS = 0.25

# Dialect -> drivers by preference: as SQLAlchemy calls them, the module, what installs it.
_DRIVERS = {
    "postgresql": (
        ("psycopg", "psycopg", "pip install 'bench-harness[postgresql]'"),
        ("psycopg2", "psycopg2", "pip install psycopg2-binary"),
    ),
    "mysql": (
        ("mysqldb", "MySQLdb", "pip install mysqlclient"),
        ("pymysql", "pymysql", "pip install pymysql"),
    ),
    "sqlite": (("pysqlite", "sqlite3", "a Python that has sqlite3"),),
}
_OPTIONS: dict[str, dict[str, Any]] = {
    # A server that vanished without a word is noticed after as long as one that does not answer.
    "postgresql": {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": 1000 * CONNECT_SECONDS,
        "keepalives_idle": 30,
    },
    "mysql": {"connect_timeout": CONNECT_SECONDS},
    # Processes that share a file wait for one another.
    "sqlite": {"timeout": 30},
}


def open_database(where: str) -> RDBStorage:
    """Return Optuna's storage in a database; its tables are made unless they are there.

    Raises:
        UsageError: `where` is no URL, or of a kind of database that is not known.
        EnvironmentFailure: the driver is missing; or the database cannot be reached, refuses, or
            was made by another version of Optuna.
    """
    url = read_url(where)
    shown = masked(where)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _Database(url, where)
        except ImportError as error:
            module = one_line(str(error.__cause__ or error))
            raise EnvironmentFailure(f"`{shown}`: its driver is missing ({module})") from error
        except (SQLAlchemyError, StorageInternalError) as error:
            # Two processes that make the tables of an empty database get in each other's way.
            if attempt == _ATTEMPTS or not _is_collision(error):
                raise EnvironmentFailure(_told(where, "cannot be opened", error)) from error
            time.sleep(_WAIT_SECONDS * attempt)
        except RuntimeError as error:
            raise EnvironmentFailure(
                f"another version of Optuna made the storage `{shown}`: {one_line(str(error))}"
            ) from error
        except (TypeError, ValueError) as error:
            raise UsageError(_told(where, "cannot be opened", error)) from error
    raise AssertionError("the last attempt raises")


def read_url(where: str) -> URL:
    """Return a URL that names a driver which is installed.

    Raises:
        UsageError: it is no URL, or of a kind of database that is not known.
        EnvironmentFailure: the driver is missing.
    """
    try:
        url = make_url(where)
    except (ArgumentError, ValueError) as error:
        raise UsageError(
            f"`{masked(where)}` is no URL of a database; write postgresql://USER@HOST/NAME or "
            "sqlite:///FILE"
        ) from error
    drivers = _DRIVERS.get(url.drivername, ())
    for driver, module, _ in drivers:
        if importlib.util.find_spec(module) is not None:
            return url.set(drivername=f"{url.drivername}+{driver}")
    for _, module, install in drivers[:1]:
        raise EnvironmentFailure(
            f"`{masked(where)}` needs the package {module}; install it with {install}"
        )
    try:
        url.get_dialect()
    except NoSuchModuleError:
        kind = url.drivername
        hint = did_you_mean(kind, _DRIVERS) or "; give postgresql://, mysql:// or sqlite:///"
        shown = masked(where)
        raise UsageError(f"`{shown}`: there is no database of kind `{kind}`{hint}") from None
    except ImportError:
        pass  # its driver is missing, which is told where it is opened
    return url


class _Database(RDBStorage):
    """Optuna's storage, whose failures are one line each, and which outlives a server's restart.

    Every method of RDBStorage is wrapped below, as the trials that Optuna hands out call them too.
    """

    def __init__(self, url: URL, where: str) -> None:
        kind = url.get_backend_name()
        options = {
            name: value
            for name, value in _OPTIONS.get(kind, {}).items()
            if name not in url.query  # the user's own word counts
        }
        self.where = where
        # Optuna fills in templates in its URL; braces of ours are none.
        text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
        super().__init__(text, engine_kwargs={"pool_pre_ping": True, "connect_args": options})
        if kind == "sqlite":
            _serialize(self.engine)
        # Nobody closes one of Optuna's storages; its connections go when it does.
        weakref.finalize(self, self.engine.dispose)


def _serialize(engine: sqlalchemy.Engine) -> None:
    """Have every transaction of an SQLite file lock it from its beginning.

    SQLite knows no `SELECT ... FOR UPDATE`, on which Optuna relies to give a trial to one process
    only. The two listeners are those that SQLAlchemy's page on SQLite gives for this.
    """

    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None

    def began(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    sqlalchemy.event.listen(engine, "connect", connected)
    sqlalchemy.event.listen(engine, "begin", began)
    engine.dispose()  # connections that were opened before


_depth = threading.local()


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of RDBStorage that tries again while the server is away."""

    @functools.wraps(method)
    def call(self: _Database, *arguments: Any, **named: Any) -> Any:
        # Methods call one another; the outermost one decides.
        if getattr(_depth, "inside", False):
            return method(self, *arguments, **named)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            _depth.inside = True
            try:
                return method(self, *arguments, **named)
            except (SQLAlchemyError, StorageInternalError) as error:
                if not _is_away(error) or time.monotonic() > deadline:
                    raise EnvironmentFailure(_told(self.where, "has failed", error)) from error
            finally:
                _depth.inside = False
            time.sleep(_WAIT_SECONDS)

    return call


for _name, _method in vars(RDBStorage).items():
    if inspect.isfunction(_method) and not _name.startswith("__"):
        setattr(_Database, _name, _patient(_method))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _is_away(error: BaseException) -> bool:
    """Return whether a server, or a locked file, may answer when it is asked again."""
    return any(isinstance(each, OperationalError | InterfaceError) for each in _causes(error))


def _is_collision(error: BaseException) -> bool:
    """Return whether another process made the same tables at the same moment."""
    return any(
        isinstance(each, IntegrityError)
        or (isinstance(each, DBAPIError) and re.search(r"already exists|locked", str(each.orig)))
        for each in _causes(error)
    )


def _told(where: str, what: str, error: BaseException) -> str:
    """Return one line about a storage that failed, without the password."""
    texts = [str(each.orig) for each in _causes(error) if isinstance(each, DBAPIError)]
    reason = one_line(texts[0] if texts else str(error), limit=300)
    for secret in secrets(where):
        reason = reason.replace(secret, "***")
    return f"the storage `{masked(where)}` {what}: {reason}"
