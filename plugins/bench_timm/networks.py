"""What some of timm's architectures need around them."""

from __future__ import annotations

import torch
from torch import nn


class GrayAsColor(nn.Module):
    """Show gray images to a network that takes colour only.

    Args:
        network: maps images (N, 3, H, W) to logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map gray images (N, 1, H, W) to logits (N, classes)."""
        logits: torch.Tensor = self.network(images.expand(-1, 3, -1, -1))
        return logits
