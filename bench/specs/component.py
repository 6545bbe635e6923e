"""What components of every kind have in common."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from bench.specs.data import Task

UNFIT_FOR_NAMES = re.compile(
    r"[,@\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
"""Commas separate names, an `@` stands before a plugin's name; the last ones turn lines round, or
are not seen."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """What all kinds have in common.

    Attributes:
        name: what users type. Any text without commas, `@` and control characters.
        suggest: takes an Optuna trial and returns overrides of the factory's params.
        description: one line; the first line of the factory's docstring where left empty.
        aliases: further names that mean this component.
        pins: protocol fields that this component fixes, for example `{"batch_size": 1}`.
        preload: modules that the factory imports; workers import them once, ahead of time.
        default: whether this component is used where the user names none of its kind.
    """

    kind: ClassVar[str]
    plural: ClassVar[str]
    addressed: ClassVar[tuple[str, ...]] = ()

    name: str
    suggest: Callable[[Any], dict[str, Any]] | None = None
    description: str = ""
    aliases: tuple[str, ...] = ()
    pins: Mapping[str, Any] = field(default_factory=dict)
    preload: tuple[str, ...] = ()
    default: bool = False

    @property
    def factory(self) -> Callable[..., Any]:
        """The callable that makes the real thing."""
        build: Callable[..., Any] = self.build  # type: ignore[attr-defined]
        return build

    def is_default(self, task: Task | None) -> bool:
        """Return whether this is used where the user names none of its kind."""
        return self.default

    @property
    def is_source(self) -> bool:
        """Whether users write `NAME:TEXT`, which says what to take."""
        return getattr(self, "address", None) is not None

    def at(self, text: str) -> Self:
        """Return this source with what stands after its colon as the default of `path`."""
        path = self.address(text)  # type: ignore[attr-defined]
        # What people call it: the last part of a path or an address, its checksum left out.
        short = re.sub("#sha256=.*", "", text).rstrip("/").rpartition("/")[2] or text
        factories = {name: getattr(self, name) for name in self.addressed}
        bound: dict[str, Any] = {
            name: functools.partial(factory, path=path)
            for name, factory in factories.items()
            if callable(factory)
        }
        return dataclasses.replace(
            self,
            name=f"{self.name}:{UNFIT_FOR_NAMES.sub('_', short)}",
            aliases=(self.name, *self.aliases),
            **bound,
        )

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """The factory's keyword-only params with their default values."""
        parameters = inspect.signature(self.factory).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def summary(self) -> str:
        """The description, or the first line of the factory's docstring."""
        if self.description:
            return self.description
        documented: Any = self.factory
        while isinstance(documented, functools.partial):
            documented = documented.func
        lines = (inspect.getdoc(documented) or "").splitlines()
        return lines[0] if lines else ""
