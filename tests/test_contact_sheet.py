from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFont

from bench import contact_sheet as module
from bench.contact_sheet import MARGIN, PADDING, contact_sheet

RED, GREEN = (255, 0, 0), (0, 255, 0)


def plain(color: tuple[int, int, int], height: int, width: int) -> Any:
    return np.full((height, width, 3), color, np.uint8)


def extent(sheet: Image.Image, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return top, left, height and width of what has this colour."""
    rows, columns = np.nonzero((np.asarray(sheet) == color).all(-1))
    top, left = int(rows.min()), int(columns.min())
    return top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1


def test_the_grid_has_the_size_of_its_frames() -> None:
    images = [plain(RED, 10, 10)] * 5
    sheet = contact_sheet(images, [""] * 5, columns=2, cell=40)
    frame = 40 + 2 * PADDING
    assert sheet.mode == "RGB"
    assert sheet.size == (3 * MARGIN + 2 * frame, 4 * MARGIN + 3 * frame)


def test_a_small_picture_is_enlarged_by_a_whole_factor_and_stays_sharp() -> None:
    pixels = np.zeros((3, 2, 3), np.uint8)
    pixels[0, 0], pixels[2, 1] = RED, GREEN
    sheet = contact_sheet([pixels], [""], cell=100)
    assert extent(sheet, RED)[2:] == extent(sheet, GREEN)[2:] == (33, 33)
    assert extent(sheet, GREEN)[0] - extent(sheet, RED)[0] == 66


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((100, 400), (25, 100)), ((400, 100), (100, 25)), ((60, 60), (60, 60)), ((1, 500), (1, 100))],
)
def test_a_large_picture_keeps_its_shape(shape: tuple[int, int], shown: tuple[int, int]) -> None:
    sheet = contact_sheet([plain(RED, *shape)], [""], cell=100)
    top, left, height, width = extent(sheet, RED)
    assert (height, width) == shown
    assert top == MARGIN + PADDING + (100 - height) // 2
    assert left == MARGIN + PADDING + (100 - width) // 2


def test_pairs_stand_side_by_side_in_one_frame() -> None:
    images = [plain(RED, 40, 40), plain(GREEN, 40, 40)]
    sheet = contact_sheet(images, ["", ""], cell=40, pairs=True)
    assert sheet.size == (2 * MARGIN + 80 + 3 * PADDING, 2 * MARGIN + 40 + 2 * PADDING)
    red, green = extent(sheet, RED), extent(sheet, GREEN)
    assert red[0] == green[0]
    assert green[1] == red[1] + 40 + PADDING


def test_gray_pictures_are_drawn_as_they_are() -> None:
    ramp = np.arange(100, dtype=np.uint8).reshape(10, 10)
    one = contact_sheet([ramp], [""], cell=10)
    other = contact_sheet([ramp[..., None]], [""], cell=10)
    corner = MARGIN + PADDING
    shown = np.asarray(one)[corner : corner + 10, corner : corner + 10]
    assert (shown == ramp[..., None]).all()
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    "caption",
    [
        "x" * 1_000_000,
        "W" * 40,
        "two words " * 20,
        "日本語のとても長いファイル名" * 9,
        "\udcff\ud800 half",
        "a\x00b\x1b[31m\x7f\t\r\u2028c",
        "مرحبا 🙂 e\u0301",
        "a\nb\nc\nd\ne",
        "\n\n\n",
    ],
)
def test_any_caption_stays_in_its_cell(caption: str) -> None:
    images = [plain(RED, 50, 50)] * 2
    sheet = np.asarray(contact_sheet(images, [caption, ""], columns=2, cell=50))
    frame = 50 + 2 * PADDING
    between = sheet[:, MARGIN + frame : 2 * MARGIN + frame]
    assert (between == 255).all()
    second = sheet[MARGIN + PADDING + 50 : -MARGIN - 1, 2 * MARGIN + frame + 1 : -MARGIN - 1]
    assert (second == 255).all()


def test_a_caption_is_drawn_below_its_picture_and_cut_with_an_ellipsis() -> None:
    font = module._font(12)
    cut = module._shortened("a rather long caption", font, 60)
    assert cut.endswith("…")
    assert cut[:-1] == "a rather long caption"[: len(cut) - 1]
    assert font.getlength(cut) <= 60
    assert module._shortened("short", font, 60) == "short"
    assert module._shortened("short", font, 1) == ""
    images = [plain(RED, 50, 50)]
    sheet = np.asarray(contact_sheet(images, ["caption"], cell=50))
    below = sheet[MARGIN + PADDING + 50 : -MARGIN - 1, MARGIN + 1 : -MARGIN - 1]
    assert (below < 128).any()


def test_a_second_line_makes_frames_higher_up_to_three() -> None:
    heights = [
        contact_sheet([plain(RED, 9, 9)], ["\n".join("x" * n)], cell=30).height for n in range(6)
    ]
    assert heights[0] < heights[1] < heights[2] < heights[3]
    assert heights[3] == heights[4] == heights[5]


def test_a_title_stands_above_and_is_cut_to_the_sheet() -> None:
    images = [plain(RED, 30, 30)]
    bare = contact_sheet(images, [""], cell=30)
    titled = contact_sheet(images, [""], cell=30, title="flowers of train")
    assert titled.height > bare.height
    assert titled.width > bare.width
    assert contact_sheet(images, [""], cell=30, title="t" * 10_000).width == 600


def test_the_sheet_is_wider_than_high_and_not_too_wide() -> None:
    for count in (1, 7, 40, 300):
        sheet = contact_sheet([plain(RED, 8, 8)] * count, ["x"] * count)
        assert sheet.width <= 2400
        if count in (7, 40):
            assert sheet.height < sheet.width


def test_no_pictures_make_an_empty_sheet() -> None:
    assert contact_sheet([], []).size == (2 * MARGIN + 128 + 2 * PADDING, MARGIN)


def test_a_picture_without_pixels_leaves_its_place_empty() -> None:
    sheet = contact_sheet([np.zeros((0, 4), np.uint8), plain(RED, 9, 9)], ["a", "b"], columns=2)
    assert extent(sheet, RED)[1] > sheet.width // 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": [plain(RED, 2, 2)], "captions": []}, "1 images have 0 captions"),
        ({"images": [plain(RED, 2, 2)], "captions": [""], "pairs": True}, "no pairs"),
        ({"images": [np.zeros((2, 2))], "captions": [""]}, "float64"),
        ({"images": [np.zeros((2, 2, 4), np.uint8)], "captions": [""]}, r"\(2, 2, 4\)"),
        ({"images": [], "captions": [], "cell": 0}, "cell is 0"),
        ({"images": [], "captions": [], "columns": 0}, "columns 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contact_sheet(**arguments)


def test_it_works_with_the_bitmap_font_of_a_pillow_without_freetype(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bitmap = ImageFont.load_default_imagefont()

    def load_default(size: float | None = None) -> Any:
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return bitmap

    monkeypatch.setattr(ImageFont, "load_default", load_default)
    sheet = contact_sheet([plain(RED, 9, 9)], ["日本 long enough to be cut …" * 3], title="t…")
    assert sheet.width > 100
