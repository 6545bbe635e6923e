"""The pictures that are told of a run: what it got wrong, what it doubted, where it looked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench import pictures
from bench.records import RunRecord
from bench.report import answer_charts
from bench.report.content import Confused, Picture
from bench.report.gallery import Gallery, Pixels
from bench.report.shelf import Shelf
from bench.specs import Answers, Task
from bench.text import one_line

WRONG = 12
DOUBTFUL = 12
SEEN = 8
EACH = 6
"""Pictures behind a cell of the confusion matrix."""
IN_CELLS = 60
"""Pictures behind all cells of a run."""
TRIED = 200
"""Items among which those are looked for that any run has left a picture of."""
LISTED = 4
"""Labels of an image that a caption names."""


@dataclass(frozen=True)
class RunPictures:
    """The pictures of a run.

    Attributes:
        notes: what could not be shown, and why.
    """

    wrong: tuple[Picture, ...] = ()
    doubtful: tuple[Picture, ...] = ()
    seen: tuple[Picture, ...] = ()
    confused: tuple[Confused, ...] = ()
    layer: str = ""
    notes: tuple[str, ...] = ()


def of(
    record: RunRecord, answers: Answers, split: str, prefix: str, gallery: Gallery, shelf: Shelf
) -> RunPictures:
    """Choose pictures by what was said of them, and put them on the shelf.

    Args:
        record: of the run.
        answers: what it said of a split.
        split: its name.
        prefix: begins the links of confused cells.
        gallery: has the pictures.
        shelf: takes those that are shown, the worst mistakes first.
    """
    hanging = _Hanging(answers, shelf)
    worst = pictures.worst(answers, TRIED).tolist()
    doubted = pictures.most_doubtful(answers, TRIED).tolist()
    mistakes = answers.ids[~answers.right].tolist()
    wanted = {*worst, *doubted, *mistakes}
    found = gallery.find(record, wanted, split)
    wrong = hanging.hang(worst, found, WRONG)
    own = gallery.own(record)
    seen: tuple[Picture, ...] = ()
    if own is not None and own.split == split:
        maps = dict(zip(own.map_ids.tolist(), own.maps, strict=True))
        images = dict(zip(own.ids.tolist(), own.images, strict=True))
        seen = hanging.hang([*maps], images, SEEN, maps)
    confused: tuple[Confused, ...] = ()
    if answers.task is not Task.MULTI_LABEL:
        confused = tuple(_confused(answers, worst, found, prefix, hanging))
    doubtful = hanging.hang(doubted, found, DOUBTFUL)
    notes = []
    error = one_line(str(record.environment.get("pictures_error") or ""))
    if wanted and not found:
        notes.append(_lacking(record, split, error))
    elif error:
        notes.append(f"The run could not keep all pictures ({error}).")
    if found and own is None:
        notes.append("It has left no pictures of its own; shown are those that other runs left.")
    if hanging.missing:
        notes.append(f"{hanging.missing} more pictures found no room in the report.")
    layer = own.layer if own is not None and seen else ""
    return RunPictures(wrong, doubtful, seen, confused, layer, tuple(notes))


def caption(answers: Answers, place: int) -> str:
    """Return what an item is and what was said of it: `boot, taken for sneaker at 98 %`.

    Args:
        answers: of a split.
        place: of the item among them.
    """
    if answers.task is Task.MULTI_LABEL:
        truth = _labels(answers, answers.labels[place])
        return (
            truth
            if answers.right[place]
            else f"{truth}; said {_labels(answers, answers.predicted[place])}"
        )
    true, said = int(answers.labels[place]), int(answers.predicted[place])
    name = answer_charts.name_of(answers, true)
    verb = "recognised" if true == said else f"taken for {answer_charts.name_of(answers, said)}"
    if answers.probabilities is None:
        return f"{name}, {verb}"
    shares = answers.probabilities[place].astype(np.float64)
    text = f"{name}, {verb} at {_percent(shares[said])}"
    others = np.argsort(-shares, kind="stable")
    second = next((int(each) for each in others if each != said), said)
    if second != said and shares[second] >= 0.2:
        next_name = answer_charts.name_of(answers, second)
        text += f" ({next_name} {_percent(shares[second])})"
    return text


class _Hanging:
    """Puts pictures on the shelf and writes captions below them.

    Attributes:
        missing: how many were to be shown and found no room.
    """

    def __init__(self, answers: Answers, shelf: Shelf) -> None:
        self.missing = 0
        self._answers = answers
        self._shelf = shelf
        self._places = {each: place for place, each in enumerate(answers.ids.tolist())}

    def hang(
        self,
        ids: Iterable[int],
        images: dict[int, Pixels],
        limit: int,
        maps: dict[int, npt.NDArray[np.uint8]] | None = None,
    ) -> tuple[Picture, ...]:
        """Return the first pictures of items of which there are any, at most `limit`."""
        wanted = [each for each in ids if each in images and each in self._places][:limit]
        hung: list[Picture] = []
        for each in wanted:
            place = self._places[each]
            key = self._shelf.put(images[each])
            overlay = self._shelf.put_map(maps[each]) if maps and key else ""
            if key is not None and overlay is not None:
                right = bool(self._answers.right[place])
                hung.append(Picture(key, caption(self._answers, place), right, overlay))
        self.missing += len(wanted) - len(hung)
        return tuple(hung)


def _confused(
    answers: Answers,
    worst: Sequence[int],
    found: dict[int, Pixels],
    prefix: str,
    hanging: _Hanging,
) -> Iterable[Confused]:
    """Yield the cells of which there are pictures, those that are confused most often first."""
    order = {each: place for place, each in enumerate(worst)}
    cells: dict[tuple[int, int], list[int]] = {}
    for place in np.flatnonzero(~answers.right):
        cell = (int(answers.labels[place]), int(answers.predicted[place]))
        cells.setdefault(cell, []).append(int(answers.ids[place]))
    n = np.bincount(answers.labels.astype(np.int64), minlength=len(answers.names))
    left = IN_CELLS
    for (true, said), ids in sorted(cells.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        ids.sort(key=lambda each: (order.get(each, len(order)), each))
        missing = hanging.missing
        shown = hanging.hang(ids, found, min(EACH, left))
        left -= len(shown) + hanging.missing - missing
        if not shown:
            continue
        names = (answer_charts.name_of(answers, each) for each in (true, said))
        title = f"{' taken for '.join(names)}: {len(ids):,} of {int(n[true]):,}"
        yield Confused(answer_charts.link(prefix, true, said), title, shown, len(ids))


def _lacking(record: RunRecord, split: str, error: str) -> str:
    """Return why there are no pictures, and what helps if anything does."""
    if split != "test":
        return f"No pictures: runs keep them of test items, and these are of {split}."
    if record.spec.members:
        return "No pictures: an ensemble leaves none, and its members have not left any."
    if error:
        return f"No pictures: the run could not keep them ({error})."
    # Booked by every run that was to keep some.
    if "pictures_seconds" in record.timing:
        return (
            "No pictures: those that the run has left are gone or cannot be read; trained again "
            "with `--rerun` it leaves new ones."
        )
    return (
        "No pictures: the run was not asked for any, as with `--pictures none`; trained again with "
        "`--rerun --pictures auto` it leaves some."
    )


def _labels(answers: Answers, row: npt.NDArray[np.generic]) -> str:
    places = np.flatnonzero(row).tolist()
    names = [answer_charts.name_of(answers, place) for place in places[:LISTED]]
    more = [f"{len(places) - LISTED} more"] if len(places) > LISTED else []
    return ", ".join([*names, *more]) or "nothing"


def _percent(share: float) -> str:
    """Return a probability as a caption says it; certainty only where it is one."""
    if share < 1 and round(100 * share) == 100:
        return "over 99 %"
    return f"{100 * share:.0f} %"
