"""Published weights of an architecture, fetched once, in the shape of what `build` returns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.downloads import refuse_offline
from bench.errors import BenchError, ConfigError, EnvironmentFailure
from bench.text import one_line
from bench_timm.building import create

PATIENCE = 10.0
"""Seconds in which the Hugging Face hub has to answer at all; its own client retries for long."""

_WAY_OUT = "`--weights file:PATH` takes a file that was fetched elsewhere"


def pretrained(
    architecture: str,
    input_shape: tuple[int, int, int],
    *,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    stem: str = "native",
) -> Mapping[str, Any]:
    """Return timm's default weights of an architecture, those of its classifier included.

    They lie in the caches of the Hugging Face hub (`HF_HOME`) or of torch (`TORCH_HOME`), whither
    they are fetched if need be. timm fits them to the channels, patches and positions that
    `input_shape` and `stem` ask for. Of a kernel that a small stem makes smaller the middle
    remains.

    Args:
        architecture: its name in timm.
        input_shape: (C, H, W) of the images.
        drop_rate: not used, as it has no weights.
        drop_path_rate: not used either.
        stem: `native` or `small`.

    Returns:
        Tensors by the names of what `build` returns.

    Raises:
        ConfigError: timm publishes none, or the architecture cannot be built so.
        DataError: they are not at hand, and downloads are forbidden.
        EnvironmentFailure: they cannot be fetched or read.
    """
    import timm

    config = timm.models.get_pretrained_cfg(architecture, allow_unregistered=True)
    if config is None or not config.has_weights:
        raise ConfigError(
            f"timm publishes no weights of `{architecture}`; "
            f"leave `--weights` out, or choose another model: {_WAY_OUT}"
        )
    name = config.hf_hub_id or config.url
    what = f"the weights `{name}` of `{architecture}`"
    try:
        source = _from_hub(config, what) if config.hf_hub_id else _from_address(config, what)
        network = create(
            architecture,
            config.num_classes,
            input_shape,
            rates={"drop_rate": drop_rate, "drop_path_rate": drop_path_rate},
            stem=stem,
            source={"pretrained": True, **source},
        )
    except BenchError:
        raise
    except Exception as error:  # the network's, the disk's, the hub's, and those of odd files
        raise EnvironmentFailure(
            f"{what} cannot be had ({one_line(f'{type(error).__name__}: {error}', 200)}); "
            f"{_WAY_OUT}"
        ) from error
    tensors: Mapping[str, Any] = network.state_dict()
    return tensors


def _from_address(config: Any, what: str) -> dict[str, Any]:
    """Return nothing, as timm fetches from web addresses as it should, if that is allowed."""
    import torch

    name = config.url.partition("?")[0].rpartition("/")[2]
    if not Path(torch.hub.get_dir(), "checkpoints", name).is_file():
        refuse_offline(what, _WAY_OUT)
    return {}


def _from_hub(config: Any, what: str) -> dict[str, Any]:
    """Return what timm is told of a file of the Hugging Face hub.

    timm would ask the hub for it also where it is at hand already, and without a network ask
    again for more than a minute.
    """
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, _, revision = config.hf_hub_id.partition("@")
    wanted = config.hf_hub_filename or "pytorch_model.bin"
    own_format = config.custom_load == "hf" and bool(config.hf_hub_filename)
    names = [wanted] if own_format else [*_safer(wanted), wanted]
    at = {"repo_id": repository, "revision": revision or None}
    for name in names:
        file = huggingface_hub.try_to_load_from_cache(filename=name, **at)
        if isinstance(file, str):
            return _loaded(file, own_format)
    refuse_offline(what, _WAY_OUT)
    if not huggingface_hub.constants.HF_HUB_OFFLINE:
        address = huggingface_hub.hf_hub_url(filename=names[0], **at)
        huggingface_hub.get_session().head(address, timeout=PATIENCE)
    for name in names[:-1]:
        try:
            return _loaded(huggingface_hub.hf_hub_download(filename=name, **at), own_format)
        except LocalEntryNotFoundError:  # the hub did not answer, which is no word on the file
            raise
        except EntryNotFoundError:
            continue
    return _loaded(huggingface_hub.hf_hub_download(filename=names[-1], **at), own_format)


def _safer(name: str) -> list[str]:
    """Return the name under which a hub would hold the same tensors without any code."""
    if name == "pytorch_model.bin":
        return ["model.safetensors"]
    return [name.removesuffix(".bin") + ".safetensors"] if name.endswith(".bin") else []


def _loaded(file: str, own_format: bool) -> dict[str, Any]:
    """Return what timm is told of a file: its tensors, or its path for it to read itself."""
    import torch
    from safetensors.torch import load_file

    if own_format:
        return {"pretrained_cfg_overlay": {"file": file, "custom_load": True}}
    if file.endswith(".safetensors"):
        tensors = load_file(file)
    else:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    return {"pretrained_cfg_overlay": {"state_dict": tensors}}
