"""DeepLab-v2 (Chen et al., TPAMI 2018): a dilated ResNet and a sum of dilated classifiers (ASPP)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthcp.nn.resnet import Depth, OutputStride, ResNet, ResNetConfig
from synthcp.nn.spatial import SpatialDims, channel_dropout, conv
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.input_size import InputSize


@dataclass(frozen=True)
class DeepLabConfig:
    """The paper's M is depth 101, width 64, output stride 8, rates 6, 12, 18, 24.

    Attributes:
        classes: L.
        in_channels: Channels of the image.
        depth: Of the trunk.
        width: Channels of the trunk's first stage.
        output_stride: Of the trunk.
        rates: Dilation of each classifier of the pyramid, in feature pixels.
        dropout: Share of feature channels dropped before the classifiers.
        mean: Per image channel; one number serves all.
        std: Per image channel; one number serves all.
    """

    classes: int
    in_channels: int = 3
    depth: Depth = 18
    width: int = 64
    output_stride: OutputStride = 8
    rates: tuple[int, ...] = (6, 12, 18, 24)
    dropout: float = 0.1
    mean: tuple[float, ...] = (0.45,)
    std: tuple[float, ...] = (0.225,)


class DeepLab(Segmenter):
    """ResNet trunk, dropout, and the sum of one dilated 3x3 classifier per rate."""

    def __init__(self, spatial_dims: SpatialDims, config: DeepLabConfig, input_size: InputSize | None = None) -> None:
        super().__init__(spatial_dims, config.mean, config.std, input_size)
        self.config = config
        trunk = ResNetConfig(config.in_channels, config.depth, config.width, config.output_stride)
        self.trunk = ResNet(spatial_dims, trunk)
        self.dropout = channel_dropout(spatial_dims, config.dropout)
        channels = self.trunk.out_channels[-1]
        self.pyramid = nn.ModuleList(
            conv(spatial_dims, channels, config.classes, dilation=rate) for rate in config.rates
        )
        for classifier in self.pyramid:
            assert isinstance(classifier, nn.Conv2d | nn.Conv3d) and classifier.bias is not None
            nn.init.normal_(classifier.weight, std=0.01)
            nn.init.zeros_(classifier.bias)

    def look(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and the trunk's four stages."""
        stages: list[Tensor] = self.trunk(image)
        return self.classify(stages[-1]), stages

    def classify(self, features: Tensor) -> Tensor:
        """Sum the classifiers of the pyramid: logits (B, L, *s) of features (B, K, *s)."""
        features = self.dropout(features)
        return torch.stack([classifier(features) for classifier in self.pyramid]).sum(dim=0)
