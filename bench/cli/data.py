"""`bench data`: what a dataset holds, what it looks like, and what is wrong with it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from bench import datastore, downloads, files, intake, selection
from bench.cli.common import (
    NamedPath,
    check_picture,
    complete_names,
    json_option,
    print_json,
    print_warnings,
    progress_bar,
    registry_with_warnings,
    save_picture,
)
from bench.cli.fields import field_options
from bench.config import ExperimentConfig
from bench.foreign_code import stdout_to_stderr
from bench.plan import PlannedDataset, plan_dataset
from bench.registry import Registry
from bench.selection import Selection, Subset
from bench.stored import Images, Indices, StoredDataset, channel_statistics
from bench.text import listing, one_line
from bench.words import parse_set

if TYPE_CHECKING:
    from bench.inspection import Inspection

LOADING = ("set", "data_dir", "exclude", "offline")
SEEING = (
    *("input_size", "resize", "color", "task", "classes", "fractions", "val", "split_seed"),
    *("limit", "on_bad"),
)
SPLITS = click.Choice(intake.SPLITS)


@click.group("data", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look at a dataset before anything is trained on it.

    DATASET is a name (`bench list datasets`) or a source with a path, as `folder:PATH`.
    """


dataset_argument = click.argument("dataset", shell_complete=complete_names("dataset"))


@command.command("info")
@dataset_argument
@field_options(*LOADING, *SEEING)
@json_option
def info(dataset: str, as_json: bool, **flags: Any) -> None:
    """Show sizes, channels, classes, counts by split, mean and std, fingerprint."""
    _, planned = _planned(dataset, flags)
    stored, chosen = _prepared(planned, flags)
    note = datastore.remember(planned.offer, planned.ref, planned.request) or {}
    facts = _facts(planned, stored, chosen, note)
    said = datastore.notes(planned.offer, planned.ref, planned.request)
    if as_json:
        print_json({"schema": 1, **facts, "warnings": said})
        return
    for name, text in _rows(facts):
        click.echo(f"{name:<13}{one_line(text, 2000)}")
    click.echo()
    names = {name: one_line(name, 60) for name in facts["class_counts"]}
    width = max(len("class"), *map(len, names.values()))
    click.echo("class".ljust(width) + "".join(f"{split:>9}" for split in intake.SPLITS))
    for name, by_split in facts["class_counts"].items():
        numbers = "".join(f"{by_split[split]:>9,}" for split in intake.SPLITS)
        click.echo(f"{names[name].ljust(width)}{numbers}")
    print_warnings(said)


@command.command("show")
@dataset_argument
@click.option("-o", "--output", type=NamedPath(path_type=Path), default=Path("grid.png"))
@click.option("--split", type=SPLITS, default="train", show_default=True, help="Which images.")
@click.option("--count", type=click.IntRange(1, 2000), default=40, show_default=True)
@click.option("--random", "at_random", is_flag=True, help="Any images; else as many of each class.")
@click.option("--augment", metavar="NAME", help="Show each image beside what this makes of it.")
@click.option("--epoch", type=click.IntRange(1), default=1, help="Epoch to augment for.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Which images, and which changes.")
@field_options(*LOADING, *SEEING, "image_kind")
def show(
    dataset: str,
    output: Path,
    split: str,
    count: int,
    at_random: bool,
    augment: str | None,
    epoch: int,
    seed: int,
    **flags: Any,
) -> None:
    """Draw a labelled contact sheet of some images."""
    check_picture(output)
    registry, planned = _planned(dataset, flags, augment)
    stored, chosen = _prepared(planned, flags)
    subset: Subset = getattr(chosen, split)
    positions = _positions(subset, count, at_random, seed)
    called = _called(planned, stored, subset)
    captions = [
        "\n".join([_caption(subset.labels[place], chosen.classes), *called[place : place + 1]])
        for place in positions
    ]
    images = stored.images(subset.split)
    if augment is None:
        pictures = [_flat(image) for image in images[subset.ids[positions]]]
        sheet = _sheet(pictures, captions, f"{planned.ref.name}, {split}", pairs=False)
    else:
        pairs = _augmented(registry, planned, images, subset, positions, seed, epoch)
        doubled = [word for caption in captions for word in (caption, augment)]
        title = f"{planned.ref.name}, {split}: as they are, and with {augment}"
        sheet = _sheet(pairs, doubled, title, pairs=True)
    save_picture(sheet, output)
    noun = "image" if len(positions) == 1 else "images"
    click.echo(f"{output}: {len(positions):,} {noun} of {len(subset):,}", err=True)


