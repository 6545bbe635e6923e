"""What is promised of bad data, from the command line down. Each test's name says the promise."""

from __future__ import annotations

import functools
import http.server
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bad_images import UNREADABLE, write_odd, write_unreadable
from conftest import Done
from PIL import Image
from sklearn.datasets import load_digits

Cli = Callable[..., Done]


@pytest.fixture(scope="module")
def digits() -> dict[int, list[Image.Image]]:
    """Real images, 30 of each of three digits."""
    bunch = load_digits()
    return {
        digit: [
            Image.fromarray(np.rint(values * (255 / 16)).astype(np.uint8)).resize((16, 16))
            for values in bunch.images[bunch.target == digit][:30]
        ]
        for digit in (2, 9, 10 - 2)
    }


def write(root: Path, digits: dict[int, list[Image.Image]], *, below: str = "") -> Path:
    for digit, images in digits.items():
        folder = root / below / str(digit)
        folder.mkdir(parents=True)
        for number, image in enumerate(images):
            image.save(folder / f"{number}.png")
    return root


def run(cli: Cli, source: str, tmp_path: Path, *options: str, models: str = "tiny") -> Done:
    words = ["run", "--datasets", source, "--models", models, "--epochs", "1"]
    return cli(*words, "--results", tmp_path / "results", *options)


def records(tmp_path: Path) -> list[dict[str, object]]:
    folder = tmp_path / "results" / "runs"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/record.json"))]


def error_of(done: Done) -> str:
    """Return the one line that says what is wrong, before any work."""
    assert done.code in (2, 3)
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


# 17 and 18: image files


def test_17_every_unreadable_file_is_found_and_named(
    cli: Cli, tmp_path: Path, digits: dict[int, list[Image.Image]]
) -> None:
    root = write(tmp_path / "set", digits)
    write_unreadable(root / "2")
    write_odd(root / "9")
    done = cli("data", "check", f"folder:{root}", "--json")
    assert done.code == 1
    found = {
        entry["path"].split("/")[-1]: entry["why"] for entry in json.loads(done.out)["unreadable"]
    }
    assert {*found} == {*UNREADABLE}
    for name, why in UNREADABLE.items():
        assert why in found[name]


def test_17_they_fail_the_run_or_are_left_out_the_same_for_every_model(
    cli: Cli, tmp_path: Path, digits: dict[int, list[Image.Image]]
) -> None:
    root = write(tmp_path / "set", digits)
    write_unreadable(root / "2")
    odd = len(write_odd(root / "9"))
    done = run(cli, f"folder:{root}", tmp_path)
    assert done.code == 1
    [record] = records(tmp_path)
    assert record["status"] == "failed"
    assert "images cannot be read: `" in str(record["error"])
    shutil.rmtree(tmp_path / "results")
    done = run(cli, f"folder:{root}", tmp_path, "--on-bad", "skip", models="tiny,cnn")
    assert done.code == 0
    assert f"{len(UNREADABLE)} file(s) of `folder:set` cannot be read and are left out" in done.err
    both = records(tmp_path)
    assert len({record["key"]["dataset"]["fingerprint"] for record in both}) == 1  # type: ignore[index]
    items = {record["environment"]["train_items"] for record in both}  # type: ignore[index]
    # A fifth is test, a fifth of the rest val.
    assert items == {round(round((90 + odd) * 0.8) * 0.8)}


def test_18_a_decompression_bomb_is_an_error(
    cli: Cli, tmp_path: Path, digits: dict[int, list[Image.Image]]
) -> None:
    root = write(tmp_path / "set", digits)
    write_unreadable(tmp_path / "bad")
    bomb = root / "2" / "bomb.png"
    shutil.copy(tmp_path / "bad" / "bomb.png", bomb)
    assert bomb.stat().st_size < 250_000
    assert run(cli, f"folder:{root}", tmp_path).code == 1
    [record] = records(tmp_path)
    assert f"`{bomb}` has too many pixels" in str(record["error"])


# 19 and 20: archives and downloads


