from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from postgres import Server
from study_processes import create_many, open_study, suggest

from bench import files
from bench.errors import BenchError, EnvironmentFailure, StoreError, UsageError
from bench.studies import TrialState
from bench.tuning import database
from bench.tuning.sampling import make_pruner
from bench.tuning.shared import SharedStudy, Trial
from bench.tuning.storage import journal_path, masked, open_storage


def written(results: Path, count: int = 3) -> tuple[Path, list[Trial]]:
    """Return a journal with a study of some trials, the first of them complete."""
    with open_study(None, results) as study:
        create_many(study, count)
        study.report(0, 1, 0.25)
        study.finish(0, TrialState.COMPLETE, [0.5])
        return journal_path(results), study.trials()


def refused(where: str, tmp_path: Path) -> BenchError:
    """Return what a storage that cannot be opened says, in one line and soon."""
    begun = time.monotonic()
    with pytest.raises(BenchError) as caught:
        open_storage(where, tmp_path, pytest.fail)
    assert time.monotonic() - begun < 10
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("is_every_byte", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_journal_that_was_cut_anywhere_keeps_what_stands_before(
    tmp_path: Path, is_every_byte: bool
) -> None:
    path, trials = written(tmp_path)
    whole = path.read_bytes()
    # Around the end of every line, and within a line at each of its bytes.
    ends = [position + 1 for position, byte in enumerate(whole) if byte == ord("\n")]
    cuts = {*range(ends[5], ends[6])} | {end + step for end in ends for step in (-2, -1, 0, 1)}
    for cut in range(len(whole)) if is_every_byte else sorted(cuts & {*range(len(whole))}):
        folder = tmp_path / f"cut-{cut}"
        damaged = journal_path(folder)
        damaged.parent.mkdir(parents=True)
        damaged.write_bytes(whole[:cut])
        said: list[str] = []
        storage = open_storage(None, folder, said.append)
        kept = damaged.read_bytes()
        is_whole = cut in ends or cut == 0
        is_complete = is_whole or cut + 1 in ends
        sound = cut + 1 if cut + 1 in ends else max([0, *(end for end in ends if end <= cut)])
        assert kept == whole[:sound]
        assert len(said) == (not is_complete)
        if said:
            aside = damaged.with_name("journal.damaged-1.log")
            assert aside.read_bytes() == whole[:cut]
            line = len(kept.splitlines()) + 1
            assert f"damaged in line {line} of" in said[0]
            assert aside.name in said[0]
        for study in storage.get_all_studies():
            found = storage.get_all_trials(study._study_id)
            assert len(found) <= len(trials)
            for frozen, trial in zip(found, trials, strict=False):
                assert frozen.params.items() <= trial.params.items()
    assert whole == path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        b"\0" * 4096,
        b"garbage\n",
        b'{"a": 1}\n',
        b"[]\n",
        b'{"op_code": 5, "worker_id": "x", "trial_id": 0}\n',
        b'{"op_code": "5", "worker_id": "x"}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"op_code":6,"worker_id":"x","tri{"op_code":6,"worker_id":"x","trial_id":0,"state":1}\n',
    ],
)
@pytest.mark.parametrize("is_last", [False, True])
def test_a_journal_damaged_in_its_midst_is_mended(
    tmp_path: Path, damage: bytes, is_last: bool
) -> None:
    path, trials = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + damage + (b"" if is_last else whole))
    said: list[str] = []
    with open_study(None, tmp_path, storage=open_storage(None, tmp_path, said.append)) as study:
        assert study.trials() == trials
        create_many(study, 1)
    assert len(said) == 1
    assert "\n" not in said[0]
    assert path.with_name("journal.damaged-1.log").read_bytes().startswith(whole + damage)
    with open_study(None, tmp_path) as again:
        assert len(again.trials()) == len(trials) + 1


def test_foreign_content_is_put_aside_under_a_name_of_its_own(tmp_path: Path) -> None:
    path = journal_path(tmp_path)
    for number in (1, 2):
        files.write_text(path, f"a diary, page {number}\n")
        said: list[str] = []
        open_storage(None, tmp_path, said.append)
        assert path.read_bytes() == b""
        assert f"`journal.damaged-{number}.log`" in said[0]
    assert path.with_name("journal.damaged-1.log").read_text() == "a diary, page 1\n"


