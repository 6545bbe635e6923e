from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import optuna
import pytest

import bench
import bench_timm
from bench_timm import names
from bench_timm.building import build

SIZES = (28, 32, 48, 64, 75, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512, 600)
CLASSES = 10


def _families() -> dict[str, list[str]]:
    spec = importlib.util.find_spec("timm")
    assert spec is not None
    assert spec.origin is not None
    families = defaultdict(list)
    for name, family in names.scan(Path(spec.origin).parent / "models").items():
        families[family].append(name)
    return dict(families)


FAMILIES = _families()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    return tmp_path / "timm"


def models() -> dict[str, bench.Model]:
    return {model.name: model for model in bench_timm.register_models()}


# Names


def test_scan_finds_what_timm_registers():
    import timm

    assert sorted(name for members in FAMILIES.values() for name in members) == sorted(
        timm.list_models()
    )
    for family, members in FAMILIES.items():
        assert sorted(members) == sorted(timm.list_models(module=family))


def test_scan_reads_decorated_functions_only(tmp_path):
    (tmp_path / "nets.py").write_text(
        "@register_model\ndef one(x): ...\n"
        "@register_model  # reason\n@other(1)\ndef two(x): ...\n"
        "@register_model_later\ndef three(x): ...\n"
        "def four(x): ...\n"
        "# @register_model\ndef five(x): ...\n"
    )
    assert names.scan(tmp_path) == {"one": "nets", "two": "nets"}


def test_cache_is_used(cache, monkeypatch):
    first = names.architectures()
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(names, "scan", lambda folder: pytest.fail("scanned again"))
    assert names.architectures() == first


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"resnet18": 3}', "null", "\udcff"])
def test_damaged_cache_is_ignored(cache, damage):
    first = names.architectures()
    (file,) = cache.iterdir()
    file.write_bytes(damage.encode(errors="surrogateescape"))
    assert names.architectures() == first
    assert json.loads(file.read_text()) == first  # and mended


