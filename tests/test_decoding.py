from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bad_images import UNREADABLE, bomb, write_odd, write_unreadable
from PIL import Image, ImageFile

from bench import decoding
from bench.decoding import UnreadableImage, fit, read_header, read_image, with_channels


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    write_unreadable(folder)
    return folder


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_odd(tmp_path_factory.mktemp("odd"))


# What is refused


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_bad_file_is_refused_by_name_in_one_line(bad: Path, name: str) -> None:
    with pytest.raises(UnreadableImage) as caught:
        read_image(bad / name)
    message = str(caught.value)
    assert message.startswith(f"`{bad / name}` ")
    assert UNREADABLE[name] in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["truncated.jpg", "truncated.png"])
def test_half_a_picture_is_refused_whatever_another_library_set(
    bad: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(UnreadableImage, match="damaged"):
        read_image(bad / name)


def test_a_bomb_is_small_and_is_refused_by_its_header(bad: Path) -> None:
    assert 20_000 < len(bomb()) < 30_000
    with pytest.raises(UnreadableImage, match="decompression bomb"):
        read_header(bad / "bomb.png")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"gone\.png` is not there"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(UnreadableImage, match="cannot be read: Is a directory"):
        read_image(tmp_path)


# What is read


def test_every_odd_file_is_read_and_its_header_agrees(odd: dict[str, Path]) -> None:
    for path in odd.values():
        pixels, header = read_image(path), read_header(path)
        assert pixels.dtype == np.uint8
        assert pixels.shape[:2] == (header.height, header.width)
        assert (pixels.ndim == 2) == header.gray


def test_cmyk_becomes_the_colour_that_it_shows(odd: dict[str, Path]) -> None:
    red, green, blue = read_image(odd["cmyk"]).reshape(-1, 3).mean(0)
    assert red > 150
    assert green < 80
    assert blue < 80


def test_what_is_transparent_is_white(odd: dict[str, Path]) -> None:
    palette = read_image(odd["palette"])
    assert palette[0, 0].tolist() == [255] * 3
    assert palette[1, 1].tolist() == [10, 200, 10]
    rgba = read_image(odd["rgba"])
    assert rgba[0, 0].tolist() == [255] * 3
    assert rgba[0, 7].tolist() == [0, 0, 255]
    assert (read_image(odd["gray-alpha"]) == 255).all()


def test_sixteen_bits_keep_their_upper_eight(odd: dict[str, Path]) -> None:
    assert (read_image(odd["gray16"]) == 0x80).all()


def test_more_than_sixteen_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.tiff"
    Image.fromarray(np.full((4, 4), 100_000, np.int32)).save(path)
    with pytest.raises(UnreadableImage, match="more than 16 bits"):
        read_image(path)


def test_a_turned_picture_is_turned_back(odd: dict[str, Path]) -> None:
    pixels = read_image(odd["exif"])
    assert pixels.shape == (8, 6, 3)
    assert pixels[:, 4:].mean() > 200
    assert pixels[:, :2].mean() < 50


def test_of_an_animation_the_first_frame_counts(odd: dict[str, Path]) -> None:
    assert read_image(odd["animated"])[0, 0].tolist() == [255, 0, 0]
    assert read_header(odd["animated"]).frames == 2


def test_one_bit_is_black_and_white(odd: dict[str, Path]) -> None:
    pixels = read_image(odd["one-bit"])
    assert pixels.ndim == 2
    assert (pixels == 255).all()


# Channels and sizes


def test_channels() -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert with_channels(gray, 1).shape == (3, 4, 1)
    np.testing.assert_array_equal(with_channels(gray, 3)[..., 2], gray)
    colour = np.zeros((3, 4, 3), np.uint8)
    colour[..., 1] = 255
    assert with_channels(colour, 1).tolist() == [[[150]] * 4] * 3
    assert with_channels(gray[..., None], 3).shape == (3, 4, 3)


@pytest.mark.parametrize("shape", [(10, 30), (30, 10, 3), (7, 7), (1, 100, 3)])
@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_fit_gives_the_size_asked_for(shape: tuple[int, ...], resize: decoding.Resize) -> None:
    pixels = np.full(shape, 200, np.uint8)
    fitted = fit(pixels, 8, resize)
    assert fitted.shape == (8, 8, *shape[2:])
    if resize == "pad" and shape[0] != shape[1]:
        assert fitted.min() == 0
    else:
        assert fitted.min() == 200
    assert fitted.max() == 200
