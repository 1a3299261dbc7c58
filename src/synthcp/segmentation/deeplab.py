"""DeepLab-v2 (Chen et al., TPAMI 2018): a dilated ResNet and a sum of dilated classifiers (ASPP).

The authors' release of "Synthesize then Compare" puts the head of DeepLab-v3 (Chen et al., 2017) in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from synthcp.nn.resnet import Depth, trunk_or_resnet
from synthcp.nn.spatial import SpatialDims, channel_dropout, conv, conv_unit
from synthcp.nn.trunk import DEEPEST, OutputStride, TrunkShape
from synthcp.segmentation.base import Segmenter, SegmenterShape
from synthcp.segmentation.input_size import InputSize


@dataclass(frozen=True)
class DeepLabConfig:
    """The paper's M is depth 101, width 64, output stride 8, rates 6, 12, 18, 24.

    The authors' release has depth 101, width 64, output stride 8, rates 6, 12, 18, dropout 0.5, head "v3".

    Attributes:
        classes: L.
        in_channels: Channels of the image.
        depth: Of the trunk.
        width: Channels of the trunk's first stage.
        output_stride: Of the trunk.
        rates: Dilation of each 3x3 convolution of the pyramid, in feature pixels.
        dropout: Share of the channels of f_M dropped before the classifiers.
        head: "sum" has one dilated classifier per rate; "v3" fuses a pyramid of features, and classifies these once.
        hidden: Channels of each part of the "v3" pyramid and of what they are fused to.
        trunk: By its name, as wide as published; empty takes the ResNet of that depth and width.
    """

    classes: int
    in_channels: int = 3
    depth: Depth = 18
    width: int = 64
    output_stride: OutputStride = 8
    rates: tuple[int, ...] = (6, 12, 18, 24)
    dropout: float = 0.1
    head: Literal["sum", "v3"] = "sum"
    hidden: int = 256
    trunk: str = ""


class DeepLab(Segmenter):
    """Trunk, dropout, and the sum of one dilated 3x3 classifier per rate, or of one 1x1 behind a "v3" pyramid.

    The feature maps are the trunk's four deepest; of "v3" the last one is what its pyramid fuses instead.
    """

    def __init__(self, spatial_dims: SpatialDims, config: DeepLabConfig, input_size: InputSize | None = None) -> None:
        shape = TrunkShape(spatial_dims, config.in_channels, width=config.width, output_stride=config.output_stride)
        trunk = trunk_or_resnet(config.trunk, config.depth, shape)
        super().__init__(spatial_dims, *trunk.normalization, input_size)
        self.config = config
        self.trunk = trunk
        channels, classes = self.trunk.out_channels[-1], config.classes
        self.fusion: nn.Module = nn.Identity()
        self.dropout = channel_dropout(spatial_dims, config.dropout)
        if config.head == "v3":
            self.fusion = AtrousPyramid(spatial_dims, channels, config.hidden, config.rates)
            self.pyramid = nn.ModuleList([conv(spatial_dims, config.hidden, classes, kernel=1)])
        else:
            self.pyramid = nn.ModuleList(conv(spatial_dims, channels, classes, dilation=rate) for rate in config.rates)
        for classifier in self.pyramid:
            assert isinstance(classifier, nn.Conv2d | nn.Conv3d) and classifier.bias is not None
            nn.init.normal_(classifier.weight, std=0.01)
            nn.init.zeros_(classifier.bias)

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and the four feature maps."""
        *stages, last = self.trunk.stages(image)[-DEEPEST:]
        features = self.fusion(last)
        return self.classify(features), [*stages, features]

    def classify(self, features: Tensor) -> Tensor:
        """Sum the classifiers: logits (B, L, *s) of features (B, K, *s)."""
        features = self.dropout(features)
        return torch.stack([classifier(features) for classifier in self.pyramid]).sum(dim=0)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Let the trunk start from its published weights (see Trunk.load_weights)."""
        self.trunk.load_weights(weights)


def deeplab(shape: SegmenterShape) -> DeepLab:
    """Return DeepLab-v2, or with the head of v3 that of the authors' release, whose pyramid has one rate less."""
    config = DeepLabConfig(shape.classes, shape.channels, shape.depth, shape.width, shape.output_stride, shape.rates)
    config = replace(config, trunk=shape.trunk)
    if shape.deeplab_head == "v3":
        config = replace(config, head="v3", hidden=shape.hidden // 2, rates=shape.rates[:3], dropout=0.5)
    return DeepLab(shape.spatial_dims, config, shape.input_size)


class AtrousPyramid(nn.Module):
    """DeepLab-v3's: a 1x1, one dilated 3x3 per rate and the mean of the image, side by side, fused by a 1x1."""

    def __init__(self, spatial_dims: SpatialDims, in_channels: int, hidden: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.local = nn.ModuleList([conv_unit(spatial_dims, in_channels, hidden, kernel=1)])
        self.local.extend(conv_unit(spatial_dims, in_channels, hidden, dilation=rate) for rate in rates)
        self.whole = conv_unit(spatial_dims, in_channels, hidden, kernel=1)
        self.fused = conv_unit(spatial_dims, (len(self.local) + 1) * hidden, hidden, kernel=1)

    def forward(self, features: Tensor) -> Tensor:
        """Fuse features (B, in_channels, *s) to (B, hidden, *s)."""
        parts = [level(features) for level in self.local]
        mean = features.mean(dim=tuple(range(2, features.ndim)), keepdim=True)
        fused: Tensor = self.fused(torch.cat([*parts, self.whole(mean).expand_as(parts[0])], dim=1))
        return fused
