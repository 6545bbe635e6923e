"""Where users' own images come from: one file for each layout, written `NAME:PATH`."""

from __future__ import annotations

from bench_datasets.sources import (
    archive,
    csv_tables,
    folder,
    hugging_face,
    idx_files,
    imagenet,
    npz,
)

SOURCES = [
    folder.SOURCE,
    csv_tables.SOURCE,
    idx_files.SOURCE,
    npz.SOURCE,
    imagenet.SOURCE,
    hugging_face.SOURCE,
    archive.ARCHIVE,
    archive.URL,
]