def test_unwritable_cache_is_ignored(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    assert len(names.architectures()) == sum(map(len, FAMILIES.values()))


def test_cache_follows_the_files(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "version.py").write_text("__version__ = '1'\n")
    module = package / "models" / "nets.py"
    module.write_text("@register_model\ndef one(x): ...\n")
    spec = importlib.util.spec_from_file_location("timm", package / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert names.architectures() == {"one": "nets"}
    module.write_text("@register_model\ndef another(x): ...\n")
    assert names.architectures() == {"another": "nets"}


def test_missing_timm_says_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(bench.EnvironmentFailure, match="pip install timm"):
        names.architectures()


# Listing


def test_listing_is_light():
    script = """
import sys, time
import bench_timm
assert len(list(bench_timm.register_models())) > 1000
heavy = {"torch", "torchvision", "timm", "numpy"} & set(sys.modules)
assert not heavy, heavy
seconds = []
for _ in range(5):
    start = time.perf_counter()
    list(bench_timm.register_models())
    seconds.append(time.perf_counter() - start)
print(min(seconds))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.2  # about 0.02 on an idle machine


def test_components_are_whole():
    offered = models()
    assert len(offered) == sum(map(len, FAMILIES.values()))
    model = offered["resnet50"]
    assert model.defaults == {"drop_rate": 0.0, "drop_path_rate": 0.0, "stem": "native"}
    assert model.preload == ("timm",)
    assert model.summary == "from timm's resnet family"
    assert model.hints == bench.ModelHints(
        family="resnet",
        parameters=25_557_032,
        macs=4_089_184_256,
        layers=107,
        input_size=224,
        smallest_size=32,
    )


def test_aliases_mean_their_documented_models():
    aliases = {alias: name for name, model in models().items() for alias in model.aliases}
    assert aliases == {
        "resnet": "resnet50",
        "vgg": "vgg16",
        "mobilenet": "mobilenetv3_large_100",
        "inception": "inception_v3",
        "xception": "legacy_xception",
        "densenet": "densenet121",
        "efficientnet": "efficientnet_b0",
        "convnext": "convnext_tiny",
        "vit": "vit_small_patch16_224",
    }
    assert not aliases.keys() & models().keys()


def test_alias_gives_way_to_an_architecture_of_that_name(monkeypatch):
    known = {"resnet": "resnet", "resnet50": "resnet", "vgg16": "vgg"}
    monkeypatch.setattr(bench_timm, "architectures", lambda: known)
    assert {name: model.aliases for name, model in models().items()} == {
        "resnet": (),
        "resnet50": (),
        "vgg16": ("vgg",),
    }


def test_architecture_missing_in_the_table_has_its_family(monkeypatch):
    monkeypatch.setattr(bench_timm, "architectures", lambda: {"brand_new": "novel"})
    assert models()["brand_new"].hints == bench.ModelHints(family="novel")


def test_table_is_sane():
    table = bench_timm.read_table()
    assert list(table) == sorted(table)
    for name, row in table.items():
        for column in ("parameters", "input_size", "macs", "layers", "smallest_size"):
            value = row[column]
            assert value is None or (type(value) is int and value > 0), (name, column)


def test_suggest_overrides_params():
    model = models()["resnet18"]
    assert model.suggest is not None
    trial: Any = optuna.trial.FixedTrial({"drop_rate": 0.25})
    assert model.suggest(trial) == {"drop_rate": 0.25}
    assert set(model.suggest(trial)) <= set(model.defaults)


# Building


def assert_gives_logits(network: Any, channels: int, size: int) -> None:
    import torch

    device = next(network.parameters()).device
    images = torch.zeros(2, channels, size, size, device=device)
    for training in (True, False):
        logits = network.train(training)(images)
        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (2, CLASSES)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 28),
        ("vgg11", 32),
        ("mobilenetv3_small_050", 28),
        ("efficientnet_b0", 28),
        ("regnety_002", 28),
        ("convnext_atto", 32),
        ("inception_v3", 75),
        ("deit_tiny_distilled_patch16_224", 224),
        ("csatv2", 512),
    ],
)
def test_builds_on_meta_and_gives_logits(name, size, channels):
    import torch

    with torch.device("meta"):
        network = models()[name].build(CLASSES, (channels, size, size))
    assert_gives_logits(network, channels, size)


def test_builds_on_cpu():
    assert_gives_logits(build("mobilenetv3_small_050", CLASSES, (1, 28, 28)), 1, 28)


def test_gray_images_reach_a_color_network():
    import torch

    torch.manual_seed(0)
    network = build("csatv2", CLASSES, (1, 512, 512)).eval()
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        inner: Any = network.network
        assert torch.equal(network(gray), inner(gray.repeat(1, 3, 1, 1)))


def test_rates_take_effect():
    import torch

    with torch.device("meta"):
        network = build("convnext_atto", CLASSES, (3, 32, 32), drop_rate=0.3, drop_path_rate=0.2)
    rates = {getattr(part, "drop_prob", None) for part in network.modules()}
    assert max(rate for rate in rates if rate) == pytest.approx(0.2)
    assert any(getattr(part, "p", None) == 0.3 for part in network.modules())


@pytest.mark.parametrize(
    ("name", "channels", "params", "message"),
    [
        ("densenet121", 3, {"drop_path_rate": 0.1}, "does not take `drop_path_rate`"),
        ("resnet18", 3, {"drop_rate": 1.5}, "model `resnet18`: `drop_rate` is 1.5"),
        ("resnet18", 3, {"drop_rate": "high"}, "model `resnet18`: `drop_rate` is high"),
        ("resnet18", 3, {"stem": "tiny"}, "model `resnet18`: `stem` is `tiny`"),
        ("vgg16", 3, {"stem": "small"}, "the stem of `vgg16` does not shrink images"),
        ("csatv2", 3, {"stem": "small"}, "the stem of `csatv2` cannot be made small"),
        ("mixer_s32_224", 3, {"stem": "small"}, "the stem of `mixer_s32_224` cannot be made small"),
        ("levit_128", 3, {"stem": "small"}, "the stem of `levit_128` cannot be made small"),
        ("resnet18", 3, {"drop_path_rate": -0.1}, "`drop_path_rate` is -0.1"),
        ("csatv2", 2, {}, "1 or 3 channels, not 2"),
        ("qwen3_vit_88m_enc", 3, {}, "choose `qwen3_vit_88m`"),
        ("mobilenetv5_300m_enc", 3, {}, "an encoder without a classifier"),
        ("gemma4_vit_167m_enc", 3, {"drop_rate": 0.1}, "does not take `drop_rate`"),
    ],
)
def test_what_cannot_work_is_one_line(name, channels, params, message):
    import torch

    with torch.device("meta"), pytest.raises(bench.ConfigError, match=message) as caught:
        build(name, CLASSES, (channels, 224, 224), **params)
    assert "\n" not in str(caught.value)


# Small stems


def sizes_seen(name: str, size: int, stem: str) -> list[int]:
    """Return the heights of what the convolutions of a network give, on meta."""
    import torch
    from torch import nn

    with torch.device("meta"):
        network = build(name, CLASSES, (1, size, size), stem=stem).eval()
    heights = []
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(lambda part, images, maps: heights.append(maps.shape[-2]))
    assert network(torch.zeros(2, 1, size, size, device="meta")).shape == (2, CLASSES)
    return heights


@pytest.mark.parametrize(
    ("name", "native", "small"),
    [
        ("resnet18", [1 / 2, 1 / 4], [1, 1]),
        ("resnet50d", [1 / 2, 1 / 2, 1 / 2, 1 / 4], [1, 1, 1, 1]),
        ("mobilenetv3_large_100", [1 / 2], [1]),
        ("efficientnet_b0", [1 / 2, 1 / 2], [1, 1]),
        ("regnety_002", [1 / 2], [1]),
        ("convnext_atto", [1 / 4], [1]),
        ("densenet121", [1 / 2, 1 / 4], [1, 1]),
    ],
)
def test_a_small_stem_keeps_the_size_of_images(name, native, small):
    # Some native networks take no 28 pixels.
    for stem, size, shares in (("native", 32, native), ("small", 32, small), ("small", 28, small)):
        seen = sizes_seen(name, size, stem)[: len(shares)]
        assert seen == [share * size for share in shares], stem


@pytest.mark.parametrize("size", [28, 32])
@pytest.mark.parametrize(
    ("name", "wide"), [("vit_small_patch16_224", 4), ("swin_tiny_patch4_window7_224", 1)]
)
def test_a_small_stem_narrows_patches_and_takes_small_images(name, wide, size):
    assert sizes_seen(name, size, "small")[0] == size // wide


def test_patches_that_images_are_no_multiple_of_are_named():
    with pytest.raises(bench.ConfigError, match=r"4x4 patches, of which 30x30 .*`--input-size`"):
        build("vit_tiny_patch16_224", CLASSES, (3, 30, 30), stem="small")


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "nf_resnet26", "resnetv2_50"])
def test_a_small_stem_answers_about_as_loudly_as_the_native_one(name):
    """The spread behind the first convolution is what the architecture's own start gives."""
    import torch

    torch.manual_seed(0)
    images = torch.randn(8, 3, 32, 32)
    spread = []
    for stem in ("native", "small"):
        network: Any = build(name, CLASSES, (3, 32, 32), stem=stem)
        first = network.get_submodule(network.pretrained_cfg["first_conv"])
        with torch.no_grad():
            # Where a kernel looks beyond the image, it sees zeros.
            spread.append(first(images)[:, :, 4:-4, 4:-4].std().item())
    assert spread[1] == pytest.approx(spread[0], rel=0.15)


def test_the_native_stem_is_what_timm_builds():
    import timm
    import torch

    torch.manual_seed(0)
    theirs = timm.create_model("resnet18", num_classes=CLASSES, in_chans=1).state_dict()
    torch.manual_seed(0)
    ours = build("resnet18", CLASSES, (1, 32, 32)).state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


# Preprocessing and layers


def test_preprocessing_is_that_of_the_published_weights():
    own = models()["inception_v3"].preprocessing
    assert own is not None
    assert own().size == 299
    assert own().interpolation == "bicubic"
    assert own(stem="small").size is None
    vgg = models()["vgg16"].preprocessing
    assert vgg is not None
    assert vgg().interpolation == "bilinear"
    assert vgg().mean == pytest.approx((0.485, 0.456, 0.406))


def grouped(name: str, channels: int = 3) -> list[list[str]]:
    import torch

    model = models()[name]
    native = (bench_timm.read_table()[name]["input_size"] or 224,) * 2
    with torch.device("meta"):
        network = model.build(CLASSES, (channels, *native))
    assert model.layers is not None
    groups = [list(group) for group in model.layers(network)]
    names = [parameter for group in groups for parameter in group]
    assert len(names) == len(set(names))
    assert set(names) == {parameter for parameter, _ in network.named_parameters()}
    assert all(groups)
    return groups


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("resnet18", "conv1.weight", "fc.weight"),
        ("vgg11", "features.0.weight", "head.fc.weight"),
        ("mobilenetv3_small_050", "conv_stem.weight", "classifier.weight"),
        ("efficientnet_b0", "conv_stem.weight", "classifier.weight"),
        ("inception_v3", "Conv2d_1a_3x3.conv.weight", "fc.weight"),
        ("inception_v4", "features.0.conv.weight", "last_linear.weight"),
        ("legacy_xception", "conv1.weight", "fc.weight"),
        ("densenet121", "features.conv0.weight", "classifier.weight"),
        ("convnext_atto", "stem.0.weight", "head.fc.weight"),
        ("vit_tiny_patch16_224", "patch_embed.proj.weight", "head.weight"),
    ],
)
def test_layers_go_from_the_input_to_the_logits(name, first, last):
    groups = grouped(name)
    assert len(groups) > 5
    assert first in groups[0]
    assert last in groups[-1]


def test_layers_of_a_wrapped_network_bear_the_names_of_the_whole():
    groups = grouped("csatv2", channels=1)
    assert all(name.startswith("network.") for group in groups for name in group)


def test_an_architecture_without_groups_has_a_layer_for_each_part():
    import torch
    from torch import nn

    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))
    layers = models()["resnet18"].layers
    assert layers is not None
    assert layers(network) == [["0.weight", "0.bias"], ["2.weight", "2.bias"]]


# Published weights


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub's protocol as it takes to hand out files."""

    files: ClassVar[dict[str, Path]] = {}

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        content = self._answer()
        if content is not None:
            self.wfile.write(content)

    def _answer(self) -> bytes | None:
        file = self.files.get(self.path)
        if file is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        return content

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        Hub.files.clear()


def fetching(script: str, folder: Path, endpoint: str, **variables: str) -> str:
    """Run a script that fetches weights in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", script, str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "hf"),
            "TORCH_HOME": str(folder / "torch"),
            "NO_PROXY": "127.0.0.1",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ARRIVED = """
import sys, torch
from pathlib import Path
from safetensors.torch import load_file
from bench_timm.building import build
from bench_timm.published import pretrained

folder = Path(sys.argv[1])
theirs = load_file(folder / "resnet18.safetensors")
theirs_at_first = found = pretrained("resnet18", (3, 32, 32), drop_rate=0.1)
assert list(found) == list(build("resnet18", 1000, (3, 32, 32)).state_dict())
assert all(torch.equal(found[name], theirs[name]) for name in found)

# Gray images: the sum over the colours, and the rest as it was.
gray = pretrained("resnet18", (1, 32, 32))
torch.testing.assert_close(gray["conv1.weight"], theirs["conv1.weight"].sum(1, keepdim=True))
assert torch.equal(gray["fc.weight"], theirs["fc.weight"])

# A small stem: the middle of the kernels.
small = pretrained("resnet18", (3, 32, 32), stem="small")
assert torch.equal(small["conv1.weight"], theirs["conv1.weight"][:, :, 2:5, 2:5])
build("resnet18", 1000, (3, 32, 32), stem="small").load_state_dict(small)

# A fixed size: positions and patches are made to fit.
theirs = torch.load(folder / "vit.bin")
found = pretrained("vit_tiny_patch16_224", (3, 224, 224))
assert all(torch.equal(found[name], theirs[name]) for name in found)
small = pretrained("vit_tiny_patch16_224", (1, 32, 32), stem="small")
build("vit_tiny_patch16_224", 1000, (1, 32, 32), stem="small").load_state_dict(small)
assert torch.equal(small["blocks.0.attn.qkv.weight"], theirs["blocks.0.attn.qkv.weight"])
"""

REFUSAL = """
import os, time
from bench.errors import BenchError

def refusal(name):
    start = time.perf_counter()
    try:
        pretrained(name, (3, 32, 32))
    except BenchError as error:
        print(f"{type(error).__name__} {time.perf_counter() - start:.0f} {error}")