def test_19_an_archive_that_climbs_out_is_refused(cli: Cli, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        member = tarfile.TarInfo("../../climbed.txt")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"gone"))
    error = error_of(cli("data", "info", f"archive:{tmp_path / 'set.tar'}"))
    assert "../../climbed.txt" in error
    assert not [*tmp_path.parent.rglob("climbed.txt")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Serve a folder, which has a page where a data file is expected."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "page.html").write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    shutil.copy(tmp_path / "www" / "page.html", tmp_path / "www" / "set.npz")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_20_a_web_page_instead_of_data_is_said_to_be_one(cli: Cli, site: str) -> None:
    error = error_of(cli("data", "info", f"url:{site}/set.npz"))
    assert "HTML" in error
    assert "set.npz" in error


def test_20_a_download_of_another_content_is_refused_and_offline_asks_nobody(
    cli: Cli, site: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "www" / "real.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4) % 2)
    error = error_of(cli("data", "info", f"url:{site}/real.npz#sha256={'0' * 64}"))
    assert "sha256" in error.lower()
    error = error_of(cli("data", "info", f"url:{site}/real.npz", "--offline"))
    assert "offline" in error


# 22 and 23: folders and tables


def test_22_one_class_list_in_natural_order_hidden_folders_ignored(
    cli: Cli, tmp_path: Path, digits: dict[int, list[Image.Image]]
) -> None:
    images = iter(digits.values())
    named = {10: next(images), 9: next(images), 2: next(images)}
    root = write(tmp_path / "set", named, below="train")
    (root / "train" / ".thumbnails").mkdir()
    (root / ".git").mkdir()
    shutil.copy(root / "train" / "2" / "0.png", root / "train" / ".thumbnails")
    facts = json.loads(cli("data", "info", f"folder:{root}", "--json").out)
    assert [*facts["class_counts"]] == ["2", "9", "10"]
    assert sum(facts["images"].values()) == 90


def test_22_a_val_folder_that_lacks_a_class_is_an_error(
    cli: Cli, tmp_path: Path, digits: dict[int, list[Image.Image]]
) -> None:
    root = write(tmp_path / "set", digits, below="train")
    shutil.copytree(root / "train", root / "val")
    shutil.rmtree(root / "val" / "9")
    error = error_of(run(cli, f"folder:{root}", tmp_path))
    assert "`9`" in error
    assert "val" in error


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("empty", "holds no"),
        ("one class", "one class"),
        ("no images", "holds no image"),
        ("wrong columns", "column"),
        ("labels without files", "of 3 images"),
        ("files without labels", "2 of 4 images"),
    ],
)
def test_23_what_is_missing_is_counted_and_shown(
    cli: Cli, tmp_path: Path, digits: dict[int, list[Image.Image]], made: str, said: str
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    source = f"folder:{root}"
    if made == "one class":
        write(root, {2: digits[2]})
    elif made == "no images":
        for name in ("a", "b"):
            (root / name).mkdir()
            (root / name / "notes.txt").write_text("no picture")
    elif made != "empty":
        source = f"csv:{root / 'labels.csv'}"
        for number, image in enumerate(digits[2][:4]):
            image.save(root / f"{number}.png")
        tables = {
            "wrong columns": "a,b\n0.png,x\n1.png,y\n",
            "labels without files": "image,label\n0.png,x\n7.png,y\n1.png,y\n",
            "files without labels": "image,label\n0.png,x\n1.png,y\n",
        }
        (root / "labels.csv").write_text(tables[made])
    error = error_of(run(cli, source, tmp_path))
    assert said in error, error


# 24: duplicates


def test_24_leaks_and_conflicting_labels_are_found(
    cli: Cli, tmp_path: Path, digits: dict[int, list[Image.Image]]
) -> None:
    root = write(tmp_path / "set", {2: digits[2], 9: digits[9]}, below="train")
    write(root, {2: digits[8][:10], 9: digits[8][10:20]}, below="test")
    shutil.copy(root / "train" / "2" / "3.png", root / "test" / "2" / "leaked.png")
    Image.open(root / "train" / "9" / "5.png").save(root / "train" / "2" / "also a nine.bmp")
    done = cli("data", "check", f"folder:{root}", "--json")
    found = json.loads(done.out)
    assert done.code == 1
    assert [{leak["a"], leak["b"]} for leak in found["leaks"]] == [
        {"train/2/3.png", "test/2/leaked.png"}
    ]
    [conflict] = found["conflicts"]
    assert {conflict["a"], conflict["b"]} == {"train/9/5.png", "train/2/also a nine.bmp"}
    assert sorted(conflict["labels"]) == ["2", "9"]
