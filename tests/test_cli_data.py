from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Done
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from test_light import probe

from bench.contact_sheet import MARGIN, PADDING
from bench.store import Store

Cli = Callable[..., Done]
CLASSES = ("one", "two", "zero")
EDGE = 40
SHOWN = 120  # the whole multiple of 40 that fits a cell
CELL = 128
DAY = 24 * 3600


def pictures(digit: int) -> Iterator[Image.Image]:
    """Yield handwritten digits of one kind, enlarged; too small to be near duplicates."""
    digits = load_digits()
    for image in digits.images[digits.target == digit]:
        gray = Image.fromarray((image * 15).astype(np.uint8))
        yield gray.resize((EDGE, EDGE), Image.Resampling.BICUBIC)


def fill(folder: Path, counts: dict[str, int]) -> Path:
    """Write folders of classes for each split, or for one unnamed, into a folder."""
    for digit, name in ((1, "one"), (2, "two"), (0, "zero")):
        source = pictures(digit)
        for split, count in counts.items():
            place = folder / split / name
            place.mkdir(parents=True)
            for index in range(count):
                next(source).save(place / f"{index}.png")
    return folder


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A sound dataset with all its splits, in folders."""
    return fill(tmp_path / "digits", {"train": 34, "val": 4, "test": 6})


@pytest.fixture
def pooled(tmp_path: Path) -> Path:
    """A sound dataset of one folder a class."""
    return fill(tmp_path / "pooled", {"": 40})


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; what runs in workers does not see it."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def source(folder: Path) -> str:
    return f"folder:{folder}"


def parsed(done: Done) -> dict[str, Any]:
    assert done.err == ""
    found: dict[str, Any] = json.loads(done.out)
    assert found["schema"] == 1
    return found


def pixels(folder: Path) -> Any:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))])


def train(cli: Cli, folder: Path, results: Path, *more: Any) -> Done:
    words = ("--models", "tiny", "--epochs", 1, "--results", results)
    return cli("run", "--datasets", source(folder), *words, *more)


# info


def test_info_tells_counts_moments_and_shape(cli: Cli, whole: Path) -> None:
    facts = parsed(cli("data", "info", source(whole), "--json"))
    assert facts["task"] == "multi-class"
    assert facts["classes"] == 3
    assert facts["images"] == {"train": 102, "val": 12, "test": 18}
    assert set(facts["chosen"].values()) == {"official"}
    assert facts["warnings"] == []
    counts = {"train": 34, "val": 4, "test": 6}
    assert facts["class_counts"] == dict.fromkeys(CLASSES, counts)
    assert facts["stored_as"] == {"height": EDGE, "width": EDGE, "channels": 1}
    assert facts["heights"] == {"smallest": EDGE, "median": EDGE, "largest": EDGE}
    values = pixels(whole / "train") / 255
    assert facts["mean"] == pytest.approx([values.mean()], abs=1e-6)
    assert facts["std"] == pytest.approx([values.std()], abs=1e-6)
    assert Path(facts["folder"]).name == facts["fingerprint"]
    assert Path(facts["folder"]).is_dir()


def test_info_has_a_table_of_classes_for_people(cli: Cli, whole: Path) -> None:
    done = cli("data", "info", source(whole))
    assert done.code == 0
    assert done.err == ""
    facts, table = done.out.split("\n\n")
    rows = dict(line.split(maxsplit=1) for line in facts.splitlines())
    assert rows["task"] == "multi-class, 3 classes"
    assert rows["train"] == "102 images, official"
    assert rows["heights"] == rows["widths"] == f"all {EDGE} pixels"
    assert [line.split() for line in table.splitlines()] == [
        ["class", "train", "val", "test"],
        *([name, "34", "4", "6"] for name in CLASSES),
    ]


def test_info_of_images_of_several_sizes_and_colours(cli: Cli, tmp_path: Path) -> None:
    fill(tmp_path / "mixed", {"": 10})
    colour = Image.effect_noise((90, 60), 50).convert("RGB")
    colour.save(tmp_path / "mixed" / "two" / "photo.jpg")
    facts = parsed(cli("data", "info", source(tmp_path / "mixed"), "--json"))
    assert facts["heights"] == {"smallest": EDGE, "median": EDGE, "largest": 60}
    assert facts["widths"] == {"smallest": EDGE, "median": EDGE, "largest": 90}
    assert facts["stored_as"]["channels"] == len(facts["mean"]) == 3
    assert f"{EDGE} to 90 pixels" in cli("data", "info", source(tmp_path / "mixed")).out
    gray = cli("data", "info", source(tmp_path / "mixed"), "--color", "gray", "--json")
    assert parsed(gray)["stored_as"]["channels"] == 1


def test_info_says_where_splits_come_from(cli: Cli, pooled: Path) -> None:
    words = ("data", "info", source(pooled))
    facts = parsed(cli(*words, "--json"))
    assert facts["images"] == {"train": 77, "val": 19, "test": 24}
    assert "val          19 images, 0.2 of train, stratified" in cli(*words).out
    assert "77 images, what is left of train" in cli(*words).out


@pytest.mark.parametrize(
    ("flags", "images", "classes"),
    [
        (("--classes", "one,zero"), {"train": 68, "val": 8, "test": 12}, ["one", "zero"]),
        (("--fractions", "0.5,0.25,0.25"), {"train": 66, "val": 33, "test": 33}, [*CLASSES]),
        (("--limit", "9"), {"train": 9, "val": 9, "test": 9}, [*CLASSES]),
    ],
    ids=["classes", "fractions", "limit"],
)
def test_info_describes_what_a_run_would_use(
    cli: Cli, whole: Path, flags: tuple[str, ...], images: dict[str, int], classes: list[str]
) -> None:
    facts = parsed(cli("data", "info", source(whole), *flags, "--json"))
    assert facts["images"] == images
    assert list(facts["class_counts"]) == classes
    for split, count in images.items():
        assert sum(row[split] for row in facts["class_counts"].values()) == count


def test_the_fingerprint_is_that_of_a_run(cli: Cli, whole: Path, tmp_path: Path) -> None:
    facts = parsed(cli("data", "info", source(whole), "--json"))
    assert train(cli, whole, tmp_path / "results").code == 0
    [record] = Store(tmp_path / "results").records()
    assert record.spec.key["dataset"]["fingerprint"] == facts["fingerprint"]
    assert record.metrics["test"]["n"] == facts["images"]["test"]


def test_info_warns_of_what_comes_twice(cli: Cli, whole: Path) -> None:
    first = whole / "train" / "one" / "0.png"
    (whole / "test" / "one" / "copy.png").write_bytes(first.read_bytes())
    (whole / "train" / "two" / "copy.png").write_bytes(first.read_bytes())
    done = cli("data", "info", source(whole))
    assert done.code == 0
    assert "come more than once" in done.err
    assert done.err.count("\n") == 1


def test_info_leaves_bad_files_out_if_it_is_told_to(cli: Cli, whole: Path) -> None:
    (whole / "train" / "one" / "0.png").write_bytes(b"no image")
    refused = cli("data", "info", source(whole))
    assert refused.code == 3
    assert "0.png` is no image" in refused.err
    done = cli("data", "info", source(whole), "--on-bad", "skip", "--json")
    facts = parsed(done)
    assert facts["images"]["train"] == 101
    [warning] = facts["warnings"]
    assert "`train/one/0.png`" in warning
    assert "cannot be read" in warning


# show


def find(sheet: Any, left: int, picture: Any) -> bool:
    """Return whether a picture stands in the column that begins at a place."""
    strip = np.ascontiguousarray(sheet[:, left : left + SHOWN])
    return np.ascontiguousarray(picture).tobytes() in strip.tobytes()


def enlarged(folder: Path) -> Any:
    return pixels(folder).repeat(SHOWN // EDGE, 1).repeat(SHOWN // EDGE, 2)


FIRST = MARGIN + PADDING + (CELL - SHOWN) // 2


def test_show_draws_a_sheet_of_one_split(cli: Cli, whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "sheet.png"
    done = cli(
        "data", "show", source(whole), "--split", "val", "--count", 1, "--classes", "one,two", "-o",
        target,
    )  # fmt: skip
    assert done.code == 0
    assert done.out == ""
    assert done.err == f"{target}: 1 image of 8\n"
    sheet = np.asarray(Image.open(target).convert("L"))
    assert sheet.shape[1] >= 2 * MARGIN + CELL + 2 * PADDING
    assert any(find(sheet, FIRST, each) for each in enlarged(whole / "val"))
    assert not any(find(sheet, FIRST, each) for each in enlarged(whole / "train"))


def test_show_grows_with_the_count_and_ends_with_the_split(
    cli: Cli, whole: Path, tmp_path: Path
) -> None:
    sizes = []
    for count in (4, 40, 2000):
        target = tmp_path / f"{count}.png"
        done = cli("data", "show", source(whole), "--count", count, "-o", target)
        assert f": {min(count, 102)} images of 102" in done.err
        with Image.open(target) as sheet:
            sizes.append(sheet.width * sheet.height)
    assert sizes == sorted(set(sizes))


def test_show_is_the_same_again_and_another_with_another_seed(
    cli: Cli, whole: Path, tmp_path: Path
) -> None:
    def sheet(name: str, *flags: Any) -> bytes:
        target = tmp_path / name
        assert cli("data", "show", source(whole), "--count", 6, "-o", target, *flags).code == 0
        return target.read_bytes()

    assert sheet("a.png") == sheet("b.png")
    assert len({sheet("a.png"), sheet("c.png", "--seed", 1), sheet("d.png", "--random")}) == 3


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "webp"])
def test_show_writes_other_formats(cli: Cli, whole: Path, tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"sheet.{ending}"
    assert cli("data", "show", source(whole), "--count", 2, "-o", target).code == 0
    with Image.open(target) as sheet:
        assert sheet.format == {"jpg": "JPEG", "JPEG": "JPEG", "webp": "WEBP"}[ending]


def test_show_puts_the_mirrored_image_beside_its_original(
    cli: Cli, whole: Path, tmp_path: Path
) -> None:
    target = tmp_path / "sheet.png"
    done = cli(
        "data", "show", source(whole), "--count", 8, "--augment", "horizontal-flip", "-o", target
    )
    assert done.code == 0
    sheet = np.asarray(Image.open(target).convert("L"))
    step = 2 * (CELL + PADDING) + PADDING + MARGIN
    originals = enlarged(whole / "train")
    mirrored = same = 0
    for left in range(FIRST, sheet.shape[1] - CELL, step):
        beside = left + CELL + PADDING
        for picture in originals:
            if find(sheet, left, picture):
                flips, stays = (find(sheet, beside, p) for p in (picture[:, ::-1], picture))
                assert flips != stays
                mirrored, same = mirrored + flips, same + stays
    assert mirrored + same == 8
    assert mirrored
    assert same


def test_show_mixes_images(cli: Cli, whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"
    done = cli("data", "show", source(whole), "--count", 1, "--augment", "mixup", "-o", target)
    assert done.code == 0
    sheet = np.asarray(Image.open(target).convert("L"))
    originals = enlarged(whole / "train")
    assert any(find(sheet, FIRST, picture) for picture in originals)
    assert not any(find(sheet, FIRST + CELL + PADDING, picture) for picture in originals)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--augment", "mixip"), "no augmentation is called `mixip` (did you mean `mixup`?)"),
        (("-o", "sheet.xyz"), "ending is one of `.png`"),
        (("-o", "sheet"), "ending is one of `.png`"),
        (("--split", "tset"), "'tset' is not one of"),
        (("--count", "0"), "0 is not in the range"),
        (("--classes", "one,tow"), "did you mean `two`?"),
    ],
    ids=["augmentation", "ending", "no ending", "split", "count", "class"],
)
def test_show_refuses_in_one_line(
    cli: Cli,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("data", "show", source(whole), *flags)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_show_into_a_place_that_cannot_be_written_is_one_line(
    cli: Cli, whole: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = cli("data", "show", source(whole), "-o", tmp_path / "file" / "sheet.png")
    assert done.code == 3
    assert "cannot write" in done.err
    assert done.err.count("\n") == 1


# check


def damage(folder: Path) -> None:
    path = folder / "train" / "one" / "0.png"
    path.write_bytes(path.read_bytes()[:300])


def leak(folder: Path) -> None:
    path = folder / "train" / "one" / "0.png"
    (folder / "test" / "one" / "copy.png").write_bytes(path.read_bytes())


def contradict(folder: Path) -> None:
    path = folder / "train" / "one" / "0.png"
    (folder / "train" / "two" / "copy.png").write_bytes(path.read_bytes())


BROKEN: dict[Callable[[Path], None], tuple[str, str]] = {
    damage: ("unreadable", "broken: of 132 images, 1 cannot be read"),
    leak: ("leaks", "broken: of 133 images, 1 comes twice, in more than one split"),
    contradict: ("conflicts", "broken: of 133 images, 1 comes twice, under two labels"),
}


def test_check_of_a_sound_folder(cli: Cli, whole: Path) -> None:
    done = cli("data", "check", source(whole), "--input-size", EDGE)
    assert done.code == 0
    assert done.out == "sound: 132 images, all of them readable, none twice\n"
    assert done.err == ""
    found = parsed(cli("data", "check", source(whole), "--json"))
    assert found["files"] == 132
    assert [row["kind"] for row in found["warnings"]] == ["small images"]
    for kind in ("unreadable", "duplicates", "leaks", "conflicts"):
        assert found[kind] == []


def test_a_warning_alone_is_no_failure(cli: Cli, whole: Path) -> None:
    done = cli("data", "check", source(whole), "--input-size", 224)
    assert done.code == 0
    assert done.out.startswith("sound: ")
    assert "warning: 132 images with a shorter edge under the model's input of 224" in done.out
    assert done.err.startswith("nothing makes results wrong here")


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.__name__)
def test_check_of_a_broken_folder(cli: Cli, whole: Path, fault: Callable[[Path], None]) -> None:
    fault(whole)
    kind, answer = BROKEN[fault]
    done = cli("data", "check", source(whole))
    assert done.code == 1
    assert done.out.splitlines()[0] == answer
    assert "train/one/0.png" in done.out
    assert "--fix-list" in done.err
    assert ("--pictures" in done.err) == (fault is not damage)
    assert "Traceback" not in done.err
    as_json = cli("data", "check", source(whole), "--json")
    assert as_json.code == 1
    assert len(parsed_broken(as_json)[kind]) == 1


def parsed_broken(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.out)
    assert set(found) == {
        *("schema", "files", "unreadable", "duplicates", "leaks", "conflicts", "warnings")
    }
    return found


def test_what_the_fix_list_leaves_is_sound_and_trains(
    cli: Cli, whole: Path, tmp_path: Path
) -> None:
    leak(whole)
    contradict(whole)
    other = whole / "train" / "zero" / "3.png"
    other.write_bytes(other.read_bytes()[:200])
    listed = tmp_path / "out" / "fix.txt"
    done = cli("data", "check", source(whole), "--fix-list", listed)
    assert done.code == 1
    names = listed.read_text().splitlines()
    assert set(names) == {
        *("train/one/0.png", "train/two/copy.png", "test/one/copy.png", "train/zero/3.png")
    }
    assert f"`{listed}` names 4 to leave out" in done.err
    assert f"--exclude {listed}" in done.err
    again = cli("data", "check", source(whole), "--exclude", listed)
    assert again.code == 0
    facts = parsed(cli("data", "info", source(whole), "--exclude", listed, "--json"))
    assert facts["images"] == {"train": 100, "val": 12, "test": 18}
    run = train(cli, whole, tmp_path / "results", "--exclude", listed)
    assert run.code == 0
    assert "train 100, val 12, test 18" in run.err
    assert f"are left out by `{listed}`" in run.err


@pytest.mark.parametrize("name", ["#1 class", " blank", "ünï 日本", "a`b"])
def test_the_fix_list_names_files_of_odd_names(cli: Cli, pooled: Path, name: str) -> None:
    (pooled / "one").rename(pooled / name)
    (pooled / name / "0.png").write_bytes(b"no image")
    listed = pooled.parent / "fix.txt"
    assert cli("data", "check", source(pooled), "--fix-list", listed).code == 1
    done = cli("data", "check", source(pooled), "--exclude", listed)
    assert done.code == 0
    assert done.out.startswith("sound: 119 images")


def test_check_draws_what_it_found(cli: Cli, whole: Path, tmp_path: Path) -> None:
    leak(whole)
    contradict(whole)
    folder = tmp_path / "drawn"
    done = cli("data", "check", source(whole), "--pictures", folder)
    assert done.code == 1
    assert sorted(path.name for path in folder.iterdir()) == [
        *("conflicts.png", "exact-duplicates.png", "leaks.png")
    ]
    for path in folder.iterdir():
        with Image.open(path) as sheet:
            sheet.load()
            assert sheet.width >= 2 * 256
    assert f"pictures in `{folder}`: `conflicts.png`, `leaks.png`" in done.err


def test_check_of_arrays_offers_no_list_of_files(cli: Cli) -> None:
    done = cli("data", "check", "tiny")
    assert done.code == 0
    assert "--fix-list" not in done.err


def test_check_folds_long_lines_on_a_terminal_only(whole: Path) -> None:
    long = whole / "train" / "one" / f"{'a-long-name-' * 8}.png"
    (whole / "train" / "one" / "0.png").rename(long)
    (whole / "train" / "two" / "copy.png").write_bytes(long.read_bytes())
    words = [sys.executable, "-m", "bench", "data", "check", source(whole)]
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(words, stdout=theirs, stderr=subprocess.DEVNULL, env=env, timeout=100)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 1
    assert "\x1b[1m" in shown
    plain = subprocess.run(words, capture_output=True, text=True, env=env, timeout=100).stdout
    assert "\x1b" not in plain
    pair = [line for line in plain.splitlines() if "(one) and" in line]
    assert len(pair) == 1
    assert not any("(one)" in line for line in shown.splitlines() if long.name in line)
    assert len(shown.splitlines()) > len(plain.splitlines())


# what all three refuse


@pytest.mark.parametrize("verb", ["info", "show", "check"])
@pytest.mark.parametrize("place", ["missing", "a file", "empty"])
def test_a_place_without_images_is_one_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("x")
    (tmp_path / "empty").mkdir()
    done = cli("data", verb, source(tmp_path / place))
    assert done.code in (2, 3)
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert str(tmp_path / place) in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("verb", ["info", "show", "check"])
def test_an_unknown_dataset_is_one_line(cli: Cli, verb: str) -> None:
    done = cli("data", verb, "tinyy")
    assert done.code == 2
    assert "did you mean `tiny`?" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("verb", ["info", "check"])
def test_nothing_heavy_is_imported(whole: Path, verb: str) -> None:
    code, heavy, out = probe("data", verb, source(whole))
    assert code in (0, None)
    assert heavy == []
    assert out


# clean


def stored(cli: Cli, *folders: Path) -> list[Path]:
    """Store datasets and return where their images are."""
    found = []
    for folder in folders:
        facts = parsed(cli("data", "info", source(folder), "--json"))
        [variant] = [path for path in Path(facts["folder"]).iterdir() if path.is_dir()]
        found.append(variant)
    return found


def test_clean_spares_what_was_used_lately(
    cli: Cli, own_cache: Path, whole: Path, pooled: Path
) -> None:
    old, fresh = stored(cli, whole, pooled)
    long_ago = (old / "used").stat().st_mtime - 40 * DAY
    os.utime(old / "used", (long_ago, long_ago))
    dry = cli("clean", "--dry-run")
    assert dry.code == 0
    assert old.parent.name[:12] in dry.out
    assert fresh.parent.name[:12] not in dry.out
    assert "would be removed" in dry.err
    assert old.is_dir()
    assert f"0 B removed, {dry.err.split(', ')[1].split(' left')[0]}" in (
        cli("clean", "--older-than", 41).err
    )
    assert old.is_dir()
    done = cli("clean")
    assert done.code == 0
    assert done.out == dry.out
    assert not old.parent.exists()
    assert fresh.is_dir()


def test_clean_all_empties_the_cache(cli: Cli, own_cache: Path, whole: Path, pooled: Path) -> None:
    variants = stored(cli, whole, pooled)
    (own_cache / "data" / "some-set").mkdir(parents=True)
    (own_cache / "data" / "some-set" / "file").write_bytes(bytes(1000))
    (own_cache / "datasets" / ".writing-x").mkdir()
    sizes = {each: sum(p.stat().st_size for p in each.rglob("*")) for each in variants}
    expected = {str(path): size for path, size in sizes.items()}
    expected |= {str(own_cache / "data" / "some-set"): 1000}
    expected |= {str(own_cache / "datasets" / ".writing-x"): 0}

    dry = parsed(cli("clean", "--all", "--dry-run", "--json"))
    assert dry["dry_run"]
    assert {row["path"]: row["bytes"] for row in dry["removed"]} == expected
    assert dry["bytes"] == dry["left_bytes"] == sum(expected.values())
    assert all(variant.is_dir() for variant in variants)

    done = parsed(cli("clean", "--all", "--json"))
    assert not done["dry_run"]
    assert (done["bytes"], done["left_bytes"]) == (dry["bytes"], 0)
    assert [row["path"] for row in done["removed"]] == [row["path"] for row in dry["removed"]]
    assert not any(path.is_dir() for path in (own_cache / "datasets").iterdir())
    assert list((own_cache / "data").iterdir()) == []
    assert parsed(cli("clean", "--all", "--json"))["removed"] == []


def test_clean_of_no_cache_at_all(cli: Cli, own_cache: Path) -> None:
    done = cli("clean", "--all")
    assert done.code == 0
    assert done.out == ""
    assert done.err == f"0 B removed, 0 B left in `{own_cache}`\n"


def test_what_cannot_be_removed_is_one_line(cli: Cli, own_cache: Path, whole: Path) -> None:
    [variant] = stored(cli, whole)
    (variant / "about.json").unlink()
    (variant / "about.json").mkdir()
    done = cli("clean", "--all")
    assert done.code == 3
    assert f"cannot remove `{variant}`" in done.err
    assert done.err.count("\n") == 1


def test_a_negative_age_is_one_line(cli: Cli, own_cache: Path) -> None:
    done = cli("clean", "--older-than", "-1")
    assert done.code == 2
    assert done.err.count("\n") == 1


def test_what_was_cleaned_is_made_again_by_the_next_run(
    cli: Cli, whole: Path, tmp_path: Path
) -> None:
    [variant] = stored(cli, whole)
    before = {path.name: path.read_bytes() for path in variant.glob("*.npy")}
    assert cli("clean", "--all").code == 0
    assert not variant.exists()
    assert train(cli, whole, tmp_path / "results").code == 0
    assert {path.name: path.read_bytes() for path in variant.glob("*.npy")} == before


def test_check_looks_for_near_copies_unless_told_not_to(cli: Cli, tmp_path: Path) -> None:
    """Cells of one photograph of a flower, and one of them saved again with losses."""
    photograph = Image.fromarray(load_sample_images().images[1])
    for place in range(8):
        folder = tmp_path / "cells" / ("left" if place < 4 else "right")
        folder.mkdir(parents=True, exist_ok=True)
        cell = photograph.crop((70 * place, 60, 70 * place + 140, 200))
        cell.save(folder / f"{place}.png")
        if place == 2:
            cell.save(folder / "again.jpg", quality=80)
    found = parsed(cli("data", "check", source(tmp_path / "cells"), "--json"))["duplicates"]
    assert {"a": "left/2.png", "b": "left/again.jpg", "kind": "near"} in found
    without = parsed(cli("data", "check", source(tmp_path / "cells"), "--no-near", "--json"))
    assert without["duplicates"] == []
