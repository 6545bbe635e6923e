"""Where the weights come from that runs start from: found while planning, without loading them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import ExperimentConfig
from bench.errors import ConfigError, UsageError
from bench.foreign_code import calling
from bench.overrides import Overrides
from bench.records import ComponentRef
from bench.registry import Offer, Registry
from bench.specs import Model, Origin, Preprocessing, Weights

if TYPE_CHECKING:
    from bench.decoding import Interpolation

NONE = "none"
"""What users write for random weights, where these are to be compared with others."""
PRETRAINED = "pretrained"
"""The weights that `--pretrained` is short for."""


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        ref: the weights; None for random ones.
        origin: the `origin` of a `RunSpec`; empty for random weights.
        size: height and width that they want images at, pixels; None where they name none.
        interpolation: how they want images resized.
    """

    ref: ComponentRef | None = None
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    size: int | None = None
    interpolation: Interpolation = "bilinear"


class Starts:
    """What the models of an experiment are to start from.

    Args:
        config: names the weights, and the folder of earlier runs.
        registry: offers them.
        overrides: their params.

    Raises:
        UsageError: a name or param is unknown.
    """

    def __init__(self, config: ExperimentConfig, registry: Registry, overrides: Overrides) -> None:
        if config.pretrained and config.weights:
            raise UsageError(
                "`--pretrained` is short for `--weights pretrained`; give one of them, for example "
                f"`--weights {','.join((PRETRAINED, *config.weights))}`"
            )
        selectors = [PRETRAINED] if config.pretrained else list(config.weights) or [NONE]
        self._results = config.results
        self._found: dict[tuple[str, str], Start] = {}
        self._chosen: list[tuple[Offer, ComponentRef] | None] = []
        if NONE in selectors:
            self._chosen.append(None)
        named = registry.select(Weights.kind, [name for name in selectors if name != NONE])
        self._chosen += [(offer, ref) for offer in named for ref in overrides.variants(offer)]

    def of(self, model: Offer, ref: ComponentRef) -> list[Start]:
        """Return what runs of a model start from.

        Raises:
            UsageError: there are no such weights for it.
        """
        return [self._find(chosen, model, ref) if chosen else Start() for chosen in self._chosen]

    def _find(self, chosen: tuple[Offer, ComponentRef], model: Offer, ref: ComponentRef) -> Start:
        asked = (repr(chosen[1]), repr(ref))
        if asked not in self._found:
            self._found[asked] = find(*chosen, model, ref, self._results)
        return self._found[asked]


def find(
    offer: Offer, ref: ComponentRef, model: Offer, model_ref: ComponentRef, results: Path
) -> Start:
    """Return what runs of a model start from, with these weights.

    Raises:
        UsageError: there are no such weights for it.
    """
    weights, network = offer.component, model.component
    assert isinstance(weights, Weights)
    assert isinstance(network, Model)
    bound, found = network.with_params(model_ref.params), Origin()
    with _blaming(f"weights `{ref.name}` of plugin {offer.plugin.label}"):
        if weights.origin is not None:
            found = weights.origin(bound, results, **ref.params)
    own = found.preprocessing
    if own is None and bound.preprocessing is not None:
        where = f"model `{model.name}` of plugin {model.plugin.label}"
        with contextlib.suppress(ConfigError), _blaming(where):  # it may know of none
            own = bound.preprocessing()
    files = [path.absolute() for path in found.files]
    return Start(
        ref=ref,
        origin={
            "files": [str(path) for path in files],
            "digest": digest_of(files),
            "preprocessing": plain(own) if own else None,
            "whose": "weights" if found.preprocessing else "model",
            "classes": list(found.classes),
        },
        size=own.size if own else None,
        interpolation=(own and own.interpolation) or "bilinear",
    )


@contextlib.contextmanager
def _blaming(where: str) -> Iterator[None]:
    """Name a component and its plugin in whatever its code raises."""
    with calling(f"{where} does not say how it saw images"):
        yield


def plain(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return a preprocessing as JSON can hold it."""
    mean, std = list(preprocessing.mean), list(preprocessing.std)
    return {**dataclasses.asdict(preprocessing), "mean": mean, "std": std}


def digest_of(paths: Sequence[Path]) -> str | None:
    """Return a hash of the content of files; None where there are none.

    Raises:
        ConfigError: one cannot be read.
    """
    hashes = [_digest(path, *_state(path)) for path in paths]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16] if hashes else None


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"cannot read the weights `{path}`: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _digest(path: Path, size: int, modified: int) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot read the weights `{path}`: {error.strerror}") from error