"""

AFTERWARDS = """
refusal("resnet34")  # the hub does not have it
os.environ["BENCH_OFFLINE"] = "1"
# What was fetched once needs no leave.
assert len(pretrained("resnet18", (3, 32, 32))) == len(theirs_at_first)
refusal("resnet34")
refusal("legacy_xception")
"""

WITHOUT_NETWORK = """
import timm, huggingface_hub, torchvision
from bench_timm.published import pretrained
"""

WAY_OUT = "`--weights file:PATH` takes a file that was fetched elsewhere"


def test_published_weights_arrive_and_missing_ones_are_one_line(hub, tmp_path):
    import timm
    import torch
    from safetensors.torch import save_file

    save_file(build("resnet18", 1000, (3, 32, 32)).state_dict(), tmp_path / "resnet18.safetensors")
    vit = build("vit_tiny_patch16_224", 1000, (3, 224, 224))
    torch.save(vit.state_dict(), tmp_path / "vit.bin")
    places = {
        "resnet18": ("model.safetensors", "resnet18.safetensors"),
        "vit_tiny_patch16_224": ("pytorch_model.bin", "vit.bin"),
    }
    for name, (remote, local) in places.items():
        repository = timm.models.get_pretrained_cfg(name).hf_hub_id
        Hub.files[f"/{repository}/resolve/main/{remote}"] = tmp_path / local
    printed = fetching(ARRIVED + REFUSAL + AFTERWARDS, tmp_path, hub)
    missing, forbidden, elsewhere = printed.splitlines()
    start = "the weights `timm/resnet34.a1_in1k` of `resnet34`"
    assert missing.startswith("EnvironmentFailure")
    assert f"{start} cannot be had" in missing
    for line in (forbidden, elsewhere):
        assert line.startswith("DataError")
        assert "is not at hand, and `--offline` (or BENCH_OFFLINE=1) forbids" in line
    assert start in forbidden
    assert "of `legacy_xception`" in elsewhere
    assert all(line.endswith(WAY_OUT) for line in (missing, forbidden, elsewhere))


def test_without_a_network_the_error_comes_within_seconds(tmp_path):
    script = WITHOUT_NETWORK + REFUSAL + 'refusal("resnet18")'
    (line,) = fetching(script, tmp_path, "http://127.0.0.1:9").splitlines()
    kind, seconds, message = line.split(" ", 2)
    assert kind == "EnvironmentFailure"
    assert int(seconds) < 20  # the hub's own client would go on for more than a minute
    assert message.startswith("the weights `timm/resnet18.a1_in1k` of `resnet18` cannot be had")
    assert message.endswith(WAY_OUT)


def test_an_architecture_without_weights_says_so():
    import timm

    published = set(timm.list_models(pretrained=True))
    bare = {tag.partition(".")[0] for tag in published}
    name = next(name for name in sorted(models()) if name not in bare)
    fetch = models()[name].pretrained
    assert fetch is not None
    with pytest.raises(bench.ConfigError, match=f"publishes no weights of `{name}`") as caught:
        fetch((3, 32, 32))
    assert "\n" not in str(caught.value)


# Sweeps


def smallest_size(name: str) -> int:
    """Return the smallest size at which a meta forward pass in training mode gives logits."""
    import torch

    native = bench_timm.read_table()[name]["input_size"] or 224
    with torch.device("meta"):
        network = build(name, CLASSES, (1, native, native)).train()
    failure: Exception | None = None
    for size in sorted({*SIZES, native}):
        try:
            logits = network(torch.empty(2, 1, size, size, device="meta"))
        except Exception as error:  # each family refuses sizes in its own way
            failure = error
            continue
        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (2, CLASSES)
        assert network.eval()(torch.empty(2, 1, size, size, device="meta")).shape == logits.shape
        return size
    raise AssertionError(f"{name} works at no size") from failure


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_architecture_gives_logits_at_some_size(family):
    failures = {}
    for name in FAMILIES[family]:
        try:
            smallest_size(name)
        except bench.ConfigError as error:
            if not name.endswith("_enc"):
                failures[name] = str(error)
        except Exception as error:  # report all of a family at once
            failures[name] = f"{error} (from {error.__cause__!r})"
    assert not failures


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_architecture_takes_what_tuning_proposes(family):
    import torch

    failures = {}
    for name in FAMILIES[family]:
        try:
            with torch.device("meta"):
                build(name, CLASSES, (3, 224, 224), drop_rate=0.1)
        except Exception as error:
            if not name.endswith("_enc"):
                failures[name] = str(error)
    assert not failures


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_takes_a_training_step(family):
    import torch

    torch.manual_seed(0)
    table = bench_timm.read_table()
    classifiers = [name for name in FAMILIES[family] if not name.endswith("_enc")]
    name = min(classifiers, key=lambda name: table[name]["macs"] or math.inf)
    size = smallest_size(name)
    network = build(name, CLASSES, (1, size, size)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loss = torch.nn.functional.cross_entropy(
        network(torch.randn(2, 1, size, size)), torch.tensor([0, 1])
    )
    loss.backward()
    optimizer.step()
    assert math.isfinite(loss.item())
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_architecture_groups_all_its_parameters(family):
    failures = {}
    for name in FAMILIES[family]:
        try:
            assert len(grouped(name)) > 1
        except bench.ConfigError as error:
            if not name.endswith("_enc"):
                failures[name] = str(error)
        except Exception as error:  # report all of a family at once
            failures[name] = repr(error)
    assert not failures


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_architecture_has_a_small_stem_or_says_that_it_has_none(family):
    import torch

    failures = {}
    for name in FAMILIES[family]:
        try:
            with torch.device("meta"):
                build(name, CLASSES, (3, 32, 32), stem="small")
        except bench.ConfigError:
            continue
        except Exception as error:
            failures[name] = repr(error)
    assert not failures


def test_what_is_known_of_preprocessing_is_what_timm_tells():
    import timm

    from bench_timm import seen

    assert json.loads(seen.TABLE.read_bytes())["timm"] == timm.__version__
    known = seen._known()
    assert set(known) == {name for name in models() if seen.ask(name) is not None}
    for name, told in known.items():
        mean, std, size, interpolation = seen.ask(name)
        assert told == [list(mean), list(std), size, interpolation], name


def test_another_timm_is_asked(monkeypatch):
    from bench_timm import seen

    seen._known.cache_clear()
    monkeypatch.setattr(seen.importlib.metadata, "version", lambda name: "9.9")
    try:
        assert seen._known() == {}
        assert seen.preprocessing("resnet50").size == 224
    finally:
        seen._known.cache_clear()
