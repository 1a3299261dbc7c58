"""VGG-19 features (Simonyan and Zisserman, ICLR 2015) for the perceptual loss, from a file of weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from synthcp.errors import WeightsError

_LAYOUT = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)
# relu1_1, relu2_1, relu3_1, relu4_1, relu5_1: the layers of SPADE's perceptual loss, by torchvision's index
_TAPS = (1, 6, 11, 20, 29)


class VGG19(nn.Module):
    """The convolutions of VGG-19 up to relu5_1; 2D, three channels, torchvision's key names."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        for width in _LAYOUT:
            if width == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU()]
            in_channels = width
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the five tapped feature maps of an image (B, 3, H, W) in [0, 1]."""
        features = (image - self.mean) / self.std
        taps = []
        for index, layer in enumerate(self.features):
            features = layer(features)
            if index in _TAPS:
                taps.append(features)
        return taps

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load torchvision's VGG-19 state dict; the layers behind relu5_1 and the classifier are left aside.

        Raises:
            WeightsError: A key is missing or of another shape.
        """
        wanted = self.state_dict()
        missing = [key for key in wanted if key not in weights or weights[key].shape != wanted[key].shape]
        if missing:
            raise WeightsError(
                f"weights do not fit VGG-19: {missing[0]} is missing or of another shape; "
                "use a state dict with torchvision's key names"
            )
        self.load_state_dict({key: weights[key] for key in wanted})
