"""FCN-8s (Long et al., CVPR 2015): VGG-16 as convolutions, and scores of three depths added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.errors import WeightsError
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.spatial import SpatialDims, channel_dropout, conv, resize
from synthcp.nn.trunk import TrunkShape
from synthcp.nn.vgg import VGG, VGGConfig
from synthcp.segmentation.base import Segmenter, SegmenterShape
from synthcp.segmentation.input_size import InputSize

_CLASSIFIER = {"fc6": "classifier.0", "fc7": "classifier.3"}  # ours: torchvision's


@dataclass(frozen=True)
class FCN8Config:
    """The paper's M is FCN8Config(classes), which starts from ImageNet's weights.

    Attributes:
        classes: L.
        in_channels: Channels of the image.
        width: Channels of VGG's first stage.
        hidden: Channels of fc6 and fc7.
        dropout: Share of the channels of fc6 and fc7 that is dropped.
        margin: 100 lays so many zeros around the image (Long et al.), and all scores are cut to what lies over it; with
            0 fc6 pads itself instead, which is cheaper by far where images are small.
        normalized: Whether VGG has batch norms (see VGGConfig).
        trunk: "vgg16" or "vgg19", as wide as published; empty takes a VGG-16 of that width.
        whole: Whether public weights bring fc6 and fc7 too; without them these are trained from scratch.
        scaled: Whether pool4 counts 0.01 and pool3 0.0001 times (Long et al.); from scratch they had better count full.
    """

    classes: int
    in_channels: int = 3
    width: int = 64
    hidden: int = 4096
    dropout: float = 0.5
    margin: Literal[0, 100] = 100
    normalized: bool = False
    trunk: str = ""
    whole: bool = True
    scaled: bool = True


class FCN8(Segmenter):
    """VGG-16, fc6 and fc7 as convolutions, each with dropout, and one 1x1 classifier each on fc7, pool4 and pool3.

    The feature maps are pool2, pool3, pool4 and f_M, the output of fc7; of an image with a margin, what lies over it.
    """

    def __init__(self, spatial_dims: SpatialDims, config: FCN8Config, input_size: InputSize | None = None) -> None:
        trunk = _vgg(spatial_dims, config)
        super().__init__(spatial_dims, *trunk.normalization, input_size)
        self.config = config
        self.zeros = max(0, config.margin - 1)  # around the image; one more is the first convolution's own
        self.vgg = trunk
        _, _, third, fourth, fifth = self.vgg.out_channels
        self.fc6 = conv(spatial_dims, fifth, config.hidden, kernel=7, padding=0 if config.margin else 3)
        self.fc7 = conv(spatial_dims, config.hidden, config.hidden, kernel=1)
        self.dropout = channel_dropout(spatial_dims, config.dropout)
        self.score = conv(spatial_dims, config.hidden, config.classes, kernel=1)
        self.score_pool4 = conv(spatial_dims, fourth, config.classes, kernel=1)
        self.score_pool3 = conv(spatial_dims, third, config.classes, kernel=1)
        nn.init.normal_(self.score.weight, std=0.01)
        for skip in (self.score_pool4, self.score_pool3):  # at first fc7 alone decides
            nn.init.zeros_(skip.weight)
            assert skip.bias is not None
            nn.init.zeros_(skip.bias)

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and pool2, pool3, pool4 and fc7."""
        size = image.shape[2:]
        _, pool2, pool3, pool4, pool5 = self.vgg.stages(F.pad(image, [self.zeros, self.zeros] * len(size)))
        features = self.fc7(self.dropout(self.fc6(pool5).relu())).relu()
        logits = self.classify(pool3, pool4, features)
        maps = [pool2, pool3, pool4, features]
        return (_cut(enlarged(logits, 8), 31, size), self._over(size, maps)) if self.zeros else (logits, maps)

    def classify(self, pool3: Tensor, pool4: Tensor, features: Tensor) -> Tensor:
        """Add up the scores of three depths: logits (B, L, *s) at stride 8 of maps (B, K, *s) at strides 8, 16, 32."""
        small, smaller = (0.01, 0.0001) if self.config.scaled else (1.0, 1.0)
        score: Tensor = self.score(self.dropout(features))
        score = self._sum(score, self.score_pool4(small * pool4), first=5)
        return self._sum(score, self.score_pool3(smaller * pool3), first=9)

    def _sum(self, score: Tensor, skip: Tensor, first: int) -> Tensor:
        """A score at twice its size, and a finer one, of which it lies over the part from the first pixel on."""
        if not self.zeros:
            return resize(score, skip.shape[2:]) + skip
        score = enlarged(score, 2)
        return score + _cut(skip, first, score.shape[2:])

    def _over(self, size: Sequence[int], maps: Sequence[Tensor]) -> list[Tensor]:
        """What lies over an image without its margin, as many pixels as the image has at each stride."""
        strides = self.vgg.strides[1:]
        first = [self.zeros // stride for stride in strides]
        first[-1] -= 3  # of pool5's pixels, three on each side are seen by fc6 as the surroundings only
        sizes = [[-(-side // stride) for side in size] for stride in strides]
        return [_cut(*layer) for layer in zip(maps, first, sizes, strict=True)]

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Start from torchvision's VGG, with batch norm if normalized; its linear layers become fc6, fc7 if whole.

        Raises:
            WeightsError: A key is missing or of another shape.
        """
        parameters = {
            f"{theirs}.{entry}": self.get_parameter(f"{ours}.{entry}")
            for ours, theirs in (_CLASSIFIER.items() if self.config.whole else ())
            for entry in ("weight", "bias")
        }
        for key, parameter in parameters.items():
            if key not in weights or len(weights[key]) != len(parameter) or weights[key].numel() != parameter.numel():
                raise WeightsError(
                    f"weights do not fit FCN-8: {key} is missing or of another shape; "
                    "use torchvision's state dict of VGG-16, classifier included"
                )
        self.vgg.load_weights(weights)
        for key, parameter in parameters.items():
            parameter.copy_(weights[key].view_as(parameter))


def _vgg(spatial_dims: SpatialDims, config: FCN8Config) -> VGG:
    if config.trunk:
        trunk = new_trunk(config.trunk, TrunkShape(spatial_dims, config.in_channels))
        assert isinstance(trunk, VGG)
        return trunk
    return VGG(spatial_dims, VGGConfig(config.in_channels, 16, config.width, config.normalized))


def fcn8(shape: SegmenterShape) -> FCN8:
    """Return Long et al.'s where the ResNets are as deep as the papers'; elsewhere one that learns from scratch."""
    config = FCN8Config(shape.classes, shape.channels)
    if shape.depth != 101:
        width, hidden = shape.width // 2, 8 * (shape.width // 2)
        config = replace(config, width=width, hidden=hidden, margin=0, normalized=True, scaled=False)
    if shape.trunk:
        config = replace(config, trunk=shape.trunk, normalized=False, whole=shape.depth == 101)
    return FCN8(shape.spatial_dims, config, shape.input_size)


def enlarged(score: Tensor, factor: int) -> Tensor:
    """Enlarge (B, L, *s) to (B, L, *factor (s + 1)) by a fixed (bi- or trilinear) transposed convolution.

    Its kernel is twice as large as the factor; so score after score fades to 0 beyond its border.
    """
    surrounded = F.pad(score, [1, 1] * (score.ndim - 2))
    size = [factor * side for side in surrounded.shape[2:]]
    return _cut(resize(surrounded, size), factor // 2, [side - factor for side in size])


def _cut(features: Tensor, start: int, size: Sequence[int]) -> Tensor:
    for axis, side in enumerate(size, start=2):
        features = features.narrow(axis, start, side)
    return features
