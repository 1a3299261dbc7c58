"""The one place that knows the difference between images (2) and volumes (3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SpatialDims = Literal[2, 3]


class VolumeConv(nn.Conv3d):
    """A 3D convolution that sees volumes smaller than its kernel in float32.

    In bfloat16 on CPUs, PyTorch's gradient of its weights is then not a number every now and then (seen in 2.13).
    """

    def forward(self, volume: Tensor) -> Tensor:
        """Convolve (B, in_channels, D, H, W)."""
        if volume.device.type == "cpu" and min(volume.shape[2:]) < max(self.kernel_size):
            with torch.autocast("cpu", enabled=False):
                return super().forward(volume.float())
        return super().forward(volume)


_LINEAR_MODE = {2: "bilinear", 3: "trilinear"}


def dims_of(batch: Tensor) -> SpatialDims:
    """Return the number of spatial axes of a batch, 2 for (B, C, H, W), 3 for (B, C, D, H, W)."""
    return 3 if batch.ndim == 5 else 2


def _layer(kind: str, spatial_dims: SpatialDims, *sizes: float, **options: bool) -> nn.Module:
    """A layer of torch.nn, such as BatchNorm2d."""
    layer: nn.Module = getattr(nn, f"{kind}{spatial_dims}d")(*sizes, **options)
    return layer


def _conv(spatial_dims: SpatialDims) -> type[nn.Conv2d] | type[nn.Conv3d]:
    return nn.Conv2d if spatial_dims == 2 else VolumeConv


def conv(
    spatial_dims: SpatialDims,
    in_channels: int,
    out_channels: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    bias: bool = True,
    groups: int = 1,
    padding: int | None = None,
    padding_mode: Literal["zeros", "reflect"] = "zeros",
) -> nn.Conv2d | nn.Conv3d:
    """Return a convolution, padded to keep the size (before its stride) unless told otherwise."""
    padding = dilation * (kernel - 1) // 2 if padding is None else padding
    sizes = (kernel, stride, padding, dilation, groups)
    return _conv(spatial_dims)(in_channels, out_channels, *sizes, bias=bias, padding_mode=padding_mode)


def conv_unit(
    spatial_dims: SpatialDims, in_channels: int, out_channels: int, *, kernel: int = 3, dilation: int = 1
) -> nn.Module:
    """Return a convolution that keeps the size, its batch normalisation and a ReLU."""
    projection = conv(spatial_dims, in_channels, out_channels, kernel=kernel, dilation=dilation, bias=False)
    return nn.Sequential(projection, batch_norm(spatial_dims, out_channels), nn.ReLU())


def halving_conv(spatial_dims: SpatialDims, in_channels: int, out_channels: int) -> nn.Module:
    """Return a convolution of blocks of two pixels per axis to one; the sides must be even."""
    return _conv(spatial_dims)(in_channels, out_channels, kernel_size=2, stride=2)


def doubling_conv(
    spatial_dims: SpatialDims, in_channels: int, out_channels: int, *, kernel: int = 2
) -> nn.ConvTranspose2d | nn.ConvTranspose3d:
    """Return a transposed convolution to twice the size; a kernel of two is the mirror of halving_conv."""
    padding, beyond = (kernel - 1) // 2, kernel % 2
    kind = nn.ConvTranspose2d if spatial_dims == 2 else nn.ConvTranspose3d
    return kind(in_channels, out_channels, kernel, 2, padding, beyond)


def batch_norm(spatial_dims: SpatialDims, channels: int, *, affine: bool = True) -> nn.Module:
    """Return a batch normalisation."""
    return _layer("BatchNorm", spatial_dims, channels, affine=affine)


def instance_norm(spatial_dims: SpatialDims, channels: int) -> nn.Module:
    """Return an instance normalisation without parameters."""
    return _layer("InstanceNorm", spatial_dims, channels)


def max_pool(
    spatial_dims: SpatialDims, *, kernel: int, stride: int, padding: int, ceil_mode: bool = False
) -> nn.Module:
    """Return a max pooling; in ceil mode pixels that are left over at the far ends are pooled too."""
    return _layer("MaxPool", spatial_dims, kernel, stride, padding, ceil_mode=ceil_mode)


class DensePool(nn.Module):
    """Max pooling of all windows, none left out by a stride, so that the size stays; of features behind a ReLU.

    Args:
        kernel: Pixels of a window along each axis.
        dilation: Their distance.
    """

    def __init__(self, kernel: int, dilation: int) -> None:
        super().__init__()
        self.kernel, self.dilation = kernel, dilation

    def forward(self, features: Tensor) -> Tensor:
        """Pool (B, C, *S); the window of a pixel has it in its middle, or as its first one if it has no middle."""
        before = self.dilation * ((self.kernel - 1) // 2)
        after = self.dilation * (self.kernel - 1) - before
        padded = F.pad(features, [before, after] * (features.ndim - 2))
        pool = F.max_pool2d if features.ndim == 4 else F.max_pool3d
        return pool(padded, self.kernel, stride=1, dilation=self.dilation)


def average_pool(spatial_dims: SpatialDims, *, kernel: int, stride: int, padding: int) -> nn.Module:
    """Return an average pooling that leaves the padding out of the mean."""
    return _layer("AvgPool", spatial_dims, kernel, stride, padding, count_include_pad=False)


def channel_dropout(spatial_dims: SpatialDims, share: float) -> nn.Module:
    """Return a dropout of whole channels."""
    return _layer("Dropout", spatial_dims, share)


def resize(tensor: Tensor, size: Sequence[int], *, antialias: bool = False) -> Tensor:
    """Resize (B, C, *S) to (B, C, *size), linearly along every spatial axis.

    Args:
        tensor: What to resize.
        size: The new size.
        antialias: Whether fine structure of an image (not of a volume) is smoothed before it becomes smaller.
    """
    if tuple(tensor.shape[2:]) == tuple(size):
        return tensor
    mode, smooth = _LINEAR_MODE[tensor.ndim - 2], antialias and tensor.ndim == 4
    return F.interpolate(tensor, size=list(size), mode=mode, align_corners=False, antialias=smooth)


def cell_means(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Average (B, C, *S) over the cells of a coarser grid, which overlap by a pixel where they do not divide it."""
    if not tensor.shape[1]:  # which pooling refuses
        return tensor.new_zeros(len(tensor), 0, *size)
    pool = F.adaptive_avg_pool2d if tensor.ndim == 4 else F.adaptive_avg_pool3d
    return pool(tensor, tuple(size))  # type: ignore[arg-type]  # as many as the tensor has axes


def resize_nearest(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, C, *S) to (B, C, *size), taking the nearest pixel."""
    if tuple(tensor.shape[2:]) == tuple(size):
        return tensor
    return F.interpolate(tensor, size=list(size), mode="nearest")
