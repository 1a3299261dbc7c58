"""PSPNet (Zhao et al., CVPR 2017) and the plain ResNet decoder beside it: M of the paper's Tables 3 and 4.

Both put a 3x3 fusion and a 1x1 classifier on a dilated ResNet and supervise the stage before the last one too, as the
anomaly benchmark does (Hendrycks et al., ICML 2022); PSPNet pools the trunk's features over pyramids of regions first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.nn.resnet import Depth, trunk_or_resnet
from synthcp.nn.spatial import SpatialDims, channel_dropout, conv, conv_unit, resize
from synthcp.nn.trunk import DEEPEST, OutputStride, TrunkShape
from synthcp.segmentation.base import Segmenter, SegmenterShape
from synthcp.segmentation.input_size import InputSize

PYRAMID = (1, 2, 3, 6)


@dataclass(frozen=True)
class PSPNetConfig:
    """The benchmark's M is depth 50 or 101, width 64, output stride 8, hidden 512.

    Attributes:
        classes: L.
        in_channels: Channels of the image.
        depth: Of the trunk.
        width: Channels of the trunk's first stage.
        output_stride: Of the trunk.
        pyramid: Into how many regions along each axis the features are pooled, one number a level; none is the plain
            decoder.
        hidden: Channels of each pooled level and of f_M.
        dropout: Share of the channels of f_M dropped before the classifier.
        deep_supervision: Weight of the loss on the stage before the last one.
        trunk: By its name, as wide as published; empty takes the ResNet of that depth and width.
    """

    classes: int
    in_channels: int = 3
    depth: Depth = 50
    width: int = 64
    output_stride: OutputStride = 8
    pyramid: tuple[int, ...] = PYRAMID
    hidden: int = 512
    dropout: float = 0.1
    deep_supervision: float = 0.4
    trunk: str = ""


class PSPNet(Segmenter):
    """Trunk, pyramid pooling, 3x3 fusion to f_M, dropout, 1x1 classifier.

    The feature maps are the trunk's four deepest, the concatenation of the last one with its pooled levels (which the
    authors' release compares), and f_M (which the paper's eq. 9 compares); without a pyramid there is no concatenation.
    """

    def __init__(self, spatial_dims: SpatialDims, config: PSPNetConfig, input_size: InputSize | None = None) -> None:
        shape = TrunkShape(spatial_dims, config.in_channels, width=config.width, output_stride=config.output_stride)
        trunk = trunk_or_resnet(config.trunk, config.depth, shape)
        super().__init__(spatial_dims, *trunk.normalization, input_size)
        self.config = config
        self.trunk = trunk
        *_, third, fourth = self.trunk.out_channels
        hidden, levels = config.hidden, len(config.pyramid)
        self.levels = nn.ModuleList(conv_unit(spatial_dims, fourth, hidden, kernel=1) for _ in config.pyramid)
        self.fusion = conv_unit(spatial_dims, fourth + levels * hidden, hidden, kernel=3)
        self.dropout = channel_dropout(spatial_dims, config.dropout)
        self.classifier = conv(spatial_dims, hidden, config.classes, kernel=1)
        auxiliary = conv(spatial_dims, hidden, config.classes, kernel=1)
        self.auxiliary = nn.Sequential(conv_unit(spatial_dims, third, hidden, kernel=3), auxiliary)

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and the feature maps from the trunk's first stage to f_M."""
        layers: list[Tensor] = self.trunk.stages(image)[-DEEPEST:]
        if self.config.pyramid:
            layers = [*layers, self._with_levels(layers[-1])]
        features = self.fusion(layers[-1])
        return self.classify(features), [*layers, features]

    def classify(self, features: Tensor) -> Tensor:
        """Classify f_M: logits (B, L, *s) of features (B, hidden, *s)."""
        logits: Tensor = self.classifier(self.dropout(features))
        return logits

    def supervised(self, image: Tensor) -> list[tuple[float, Tensor]]:
        """Return the logits to be supervised, with their weights: the classifier's, and those of the third stage."""
        prediction = self(image)
        auxiliary = resize(self.auxiliary(prediction.layers[2]).float(), image.shape[2:])
        return [(1.0, prediction.logits), (self.config.deep_supervision, auxiliary)]

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Let the trunk start from its published weights (see Trunk.load_weights)."""
        self.trunk.load_weights(weights)

    def _with_levels(self, features: Tensor) -> Tensor:
        """Concatenate features (B, K, *s) with what each level sees in its regions (B, hidden, *s)."""
        pool: Callable[[Tensor, int], Tensor] = F.adaptive_avg_pool2d if features.ndim == 4 else F.adaptive_avg_pool3d
        parts = [features]
        for level, regions in zip(self.levels, self.config.pyramid, strict=True):
            parts.append(resize(level(pool(features, regions)), features.shape[2:]))
        return torch.cat(parts, dim=1)


def pspnet(shape: SegmenterShape, pyramid: tuple[int, ...] = PYRAMID) -> PSPNet:
    """Return PSPNet."""
    trunk = (shape.depth, shape.width, shape.output_stride)
    config = PSPNetConfig(shape.classes, shape.channels, *trunk, pyramid, shape.hidden, trunk=shape.trunk)
    return PSPNet(shape.spatial_dims, config, shape.input_size)


def resnet(shape: SegmenterShape) -> PSPNet:
    """Return the plain decoder."""
    return pspnet(shape, pyramid=())
