"""From a file to tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bench
from bench.text import listing, one_line

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".pth.tar")
"""Endings of files that hold weights."""

_WRAPPERS = ("state_dict_ema", "model_ema", "ema_state_dict", "state_dict", "model", "module")
"""Where training scripts put the weights in what they save; averaged ones first."""


def read(path: Path) -> Mapping[str, Any]:
    """Return the tensors of a file by name.

    Args:
        path: in safetensors' format where its name ends so; else torch's, of which nothing but
            tensors and plain data is read, so that a file from elsewhere cannot run code.

    Raises:
        bench.ConfigError: it is damaged, holds code or no weights.
    """
    content = _safetensors(path) if path.suffix == ".safetensors" else _checkpoint(path)
    tensors = _tensors(content)
    if not tensors:
        raise bench.ConfigError(f"`{path}` holds no weights{_described(content)}")
    return tensors


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise bench.ConfigError(
            f"`{path}` is no whole safetensors file: {one_line(str(error), 120)}; fetch it again"
        ) from error


def _checkpoint(path: Path) -> Any:
    import pickle
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is strange about a file that is refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise bench.ConfigError(
            f"`{path}` holds more than weights or is damaged, and is not read, since it could run "
            "code; save the bare `state_dict`, or convert it to safetensors where it is trusted"
        ) from error
    except Exception as error:  # a damaged file makes torch raise nearly anything
        reason = one_line(f"{type(error).__name__}: {error}", 120)
        raise bench.ConfigError(f"`{path}` is no whole checkpoint: {reason}") from error


def _tensors(content: Any) -> dict[str, Any]:
    """Return the tensors of a state dict, or of one that something else wraps."""
    import torch

    if not isinstance(content, Mapping):
        return {}
    own = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    # A script may have put a metric beside the weights, as a tensor too.
    inner = [_tensors(content.get(key)) for key in _WRAPPERS]
    return max([*inner, own], key=len)


def _described(content: Any) -> str:
    if isinstance(content, Mapping) and content:
        return f"; its keys are {listing(map(str, content))}"
    return f", but {type(content).__name__}"
