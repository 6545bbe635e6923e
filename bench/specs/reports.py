"""Formats of reports."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from bench.specs.component import Component

_SUFFIX = re.compile(r"(\.[\w-]+)+")


@dataclass(frozen=True, kw_only=True)
class Report(Component):
    """A format of reports.

    Attributes:
        build: `build(content, *, ...)` returns the text of a file from the content of a report, a
            `bench.report.content.Content`. All names in it are as they came: it escapes them.
        suffix: how its files end, for example `.html`: a dot, then letters, digits, `-`, `_` or
            further dots between them.

    Raises:
        ValueError: the suffix is none.
    """

    kind: ClassVar[str] = "report"
    plural: ClassVar[str] = "reports"

    build: Callable[..., str]
    suffix: str = ".txt"

    def __post_init__(self) -> None:
        # It becomes part of a path: one with a slash in it would lead out of the folder.
        if not (isinstance(self.suffix, str) and _SUFFIX.fullmatch(self.suffix)):
            raise ValueError(
                f"report `{self.name}`: its suffix is {self.suffix!r}; it is to be a dot and "
                "letters or digits, as in `.html`"
            )
