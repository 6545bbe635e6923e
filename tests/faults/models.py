"""A linear network, and networks that fail in building, in the forward pass or later."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int, int, int]
REHEARSAL_STEPS = 6
"""More training steps than the rehearsal makes, fewer than a run of `tiny` (10)."""


def tiny(num_classes: int, input_shape: Shape, *, gain: float = 1.0, note: str = "") -> nn.Module:
    """One linear layer.

    Args:
        num_classes: number of logits.
        input_shape: (channels, height, width).
        gain: factor of the logits.
        note: not used; it tells cells apart.
    """
    return late(num_classes, input_shape, lambda logits, step: logits * gain)


def late(num_classes: int, input_shape: Shape, change: Any) -> nn.Module:
    """Return a linear network; `change(logits, step)` sees each training step, from 1.

    Steps on torch's meta device do not count; an evaluation is step 0.
    """
    import torch

    class Late(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(math.prod(input_shape), num_classes)
            self.steps = 0

        def forward(self, images: Tensor) -> Any:
            logits = self.head(images.flatten(1))
            if images.device.type == "meta":
                return logits
            self.steps += self.training
            return change(logits, self.steps if self.training else 0)

    return Late()


def on_meta() -> bool:
    import torch

    return torch.empty(0).device.type == "meta"


def segfaults(num_classes: int, input_shape: Shape) -> nn.Module:
    if not on_meta():
        os.kill(os.getpid(), signal.SIGSEGV)
    return tiny(num_classes, input_shape)


def exits(num_classes: int, input_shape: Shape, *, code: int = 3) -> nn.Module:
    if not on_meta():
        os._exit(code)
    return tiny(num_classes, input_shape)


def quits(num_classes: int, input_shape: Shape) -> nn.Module:
    sys.exit("a plugin has no business here")


def dies_late(num_classes: int, input_shape: Shape, *, at: int = REHEARSAL_STEPS + 1) -> nn.Module:
    def change(logits: Tensor, step: int) -> Tensor:
        if step == at:
            print("the last words", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return logits

    return late(num_classes, input_shape, change)


def lost_rank(
    num_classes: int, input_shape: Shape, *, rank: int = 1, raises: str = ""
) -> nn.Module:
    """Lose one of the processes that train together, or have it raise an error."""

    def change(logits: Tensor, step: int) -> Tensor:
        if step > REHEARSAL_STEPS and os.environ.get("RANK") == str(rank):
            if raises:
                raise RuntimeError(raises)
            print("the last words", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return logits

    return late(num_classes, input_shape, change)


def sleeps(
    num_classes: int, input_shape: Shape, *, seconds: float = 60.0, note: str = ""
) -> nn.Module:
    """Sleep in each training step that lies beyond the rehearsal."""

    def change(logits: Tensor, step: int) -> Tensor:
        if step > REHEARSAL_STEPS:
            if step == REHEARSAL_STEPS + 1:
                print("going to sleep")
            time.sleep(seconds)
        return logits

    return late(num_classes, input_shape, change)


def dropout(num_classes: int, input_shape: Shape, *, seconds: float = 0.0) -> nn.Module:
    """A small network that draws random numbers while it learns; a step takes `seconds` longer."""
    import torch

    class Slow(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if self.training and images.device.type != "meta":
                time.sleep(seconds)
            return images

    return torch.nn.Sequential(
        Slow(),
        torch.nn.Conv2d(input_shape[0], 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.3),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * math.prod(input_shape[1:]), num_classes),
    )


def fragile(num_classes: int, input_shape: Shape, *, flag: str = "") -> nn.Module:
    """Do what a file says once it is there: die while the network is built, or give NaN."""
    import torch

    wish = Path(flag).read_text() if flag and Path(flag).exists() else ""
    if wish == "die" and not on_meta():
        os.kill(os.getpid(), signal.SIGKILL)
    if wish == "raise":
        raise RuntimeError("a plugin that has changed its mind")
    if wish == "grow":
        return torch.nn.Sequential(late(num_classes, input_shape, lambda logits, step: logits))
    return late(
        num_classes,
        input_shape,
        lambda logits, step: logits * (float("nan") if wish == "nan" else 1.0),
    )


def restless(num_classes: int, input_shape: Shape) -> nn.Module:
    """Give other logits each time it is asked, which no graph can say after it."""
    asked = [0]

    def change(logits: Tensor, step: int) -> Tensor:
        asked[0] += 1
        return logits * (1.0 + asked[0] % 5)

    return late(num_classes, input_shape, change)


def short_files(num_classes: int, input_shape: Shape, *, longest: int = 10**6) -> nn.Module:
    """Let this process write no file that is longer than so many bytes."""
    import resource

    if not on_meta():
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (longest, most))
    return dropout(num_classes, input_shape)


def killed_at_rename(
    num_classes: int, input_shape: Shape, *, name: str = "checkpoint.pt", after: int = 0
) -> nn.Module:
    """Be killed as a file of this name takes its place, after it has done so some times."""
    rename = Path.replace
    left = after

    def strike(self: Path, target: Path) -> Path:
        nonlocal left
        if Path(target).name == name:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return rename(self, target)

    if not on_meta():
        Path.replace = strike  # type: ignore[assignment, method-assign]
    return dropout(num_classes, input_shape)


def fills_disk(
    num_classes: int, input_shape: Shape, *, filler: str = "", first: int = -1, last: int = -1
) -> nn.Module:
    """Have a file take all that is left of its disk from one training step to another."""

    def change(logits: Tensor, step: int) -> Tensor:
        if step == first:
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(512))
        if step == last:
            os.unlink(filler)
        return logits

    return late(num_classes, input_shape, change)


def stuck_in_rehearsal(num_classes: int, input_shape: Shape) -> nn.Module:
    def change(logits: Tensor, step: int) -> Tensor:
        time.sleep(60)
        return logits

    return late(num_classes, input_shape, change)


def spins(num_classes: int, input_shape: Shape) -> nn.Module:
    """Hold the interpreter in one long computation in C, beyond the rehearsal."""

    def change(logits: Tensor, step: int) -> Tensor:
        if step > REHEARSAL_STEPS:
            sum(range(10**12))
        return logits

    return late(num_classes, input_shape, change)


def noisy(num_classes: int, input_shape: Shape) -> nn.Module:
    import ctypes

    print("noise from Python")
    os.write(1, b"noise from a descriptor\n")
    # Left in the buffer of the C library, which writes it when it likes.
    ctypes.CDLL(None).printf(b"noise from C\n")
    return tiny(num_classes, input_shape)


def nan_logits(num_classes: int, input_shape: Shape) -> nn.Module:
    return late(num_classes, input_shape, lambda logits, step: logits * float("nan"))


def nan_in_evaluation(num_classes: int, input_shape: Shape, *, after: int = 0) -> nn.Module:
    """Return NaN in evaluations beyond the first `after` ones of a run."""
    evaluations = 0

    def change(logits: Tensor, step: int) -> Tensor:
        nonlocal evaluations
        evaluations += step == 0
        return logits * float("nan") if step == 0 and evaluations > after else logits

    return late(num_classes, input_shape, change)


def wrong_shape(num_classes: int, input_shape: Shape) -> nn.Module:
    return tiny(num_classes + 1, input_shape)


def wrong_output(num_classes: int, input_shape: Shape) -> nn.Module:
    return late(num_classes, input_shape, lambda logits, step: (logits, logits))


def not_a_module(num_classes: int, input_shape: Shape) -> Any:
    import torch

    return tiny(num_classes, input_shape) if on_meta() else torch.nn.functional.relu


def frozen(num_classes: int, input_shape: Shape) -> nn.Module:
    return tiny(num_classes, input_shape).requires_grad_(False)


def raises(num_classes: int, input_shape: Shape) -> nn.Module:
    raise RuntimeError(HOSTILE_ERROR)


def out_of_memory(num_classes: int, input_shape: Shape) -> nn.Module:
    def change(logits: Tensor, step: int) -> Tensor:
        import torch

        if step > REHEARSAL_STEPS:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return logits

    return late(num_classes, input_shape, change)


def mended(
    num_classes: int, input_shape: Shape, *, by: str = "", after: int = REHEARSAL_STEPS
) -> nn.Module:
    """Fail after some training steps for as long as the file `by` is not there."""

    def change(logits: Tensor, step: int) -> Tensor:
        if step > after and not Path(by).exists():
            raise RuntimeError("not mended yet")
        return logits

    return late(num_classes, input_shape, change)


def endless(num_classes: int, input_shape: Shape, *, limit: float = math.inf) -> nn.Module:
    """Take a param whose default JSON does not know."""
    assert isinstance(limit, float)
    return tiny(num_classes, input_shape)


def fixed_17px(num_classes: int, input_shape: Shape) -> nn.Module:
    if input_shape[1:] != (17, 17):
        raise ValueError("only 17 pixels")
    return tiny(num_classes, input_shape)


HOSTILE_ERROR = "=boom <b>x</b> [red]y[/red] $z_1$ a|b \x1b[31m\nsecond line"
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "$x_y$ [red]bold[/red] a|b",
    "@SUM(1)"[1:],
    "100% & #1 {x}~^\\",
)


def never_explained(num_classes: int, input_shape: Shape, *, how: str = "raises") -> nn.Module:
    """Convolve, and go wrong when asked for a gradient after training.

    Args:
        num_classes: number of logits.
        input_shape: (channels, height, width).
        how: `raises`, `exits`, `draws` random numbers, or is `changed` by every image.
    """
    import torch

    class Shy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.Conv2d(input_shape[0], 4, 3, padding=1)
            self.head = torch.nn.Linear(4, num_classes)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, images: Tensor) -> Tensor:
            if torch.is_grad_enabled() and not self.training:
                if how == "raises":
                    raise RuntimeError("<b>no $gradient$</b>")
                if how == "exits":
                    raise SystemExit(3)
                if how == "draws":
                    torch.rand(3)
                if how == "changed":
                    self.seen += len(images)
                    with torch.no_grad():
                        self.head.weight.zero_()
            logits: Tensor = self.head(self.features(images).relu().mean((2, 3)))
            return logits

    return Shy()


BUILDS = {
    "never-explained": never_explained,
    "tiny": tiny,
    "segfaults": segfaults,
    "exits": exits,
    "quits": quits,
    "dies-late": dies_late,
    "lost-rank": lost_rank,
    "sleeps": sleeps,
    "dropout": dropout,
    "fragile": fragile,
    "restless": restless,
    "short-files": short_files,
    "fills-disk": fills_disk,
    "killed-at-rename": killed_at_rename,
    "stuck": stuck_in_rehearsal,
    "spins": spins,
    "noisy": noisy,
    "nan-logits": nan_logits,
    "nan-in-evaluation": nan_in_evaluation,
    "wrong-shape": wrong_shape,
    "wrong-output": wrong_output,
    "not-a-module": not_a_module,
    "frozen": frozen,
    "raises": raises,
    "out-of-memory": out_of_memory,
    "mended": mended,
    "endless": endless,
    "fixed-17px": fixed_17px,
    **dict.fromkeys(HOSTILE_NAMES, tiny),
}
HINTS = {"fixed-17px": bench.ModelHints(family="odd", input_size=17)}
MODELS = [
    bench.Model(name=name, build=build, hints=HINTS.get(name)) for name, build in BUILDS.items()
]
MODELS.append(bench.Model(name="chatty", build=tiny, preload=("faults.chatty",)))
