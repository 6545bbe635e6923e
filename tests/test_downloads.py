from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import multiprocessing
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import DataError, downloads, extraction
from bench.downloads import fetch, is_offline, offline
from bench.extraction import extract

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()

Answer = Callable[[http.server.BaseHTTPRequestHandler, int], None]


class Server:
    """A server on this machine, which answers each path as a test says and counts requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: dict[str, int] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                count = outer.requests[self.path] = outer.requests.get(self.path, 0) + 1
                outer.answers[self.path](self, count)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.server.server_port}{path}"


def send(
    handler: http.server.BaseHTTPRequestHandler,
    content: bytes = CONTENT,
    *,
    status: int = 200,
    type: str = "application/octet-stream",
    announced: int | None = None,
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", type)
    handler.send_header("Content-Length", str(len(content) if announced is None else announced))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.server.shutdown()
    running.server.server_close()


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


# Downloads


def test_a_whole_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    url = server.serve("/file.bin", lambda handler, count: send(handler))
    target = tmp_path / "sub" / "file.bin"
    for _ in range(2):
        assert fetch(url, target, sha256=SHA256.upper()) == target
    assert target.read_bytes() == CONTENT
    assert fetch(url, target) == target
    assert fetch(url, target, md5=MD5) == target
    assert server.requests["/file.bin"] == 1
    assert left_behind(target.parent) == ["file.bin"]


def test_a_damaged_file_at_hand_is_fetched_again(server: Server, tmp_path: Path) -> None:
    url = server.serve("/file.bin", lambda handler, count: send(handler))
    target = tmp_path / "file.bin"
    target.write_bytes(CONTENT[:-1])
    fetch(url, target, md5=MD5)
    assert target.read_bytes() == CONTENT


def test_a_connection_that_is_cut_is_tried_again(server: Server, tmp_path: Path) -> None:
    def cut_twice(handler: http.server.BaseHTTPRequestHandler, count: int) -> None:
        send(handler, CONTENT[: 1000 * count] if count < 3 else CONTENT, announced=len(CONTENT))

    url = server.serve("/file.bin", cut_twice)
    fetch(url, tmp_path / "file.bin", sha256=SHA256)
    assert server.requests["/file.bin"] == 3
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_connection_that_is_always_cut_leaves_nothing(server: Server, tmp_path: Path) -> None:
    url = server.serve(
        "/file.bin", lambda handler, count: send(handler, CONTENT[:1000], announced=len(CONTENT))
    )
    with pytest.raises(DataError, match=r"in 4 attempts \(.*1.0 kB of 1.0 MB\); check the conn"):
        fetch(url, tmp_path / "file.bin", sha256=SHA256)
    assert server.requests["/file.bin"] == downloads.ATTEMPTS
    assert left_behind(tmp_path) == []


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(
    server: Server, tmp_path: Path
) -> None:
    busy = server.serve(
        "/busy", lambda handler, count: send(handler, status=503 if count == 1 else 200)
    )
    gone = server.serve("/gone", lambda handler, count: send(handler, b"", status=404))
    fetch(busy, tmp_path / "busy")
    with pytest.raises(DataError, match=r"/gone` could not be downloaded: HTTP status 404"):
        fetch(gone, tmp_path / "gone")
    assert (server.requests["/busy"], server.requests["/gone"]) == (2, 1)
    assert left_behind(tmp_path) == ["busy"]


@pytest.mark.parametrize("type", ["text/html", "application/zip"])
def test_a_web_page_is_no_file(server: Server, tmp_path: Path, type: str) -> None:
    page = b"\n<!DOCTYPE HTML><html>Please log in</html>"
    url = server.serve("/set.zip", lambda handler, count: send(handler, page, type=type))
    with pytest.raises(DataError, match="answers with HTML, a web page instead of the file"):
        fetch(url, tmp_path / "set.zip")
    assert left_behind(tmp_path) == []


def test_another_content_is_refused(server: Server, tmp_path: Path) -> None:
    url = server.serve("/file.bin", lambda handler, count: send(handler, b"something else"))
    with pytest.raises(DataError, match=rf"has SHA256 [0-9a-f]+, not {SHA256}; the file was"):
        fetch(url, tmp_path / "file.bin", sha256=SHA256)
    assert left_behind(tmp_path) == []
    assert server.requests["/file.bin"] == 1


def test_secrets_of_an_address_are_not_shown(server: Server, tmp_path: Path) -> None:
    url = server.serve("/f?token=secret", lambda handler, count: send(handler, b"", status=403))
    with pytest.raises(DataError) as caught:
        fetch(url, tmp_path / "f")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "no-address"])
def test_only_the_web_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="is no web address"):
        fetch(url, tmp_path / "file")


def test_offline_asks_nobody_and_names_what_is_missing(server: Server, tmp_path: Path) -> None:
    url = server.serve("/file.bin", lambda handler, count: send(handler))
    target = tmp_path / "file.bin"
    with offline():
        assert is_offline()
        with pytest.raises(DataError, match=r"/file\.bin` is not at hand, and `--offline`"):
            fetch(url, target)
    with offline(False):
        assert not is_offline()
        fetch(url, target)
    with offline():
        assert fetch(url, target, sha256=SHA256) == target
    assert server.requests["/file.bin"] == 1


def test_offline_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("1", True), ("yes", True), ("0", False), ("", False)):
        monkeypatch.setenv(downloads.OFFLINE, value)
        assert is_offline() is expected
    with offline():
        assert is_offline()
    assert not is_offline()


def test_two_processes_download_once(server: Server, tmp_path: Path) -> None:
    def slowly(handler: http.server.BaseHTTPRequestHandler, count: int) -> None:
        threading.Event().wait(0.5)
        send(handler)

    url = server.serve("/file.bin", slowly)
    target = tmp_path / "file.bin"
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=fetch, args=(url, target), kwargs={"sha256": SHA256})
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert target.read_bytes() == CONTENT
    assert server.requests["/file.bin"] == 1


# Archives


def make_tar(path: Path, *members: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def make_header_bomb(path: Path) -> Path:
    """Write a tar whose first extended header is long, and would be read into memory whole."""
    info = special("pax", tarfile.XHDTYPE)
    info.size = 20_000_000
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(info.size))
    return path


def make_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return path


def special(name: str, type: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = type
    info.linkname = target
    return info


def zip_link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


GOOD = ("good.txt", b"good")
ZEROS = bytes(1_000_000)
MALICIOUS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tar-climbs": (
        lambda p: make_tar(p, GOOD, ("../evil", b"x")),
        r"`\.\./evil` climbs out",
    ),
    "tar-climbs-within": (
        lambda p: make_tar(p, GOOD, ("a/../../evil", b"x")),
        r"`a/\.\./\.\./evil` climbs out",
    ),
    "tar-absolute": (
        lambda p: make_tar(p, GOOD, ("/tmp/evil", b"x")),
        "`/tmp/evil` has an absolute path",
    ),
    "tar-link-absolute": (
        lambda p: make_tar(p, GOOD, special("link", tarfile.SYMTYPE, "/etc"), ("link/x", b"x")),
        "`link` links to `/etc`, which leads out",
    ),
    "tar-link-climbs": (
        lambda p: make_tar(p, GOOD, special("a/link", tarfile.SYMTYPE, "../../etc")),
        "`a/link` links to",
    ),
    "tar-hard-link": (
        lambda p: make_tar(p, GOOD, special("link", tarfile.LNKTYPE, "../secret")),
        "`link` links to",
    ),
    "tar-device": (
        lambda p: make_tar(p, GOOD, special("null", tarfile.CHRTYPE)),
        "`null` is a device or a pipe",
    ),
    "tar-pipe": (
        lambda p: make_tar(p, GOOD, special("pipe", tarfile.FIFOTYPE)),
        "`pipe` is a device or a pipe",
    ),
    "tar-bomb": (
        lambda p: make_tar(p, GOOD, *[(f"zeros{i}", ZEROS) for i in range(5)], mode="w:gz"),
        "`zeros.` makes .* decompression bomb",
    ),
    "tar-header-bomb": (
        lambda p: make_header_bomb(p),
        r"it has a header of 20\.0 MB, as a decompression bomb",
    ),
    "zip-climbs": (
        lambda p: make_zip(p, GOOD, ("../evil", b"x")),
        r"`\.\./evil` climbs out",
    ),
    "zip-climbs-backwards": (
        lambda p: make_zip(p, GOOD, ("..\\evil", b"x")),
        r"climbs out",
    ),
    "zip-absolute": (
        lambda p: make_zip(p, GOOD, ("/tmp/evil", b"x")),
        "`/tmp/evil` has an absolute path",
    ),
    "zip-drive": (
        lambda p: make_zip(p, GOOD, ("C:/evil", b"x")),
        "`C:/evil` has an absolute path",
    ),
    "zip-link": (
        lambda p: make_zip(p, GOOD, (zip_link("link"), b"/etc")),
        "`link` is a symbolic link",
    ),
    "zip-bomb": (
        lambda p: make_zip(p, GOOD, *[(f"zeros{i}", ZEROS) for i in range(5)]),
        "`zeros.` makes .* decompression bomb",
    ),
}


@pytest.mark.parametrize("kind", MALICIOUS)
def test_a_malicious_archive_is_refused_by_its_member(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "FREE_BYTES", 2_000_000)
    make, message = MALICIOUS[kind]
    outer = tmp_path / "outer"
    outer.mkdir()
    archive = make(tmp_path / "archive")
    with pytest.raises(DataError, match=message) as caught:
        extract(archive, outer / "inner" / "set")
    assert "\n" not in str(caught.value)
    assert str(archive) in str(caught.value)
    # Nothing is left: neither the good member nor one that escaped.
    assert [path.name for path in (outer / "inner").iterdir()] == [".set.lock"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "outer"]
    assert not Path("/tmp/evil").exists()


def test_too_many_members_and_too_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_tar(tmp_path / "a.tar", GOOD, ("b", b"xyz"), ("c", b"xyz"))
    monkeypatch.setattr(extraction, "MAX_MEMBERS", 2)
    with pytest.raises(DataError, match="`c` is one of more than 2 members"):
        extract(archive, tmp_path / "set")
    monkeypatch.setattr(extraction, "MAX_MEMBERS", 9)
    monkeypatch.setattr(extraction, "MAX_BYTES", 9)
    with pytest.raises(DataError, match="`c` takes the content above 9 B"):
        extract(archive, tmp_path / "set")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_sound_tar_is_unpacked_and_reused(tmp_path: Path, mode: str) -> None:
    link = special("sub/link.txt", tarfile.SYMTYPE, "b.txt")
    archive = make_tar(tmp_path / "a.tar", GOOD, ("sub/b.txt", b"b"), link, mode=mode)
    folder = extract(archive, tmp_path / "cache" / "set")
    assert (folder / "good.txt").read_bytes() == b"good"
    assert (folder / "sub" / "link.txt").read_bytes() == b"b"
    archive.unlink()
    assert extract(archive, folder) == folder


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", GOOD).read_bytes()
    archive = make_tar(tmp_path / "a.tar", ("a.txt", b"a"), ("inner.zip", inner))
    folder = extract(archive, tmp_path / "set")
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "inner.zip"]


def test_a_sound_zip_is_unpacked(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", GOOD, ("sub/", b""), ("sub/b.txt", b"b"))
    folder = extract(archive, tmp_path / "cache" / "set")
    assert (folder / "sub" / "b.txt").read_bytes() == b"b"


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_a_damaged_archive_is_named(tmp_path: Path, name: str) -> None:
    archive = tmp_path / name
    if name == "a.zip":
        make_zip(archive, ("b", CONTENT[:70000]))
        content = bytearray(archive.read_bytes())
        content[60] ^= 0xFF
        archive.write_bytes(content)
    else:
        make_tar(archive, ("b", CONTENT), mode=f"w:{name[6:]}")
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"{name}` is damaged or no archive .*fetch it again"):
        extract(archive, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_no_archive_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        extract(tmp_path / "gone.zip", tmp_path / "set")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(DataError, match="is damaged or no archive"):
        extract(tmp_path / "text.zip", tmp_path / "set")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", GOOD)
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"`good\.txt` is encrypted"):
        extract(archive, tmp_path / "set")


def test_members_that_clash_are_said_to_be_the_archives_fault(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a", "a file")
        archive.writestr("a/b.png", "in a folder of its name")
    with pytest.raises(DataError, match="two of its members clash"):
        extract(tmp_path / "set.zip", tmp_path / "cache" / "set")
