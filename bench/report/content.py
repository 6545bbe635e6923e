"""The content of a report: plain data that every format renders in its own way.

All text is as it came, names of plugins and classes among it: escaping belongs to the formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.charts import Chart

Facts = tuple[tuple[str, str], ...]
"""Names and values, in their order."""


@dataclass(frozen=True)
class Value:
    """A cell of a table.

    Attributes:
        text: as it is read.
        sort: what it is sorted by; None comes last either way.
        hover: what pointing at it says besides.
        link: the id of the part of the report that it leads to.
    """

    text: str
    sort: float | str | None = None
    hover: str = ""
    link: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: of its values in `Row.cells`; unique in its table.
        numeric: whether its values are numbers, which stand to the right.
    """

    name: str
    heading: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table without ranks.

    Attributes:
        rows: a value for each column.
        note: what a reader must know of it.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a leaderboard.

    Attributes:
        id: of this part of the report; unique.
        rank: None where no run succeeded.
        tie_group: equal for rows that cannot be told apart from their group's best.
        label: the shortest name that tells it from the other rows of its block.
        cells: by column.
        interval: mean, low and high of the score, 0 to 1; None where there is none.
        errors: one line for each way in which runs of it failed.
        runs: ids of its runs.
        part: the id of the `RunPart` that tells of one of its runs; empty where none does.
        tuned: whether its params are those that a search chose.
        default: the score of the same method with its default params, like `interval`; None where
            this row is not tuned or that was not run.
    """

    id: str
    rank: int | None
    tie_group: int | None
    label: str
    cells: Mapping[str, Value]
    interval: tuple[float, float, float] | None = None
    errors: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    part: str = ""
    tuned: bool = False
    default: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Significance:
    """Which methods of a block can be told apart, pair by pair.

    Attributes:
        chart: rows against columns.
        table: the same as text: each pair with its difference, interval, p-value and test.
        note: how it was tested and corrected.
    """

    chart: Chart
    table: Table
    note: str


@dataclass(frozen=True)
class Block:
    """The rows of one dataset and protocol, ranked, with what is drawn of them.

    Attributes:
        id: of this part of the report; unique.
        answer: one sentence: which row to choose, or that they cannot be told apart.
        footnote: what a reader must know of the numbers.
        columns: those beside rank, label, interval and errors, which every format shows by itself.
        axis: the least and the greatest value that intervals are drawn between.
        rows: best first; those that failed come last.
        left_out: how many rows of the block the report does not show.
        tradeoffs: the score against what it costs.
        learning: curves, gaps, optimizers side by side.
        reached: the time to a target of each method; None where it cannot be told.
        not_drawn: titles of charts that found no room among those of many blocks.
    """

    id: str
    title: str
    dataset: str
    answer: str
    footnote: str
    metric: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    axis: tuple[float, float] = (0.0, 1.0)
    left_out: int = 0
    tradeoffs: tuple[Chart, ...] = ()
    learning: tuple[Chart, ...] = ()
    reached: Table | None = None
    significance: Significance | None = None
    not_drawn: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """A picture as a file.

    Attributes:
        data: the bytes of a PNG, JPEG or WebP file.
        media: its media type, `image/png` and so on.
        width: pixels.
        height: pixels.
    """

    data: bytes
    media: str
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """An item of a dataset as a reader sees it.

    Attributes:
        image: its key in `Content.images`.
        caption: what it is, and what was said of it.
        right: whether that was right; None where nothing was said.
        overlay: the key of a map of the same size to be laid over it; empty for none.
    """

    image: str
    caption: str
    right: bool | None = None
    overlay: str = ""


@dataclass(frozen=True)
class Confused:
    """The images behind a cell of a confusion matrix.

    Attributes:
        link: the `link` of the cell.
        title: `shirt taken for coat: 31 of 100`.
        pictures: some of them, at least one.
        count: how many there are.
    """

    link: str
    title: str
    pictures: tuple[Picture, ...]
    count: int


@dataclass(frozen=True)
class RunPart:
    """What is told of one run.

    Attributes:
        id: of this part of the report; unique. `run` is the run's own id.
        label: the method, and the seed.
        row: the id of the row that it belongs to.
        sentence: what its curves say of its fit.
        charts: curves, confusion matrix, ROC and precision-recall curves, reliability.
        confused: by cell of the confusion matrix.
        classes: precision, recall and so on of each class.
        wrong: the worst mistakes.
        doubtful: the most doubtful items.
        seen: where the network looked, with overlays.
        settings: params and protocol.
        environment: versions, device, threads.
        provenance: content, code, times.
        command: what trains it again; empty where that cannot be told.
        notes: what could not be shown, and why.
        status: how it ended: `ok`, `diverged` and so on.
        log: the last lines of its log, of a run that did not end well.
        layer: the layer of the network that the maps in `seen` are of.
    """

    id: str
    run: str
    label: str
    row: str
    sentence: str = ""
    charts: tuple[Chart, ...] = ()
    confused: tuple[Confused, ...] = ()
    classes: Table | None = None
    wrong: tuple[Picture, ...] = ()
    doubtful: tuple[Picture, ...] = ()
    seen: tuple[Picture, ...] = ()
    settings: Facts = ()
    environment: Facts = ()
    provenance: Facts = ()
    command: str = ""
    notes: tuple[str, ...] = ()
    status: str = "ok"
    log: tuple[str, ...] = ()
    layer: str = ""


@dataclass(frozen=True)
class DatasetPart:
    """What is told of a dataset.

    Attributes:
        counts: images of each class by split.
        samples: a few images of each class.
        warnings: what the check of the dataset found; the first line says if there was none.
    """

    id: str
    name: str
    facts: Facts = ()
    counts: Table | None = None
    samples: tuple[Picture, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyPart:
    """What is told of the tuning of a cell.

    Attributes:
        charts: history, importances, parallel coordinates, expected best.
        trials: the best of them.
    """

    id: str
    title: str
    answer: str
    facts: Facts = ()
    charts: tuple[Chart, ...] = ()
    trials: Table | None = None


@dataclass(frozen=True)
class Settings:
    """The settings of rows, so that any two can be compared.

    Attributes:
        rows: ids of rows, with what to call each.
        common: what all rows of the report have alike; versions and sources those of `rows`.
        own: by row, what is not; a setting that a row lacks is absent.
        left_out: how many further rows of the report it does not tell of.
    """

    rows: tuple[tuple[str, str], ...] = ()
    common: Facts = ()
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    left_out: int = 0


@dataclass(frozen=True)
class Finding:
    """Something that holds over several blocks, with its picture."""

    title: str
    sentence: str
    chart: Chart | None = None


@dataclass(frozen=True)
class Content:
    """All that a report tells.

    Attributes:
        title: what it is of.
        made: when, UTC.
        version: of bench.
        counts: runs, methods, failures, in a sentence.
        findings: mean ranks over datasets, learning rates over optimizers.
        images: pictures by key, each once however often it is shown.
        warnings: what could not be read.
        refresh: seconds after which there may be a newer one in its place; None where it is not
            written again.
    """

    title: str
    made: str
    version: str
    counts: str
    blocks: tuple[Block, ...] = ()
    findings: tuple[Finding, ...] = ()
    datasets: tuple[DatasetPart, ...] = ()
    studies: tuple[StudyPart, ...] = ()
    runs: tuple[RunPart, ...] = ()
    settings: Settings = Settings()
    images: Mapping[str, Image] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refresh: float | None = None
