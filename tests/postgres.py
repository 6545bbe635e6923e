"""A PostgreSQL server of the tests' own, from the binaries that Debian installs."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

PASSWORD = "correct horse/b@ttery"
QUOTED = "correct%20horse%2Fb%40ttery"


class Server:
    """A server on a free local port, with a folder of its own under the system's."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries = binaries
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.getuid() == 0:
            # The server refuses to be root; whoever it is must reach and own its folder.
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(password, "postgres")
        flags = ["--auth=scram-sha-256", f"--pwfile={password}", "--username=tester"]
        arguments = [binaries / "initdb", "-D", self._data, *flags, "--no-sync"]
        subprocess.run(arguments, check=True, capture_output=True, **self._identity())

    def start(self) -> None:
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "fsync": "off",
        }
        flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self._data, *flags],
                stdout=log,
                stderr=log,
                **self._identity(),
            )
        deadline = time.monotonic() + 60
        ready = [self.binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as an immediate shutdown does: sessions are cut off."""
        if self._process is not None:
            self._process.send_signal(3)
            self._process.wait(timeout=60)
            self._process = None

    def url(self, database: str, password: str = QUOTED) -> str:
        return f"postgresql://tester:{password}@127.0.0.1:{self.port}/{database}"

    def create(self) -> str:
        """Return the URL of a new, empty database."""
        import psycopg

        name = f"test_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return self.url(name)

    def _identity(self) -> dict[str, object]:
        is_root = os.getuid() == 0
        return {
            "cwd": self.folder,
            **({"user": "postgres", "group": "postgres"} if is_root else {}),
        }


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("there is no PostgreSQL server (Debian's package `postgresql`)")
    if os.getuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        pytest.skip("as root the server needs a user `postgres`, and there is none")
    pytest.importorskip("psycopg", reason="the package psycopg is not installed")
    folder = Path(tempfile.mkdtemp(prefix="bench-postgresql-"))
    try:
        server = Server(found[-1].parent, folder)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