def test_a_journal_of_a_newer_optuna_is_left_alone(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    content = path.read_bytes() + b'{"op_code": 99, "worker_id": "x"}\n'
    path.write_bytes(content)
    with pytest.raises(StoreError, match="a newer Optuna wrote the studies in"):
        open_storage(None, tmp_path, pytest.fail)
    assert path.read_bytes() == content


def test_a_journal_torn_while_it_is_open_is_mended_at_the_next_line(tmp_path: Path) -> None:
    said: list[str] = []
    with open_study(None, tmp_path, storage=open_storage(None, tmp_path, said.append)) as study:
        create_many(study, 2)
        with journal_path(tmp_path).open("ab") as file:
            file.write(b'{"op_code":4,"wor')  # as another process leaves it when the disk is full
        assert study.create().number == 2
        assert [trial.number for trial in study.trials()] == [0, 1, 2]
    assert len(said) == 1


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    path, trials = written(tmp_path)
    size = path.stat().st_size
    with open_study(None, tmp_path) as study:
        size = path.stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
        try:
            with pytest.raises(StoreError, match="cannot use the studies in"):
                study.note(1, values={"x": 1})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert path.stat().st_size == size
        assert study.trials() == trials
        study.note(1, values={"x": 1})


def test_a_journal_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    journal_path(tmp_path).mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot use the studies in .*: Is a directory"):
        open_storage(None, tmp_path, pytest.fail)


def test_a_killed_holder_of_the_journals_lock_leaves_it_free(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    lock = path.with_suffix(".lock")
    code = (
        "import sys, time; from pathlib import Path; from bench import files\n"
        "lock = files.lock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        opened: list[SharedStudy] = []
        thread = threading.Thread(target=lambda: opened.append(open_study(None, tmp_path)))
        try:
            thread.start()
            thread.join(0.5)
            is_open = bool(opened)
        finally:
            holder.kill()
        thread.join(30)
    assert not is_open
    assert [study.close() for study in opened] == [None]


def test_what_optuna_does_for_a_trial_costs_little(tmp_path: Path) -> None:
    def many(trial: optuna.trial.Trial) -> dict[str, Any]:
        low_high = [(f"p{number}", 1e-4, 1.0) for number in range(6)]
        return {name: trial.suggest_float(name, *ends, log=True) for name, *ends in low_high}

    seconds = []
    with open_study(None, tmp_path, pruner=make_pruner("median")) as study:
        for _ in range(30):
            begun = time.process_time()
            trial = study.create()
            study.note(trial.number, values=many(trial))
            for epoch in (1, 3, 10):
                study.report(trial.number, epoch, 0.5)
            study.should_prune(trial.number)
            study.finish(trial.number, TrialState.COMPLETE, [0.5])
            study.trials()
            seconds.append(time.process_time() - begun)
    # Of this process alone, as others share the machine.
    assert sorted(seconds)[15] < 0.03


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me:a/b@c:d@host:5432/name", "postgresql://me:***@host:5432/name"),
        ("postgresql://me@host/name", "postgresql://me@host/name"),
        (
            "postgresql://host/name?user=me&password=x",
            "postgresql://host/name?user=me&password=***",
        ),
        ("sqlite:///studies.db", "sqlite:///studies.db"),
        ("mysql+pymysql://me:p%40ss@host/n", "mysql+pymysql://me:***@host/n"),
        ("nonsense", "nonsense"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_a_url_that_is_none_is_one_line(tmp_path: Path) -> None:
    for where, part in (
        ("studies.db", "`studies.db` is no URL of a database; write postgresql://"),
        ("postgres://me:secret@host/name", "no database of kind `postgres` (did you mean `postg"),
        ("redis://host", "there is no database of kind `redis`"),
        ("postgresql+nodriver://host/x", "there is no database of kind `postgresql+nodriver`"),
        ("postgresql://host:port/x", "is no URL of a database"),
    ):
        error = refused(where, tmp_path)
        assert isinstance(error, UsageError)
        assert part in str(error)
        assert "secret" not in str(error)


def test_a_missing_driver_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = refused("postgresql://me:secret@host/name", tmp_path)
    assert isinstance(error, EnvironmentFailure)
    assert str(error) == (
        "`postgresql://me:***@host/name` needs the package psycopg; install it with "
        "pip install 'bench-harness[postgresql]'"
    )


def test_a_driver_that_was_asked_for_and_is_missing_is_one_line(tmp_path: Path) -> None:
    error = refused("postgresql+pg8000://me:secret@host/name", tmp_path)
    assert isinstance(error, EnvironmentFailure)
    assert "its driver is missing" in str(error)
    assert "pg8000" in str(error)


def test_an_sqlite_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    diary = tmp_path / "diary.db"
    diary.write_text("dear diary, " * 1000)
    assert "file is not a database" in str(refused(f"sqlite:///{diary}", tmp_path))
    assert "unable to open" in str(refused(f"sqlite:///{tmp_path}/none/x.db", tmp_path))
    assert diary.read_text() == "dear diary, " * 1000


def test_a_storage_of_another_optuna_is_one_line(tmp_path: Path) -> None:
    import sqlite3

    where = f"sqlite:///{tmp_path}/studies.db"
    open_storage(where, tmp_path, pytest.fail)
    with sqlite3.connect(tmp_path / "studies.db") as connection:
        connection.execute("update alembic_version set version_num = 'v99'")
    connection.close()
    error = refused(where, tmp_path)
    assert isinstance(error, EnvironmentFailure)
    assert str(error).startswith("another version of Optuna made the storage `sqlite:///")


def test_a_server_that_refuses_is_one_line(postgresql: Server, tmp_path: Path) -> None:
    wrong = refused(postgresql.url("postgres", "wr0ng%21"), tmp_path)
    assert "password authentication failed" in str(wrong)
    assert "wr0ng" not in str(wrong)
    unknown = refused(postgresql.url("nowhere"), tmp_path)
    assert 'database "nowhere" does not exist' in str(unknown)
    assert f"`postgresql://tester:***@127.0.0.1:{postgresql.port}/nowhere`" in str(unknown)
    for error in (wrong, unknown):
        assert isinstance(error, EnvironmentFailure)


def test_a_server_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        refusing = refused(f"postgresql://me:secret@127.0.0.1:{port}/name", tmp_path)
        assert "refused" in str(refusing)
        closed.listen()  # and now it says nothing
        silent = refused(f"postgresql://me:secret@127.0.0.1:{port}/name", tmp_path)
        assert "timeout" in str(silent)
    for error in (refusing, silent):
        assert isinstance(error, EnvironmentFailure)
        assert "secret" not in str(error)


def test_a_password_with_every_sign_opens_the_database(postgresql: Server, tmp_path: Path) -> None:
    where = postgresql.create()
    with open_study(where, tmp_path) as study:
        suggest(study.create())
    assert isinstance(open_storage(where, tmp_path, pytest.fail), optuna.storages.RDBStorage)


def test_psycopg2_is_used_where_it_alone_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"psycopg2"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in known else None)
    assert database.read_url("postgresql://h/n").drivername == "postgresql+psycopg2"
    known.add("psycopg")
    assert database.read_url("postgresql://h/n").drivername == "postgresql+psycopg"
    assert database.read_url("postgresql+asyncpg://h/n").drivername == "postgresql+asyncpg"


@pytest.mark.parametrize("kind", ["journal", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_optunas_dashboard_shows_our_studies(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, wait_for: Callable[..., Any]
) -> None:
    pytest.importorskip("optuna_dashboard")
    where = request.getfixturevalue("postgresql").create() if kind == "postgresql" else None
    with open_study(where, tmp_path, name="digits/cnn/adamw") as study:
        create_many(study, 2)
        study.report(0, 1, 0.25)
        study.finish(0, TrialState.COMPLETE, [0.5])
    if where is None:
        opened = str(journal_path(tmp_path))
    else:
        opened = where.replace("postgresql:", "postgresql+psycopg:")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    with subprocess.Popen(
        [program, opened, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            [listed] = wait_for(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
            assert listed["study_name"] == "digits/cnn/adamw"
            detail = wait_for(f"http://127.0.0.1:{port}/api/studies/{listed['study_id']}?after=0")
            assert [trial["state"] for trial in detail["trials"]] == ["Complete", "Waiting"]
        finally:
            server.terminate()


@pytest.fixture
def wait_for() -> Callable[[str], Any]:
    def get(address: str) -> Any:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(address, timeout=30) as answer:
                    return json.load(answer)
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)

    return get