@command.command("check")
@dataset_argument
@click.option(
    "--pictures",
    type=NamedPath(path_type=Path, file_okay=False),
    help="Folder for pictures of the worst finds.",
)
@click.option(
    "--fix-list",
    type=NamedPath(path_type=Path, dir_okay=False),
    help="Write the files to leave out, for `bench run --exclude`.",
)
@click.option(
    "--near/--no-near",
    default=True,
    help="Look for near duplicates too; not where all pictures are alike, as of a fixed camera.",
)
@field_options(*LOADING, "input_size")
@json_option
def check(
    dataset: str,
    pictures: Path | None,
    fix_list: Path | None,
    near: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Find damaged files, duplicates, leaks between splits, wrong labels and odd sizes.

    Exit code 1 where something is broken: files that cannot be read, the same image in two splits
    or under two labels.
    """
    from bench.inspection import inspect

    _, planned = _planned(dataset, flags)
    with stdout_to_stderr(), downloads.offline(bool(flags.get("offline"))):
        splits, where = datastore.load(planned.offer, planned.ref, planned.request.data_dir)
        splits, _, _ = intake.leave_out(splits, datastore.excluded(planned.request), where)
        intake.receive(splits, where)
        with progress_bar("checking") as progress:
            size = planned.request.size
            found = inspect(splits, near=near, input_size=size, progress=progress)
    if pictures is not None:
        written = found.write_pictures(pictures)
        names = listing([path.name for path in written]) or "nothing to draw"
        click.echo(f"pictures in `{pictures}`: {names}", err=True)
    if fix_list is not None:
        lines = _exclude_list(found)
        files.write_text(fix_list, "".join(f"{line}\n" for line in lines))
        click.echo(f"`{fix_list}` names {len(lines):,} to leave out", err=True)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_findings(found)
        if found.summary():
            click.echo(_next_step(found, fix_list, dataset), err=True)
    return 1 if found.broken else 0


def _planned(
    dataset: str, flags: dict[str, Any], augment: str | None = None
) -> tuple[Registry, PlannedDataset]:
    registry = registry_with_warnings()
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    overrides = parse_set(given.pop("set", ()))
    given |= {"datasets": [dataset], **({"set": overrides} if overrides else {})}
    if augment is not None:
        given["augmentation"] = augment
    config = ExperimentConfig.create(given, "the command line")
    return registry, plan_dataset(config, registry)


def _prepared(planned: PlannedDataset, flags: dict[str, Any]) -> tuple[StoredDataset, Selection]:
    """Store the dataset, if need be with a bar, and choose the items of its splits."""
    offline = downloads.offline(bool(flags.get("offline")))
    with stdout_to_stderr(), offline, progress_bar("reading") as progress:
        stored = datastore.prepare(planned.offer, planned.ref, planned.request, progress, progress)
    where = f"dataset `{planned.ref.name}`"
    return stored, selection.select(stored, planned.fields, where)


def _facts(
    planned: PlannedDataset, stored: StoredDataset, chosen: Selection, note: dict[str, Any]
) -> dict[str, Any]:
    splits = {split: getattr(chosen, split) for split in intake.SPLITS}
    mean, std = channel_statistics(stored.images(chosen.train.split), chosen.train.ids)
    spread = ("smallest", "median", "largest")
    return {
        "dataset": planned.ref.name,
        "task": str(chosen.task),
        "classes": len(chosen.classes),
        "images": {split: len(subset) for split, subset in splits.items()},
        "chosen": {split: subset.origin for split, subset in splits.items()},
        "unlabelled": note.get("unlabelled", 0),
        "heights": dict(zip(spread, note.get("heights", ()), strict=False)),
        "widths": dict(zip(spread, note.get("widths", ()), strict=False)),
        "stored_as": dict(zip(("height", "width", "channels"), stored.image_shape, strict=True)),
        "mean": mean,
        "std": std,
        "fingerprint": stored.fingerprint,
        "folder": str(stored.folder),
        "class_counts": {
            name: {split: _count(subset, index) for split, subset in splits.items()}
            for index, name in enumerate(chosen.classes)
        },
    }


def _count(subset: Subset, index: int) -> int:
    labels = subset.labels
    return int((labels == index).sum() if labels.ndim == 1 else labels[:, index].sum())


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the facts as a person reads them."""
    shape = " × ".join(str(length) for length in facts["stored_as"].values())
    rows = [("dataset", facts["dataset"]), ("task", f"{facts['task']}, {facts['classes']} classes")]
    for split, count in facts["images"].items():
        rows.append((split, f"{count:,} images, {facts['chosen'][split]}"))
    if facts["unlabelled"]:
        rows.append(("unlabelled", f"{facts['unlabelled']:,} images, not used"))
    for edge in ("heights", "widths"):
        if facts[edge]:
            rows.append((edge, _spread(facts[edge])))
    return [
        *rows,
        ("stored as", f"{shape} (height, width, channels)"),
        ("mean", ", ".join(f"{value:.4f}" for value in facts["mean"])),
        ("std", ", ".join(f"{value:.4f}" for value in facts["std"])),
        ("fingerprint", facts["fingerprint"]),
        ("folder", facts["folder"]),
    ]


def _spread(lengths: dict[str, int]) -> str:
    if len(set(lengths.values())) == 1:
        return f"all {lengths['median']:,} pixels"
    low, middle, high = (f"{lengths[name]:,}" for name in ("smallest", "median", "largest"))
    return f"{low} to {high} pixels, median {middle}"


def _positions(subset: Subset, count: int, at_random: bool, seed: int) -> Indices:
    """Return which items to show: at random, or the same number of each class, side by side."""
    generator = np.random.default_rng(seed)
    if at_random:
        return np.sort(generator.permutation(len(subset))[:count])
    labels = subset.labels
    groups = labels if labels.ndim == 1 else labels.dot(1 << np.arange(labels.shape[1]) % 60)
    members = [generator.permutation(np.flatnonzero(groups == each)) for each in np.unique(groups)]
    shares = np.zeros(len(members), int)
    while shares.sum() < min(count, len(subset)):
        for place, group in enumerate(members):
            if shares[place] < len(group) and shares.sum() < count:
                shares[place] += 1
    return np.concatenate([g[:share] for g, share in zip(members, shares, strict=True)])


def _called(planned: PlannedDataset, stored: StoredDataset, subset: Subset) -> list[str]:
    """Return the file names of a subset's items, or nothing where they are no files."""
    names = datastore.names(planned.offer, planned.ref, planned.request)
    splits = stored.counts if subset.split == "all" else (subset.split,)
    everything = [name for split in splits for name in names.get(split, ())]
    return [Path(everything[index]).name for index in subset.ids] if everything else []


def _caption(label: Any, classes: tuple[str, ...]) -> str:
    if np.ndim(label) == 0:
        return classes[int(label)]
    return ", ".join(classes[index] for index in np.flatnonzero(label)) or "(none)"


def _augmented(
    registry: Registry,
    planned: PlannedDataset,
    images: Images,
    subset: Subset,
    positions: Indices,
    seed: int,
    epoch: int,
) -> list[np.ndarray[Any, Any]]:
    from bench.engine import data as engine_data
    from bench.engine import preview

    policy = registry.of("augmentation", planned.augmentation)
    channels = images.shape[-1]
    size = planned.request.size or max(images.shape[1:3])
    kind = engine_data.image_kind(planned.fields, channels)
    transforms = policy.component.factory(
        (channels, size, size), kind, **planned.augmentation.params
    )
    before, after = preview.augmented(
        transforms,
        lambda chosen: images[subset.ids[chosen]],
        subset.ids,
        positions,
        size,
        planned.fields["resize"],
        seed,
        epoch,
    )
    return [_flat(each) for pair in zip(before, after, strict=True) for each in pair]


def _flat(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return image[..., 0] if image.shape[-1] == 1 else image


def _sheet(pictures: list[Any], captions: list[str], title: str, *, pairs: bool) -> Any:
    from bench.contact_sheet import contact_sheet

    return contact_sheet(pictures, captions, pairs=pairs, title=title)


def _print_findings(found: Inspection) -> None:
    """Print the answer, then each kind of finding with a few examples below it."""
    click.secho(found.answer(), bold=True)
    for name, count, examples in found.summary():
        warns = name.startswith("warning: ")
        click.echo()
        for line in _wrapped(name if warns else f"{name}: {count:,}", ""):
            click.echo(line)
        for example in examples:
            for line in _wrapped(example, "  "):
                click.echo(line)
        if not warns and count > len(examples):
            click.echo(f"  and {count - len(examples):,} more")


def _wrapped(text: str, indent: str) -> list[str]:
    """Return lines that fit a terminal; where output is piped, the text stays in one."""
    if not sys.stdout.isatty():
        return [indent + text]
    return textwrap.wrap(
        text,
        width=max(40, shutil.get_terminal_size().columns - 1),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _exclude_list(found: Inspection) -> list[str]:
    """Return the lines of a list of files to leave out."""
    paths = {item.name: item.path for item in found.scan.items}
    # In such a list `#` begins a comment, and blanks at the start do not count; a path has neither.
    return [
        str(paths[name] or name) if name.startswith(("#", " ")) else name
        for name in found.fix_list()
    ]


def _next_step(found: Inspection, fix_list: Path | None, dataset: str) -> str:
    if not found.broken:
        return "nothing makes results wrong here; what stands above is worth a look"
    if any(item.path is None for item in found.scan.items):
        return "this dataset is not made of files, so `--exclude` cannot mend it; its author can"
    if fix_list is None:
        drawn = ", `--pictures FOLDER` draws the copies" if found.groups else ""
        return f"`--fix-list FILE` writes what to leave out{drawn}"
    return f"`bench run --datasets {dataset} --exclude {fix_list}` leaves the listed files out"
