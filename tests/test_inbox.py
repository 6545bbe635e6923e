from __future__ import annotations

from pathlib import Path

import pytest

from bench import inbox
from bench.errors import DataError, UsageError
from bench.geometry import Geometry


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(*words: object) -> list[str]:
    return [each.name for each in inbox.gather(map(str, words))]


def test_a_folder_is_read_in_natural_order_without_what_is_hidden_or_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "in/10.png", "in/2.PNG", "in/b/1.jpg", "in/a/3.webp", "in/notes.txt")
    touch(tmp_path, "in/.hidden.png", "in/.git/1.png", "in/__MACOSX/1.png")
    assert names("in") == ["in/2.PNG", "in/10.png", "in/a/3.webp", "in/b/1.jpg"]


def test_paths_keep_their_order_and_a_file_needs_no_ending(tmp_path: Path) -> None:
    touch(tmp_path, "z", "a.png", "in/1.png")
    assert names(tmp_path / "z", tmp_path / "in", tmp_path / "a.png", tmp_path / "z") == [
        f"{tmp_path}/{name}" for name in ("z", "in/1.png", "a.png", "z")
    ]


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("image,label\nin/1.png,cat\nhere.png,dog\n", ".csv"),
        ("\ufeffid;PATH\n7;in/1.png\n8;here.png\n", ".csv"),
        ("x\tfile\n0\tin/1.png\n0\there.png\n", ".tsv"),
        ("whatever\nin/1.png\nhere.png\n", ".csv"),
    ],
)
def test_a_table_names_files_beside_it_or_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "set/in/1.png", "here.png")
    table = tmp_path / "set" / f"list{suffix}"
    table.write_text(text, "utf-8")
    found = inbox.gather([str(table)])
    assert [each.name for each in found] == ["in/1.png", "here.png"]
    assert [each.path.absolute() for each in found] == [
        tmp_path / "set" / "in" / "1.png",
        tmp_path / "here.png",
    ]


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "photos/1.png")
    with pytest.raises(UsageError, match=r"did you mean `photos`\?"):
        names(tmp_path / "photo")
    (tmp_path / "table.csv").write_text("path\n")
    with pytest.raises(DataError, match="holds no rows"):
        names(tmp_path / "table.csv")


@pytest.mark.parametrize(
    "shape",
    [
        Geometry(28, 28, 1, None),
        Geometry(224, 224, 3, "crop"),
        Geometry(64, 64, 3, "pad", "bicubic"),
        Geometry(10, 16, 3, None),
    ],
)
def test_a_shape_is_read_back_from_its_name(shape: Geometry) -> None:
    assert Geometry.of_variant(shape.variant) == shape


@pytest.mark.parametrize("name", ["", "28x28", "28x28x1-", "axbxc", "8x8x1-crop-bilinear"])
def test_another_name_is_that_of_no_shape(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (int() has words of its own)
        Geometry.of_variant(name)
