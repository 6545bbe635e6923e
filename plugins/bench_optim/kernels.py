"""Where torch's fused kernels can update a network's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import SGD


def fused(model: nn.Module) -> bool | None:
    """Return what to pass to an optimizer as `fused`: True, or None for torch's own choice.

    A fused kernel takes a whole step in one pass over memory. It goes through weights, gradients
    and state in the order in which they lie; on a CPU nothing checks that they lie alike. torch
    makes gradients and state like their weight where that is dense
    (https://docs.pytorch.org/docs/stable/autograd.html#default-gradient-layouts), so other
    weights are left to the plain kernels. So are those of 16 bits, which fused SGD skips on a CPU
    (https://github.com/pytorch/pytorch/issues/191763), complex ones, and sparse gradients.
    """
    import torch

    def fits(parameter: nn.Parameter) -> bool:
        # Subclasses may keep their values elsewhere than a kernel looks for them.
        return (
            type(parameter) is torch.nn.Parameter
            and parameter.dtype in (torch.float32, torch.float64)
            and parameter.device.type in ("cpu", "cuda")
            # What is made like a tensor lies like it only where that is dense.
            and torch.empty_like(parameter, device="meta").stride() == parameter.stride()
        )

    is_sparse = any(getattr(module, "sparse", False) is True for module in model.modules())
    return True if not is_sparse and all(map(fits, model.parameters())) else None


def with_velocities(optimizer: SGD) -> SGD:
    """Give a fused optimizer with momentum its velocities, all of them 0, before the first step.

    torch makes each at the first gradient of its weight, and its fused kernel takes none or all: a
    layer that is left out of some steps would end the run. From 0 the first step is the same.
    """
    import torch

    for group in optimizer.param_groups:
        if group["fused"] and group["momentum"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer
