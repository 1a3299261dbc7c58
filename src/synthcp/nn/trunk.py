"""The seam of trunks: an image goes in, feature maps at rising strides come out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from synthcp.errors import WeightsError
from synthcp.nn.spatial import SpatialDims

OutputStride = Literal[4, 8, 16, 32]
Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel; one number serves all channels."""

PLAIN: Normalization = ((0.45,), (0.225,))
"""To which images are normalised where no weights say otherwise."""
IMAGENET: Normalization = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""To which torchvision and timm normalise images."""

DEEPEST = 4
"""Feature maps of a trunk that M and F build on, from the deepest one up."""


@dataclass(frozen=True)
class TrunkShape:
    """What a trunk is built for.

    Attributes:
        spatial_dims: 2 or 3.
        in_channels: Channels of the image.
        beside: Further channels, such as a label map's, which are not normalised.
        width: Channels of the first convolution, to which all others are in proportion; 0 takes the published ones.
        output_stride: Of the deepest feature map at most; below the trunk's own the last stages dilate, not stride.
    """

    spatial_dims: SpatialDims
    in_channels: int = 3
    beside: int = 0
    width: int = 0
    output_stride: OutputStride = 32

    @property
    def channels(self) -> int:
        """Of all that the first convolution sees."""
        return self.in_channels + self.beside

    def normalization(self, published: Normalization) -> Normalization:
        """Return a published mean and deviation for these images; other than RGB images take the mean of both."""
        if self.in_channels == len(published[0]):
            return published
        mean, std = ((sum(values) / len(values),) for values in published)
        return mean, std


class Trunk(nn.Module):
    """A network on whose feature maps others are built.

    Attributes:
        title: What messages call it.
        out_channels: Channels of each feature map.
        strides: Of each feature map; its sides are those of the image over the stride, rounded up.
        left_aside: Prefixes of the published keys behind the trunk, such as those of its classifier.
        first_kernel: Key of the weights of the first convolution.
        keys: Whose key names its parameters carry.
        normalization: Mean and standard deviation to which it wants an image normalised.
    """

    title: str
    out_channels: tuple[int, ...]
    strides: tuple[int, ...]
    left_aside: tuple[str, ...] = ()
    first_kernel: str = ""
    keys: str = "torchvision"
    normalization: Normalization = PLAIN

    def forward(self, image: Tensor, beside: Tensor | None = None) -> list[Tensor]:
        """Return the feature maps (B, out_channels[i], *s) of an image, shallow to deep.

        Args:
            image: Shape (B, C, *S), in [0, 1].
            beside: Further channels (B, K, *S), if the trunk was built for any (see TrunkShape); not normalised.
        """
        normalized = self.normalize(image)
        return self.stages(normalized if beside is None else torch.cat([normalized, beside], dim=1))

    def normalize(self, image: Tensor) -> Tensor:
        """Shift and scale an image (B, C, *S) in [0, 1] to what the trunk was trained on."""
        mean, std = (_per_channel(values, image) for values in self.normalization)
        return (image - mean) / std

    @abstractmethod
    def stages(self, normalized: Tensor) -> list[Tensor]:
        """Return the feature maps of what is normalised already, shape (B, C + K, *S); see forward."""

    def compared(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps of an image (B, C, *S) in [0, 1] by which a perceptual loss compares it."""
        maps: list[Tensor] = self(image)
        return maps

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load a published state dict, without what lies behind the trunk; batch counters need not be there.

        A first convolution with more input channels than the file's keeps zero weights for the additional ones, so
        that the trunk starts as the file's network, blind to them.

        Raises:
            WeightsError: A key is missing, unknown, or of another shape.
        """
        own = self.state_dict()
        given = {key: value for key, value in weights.items() if not key.startswith(self.left_aside)}
        if self.first_kernel in given:
            given[self.first_kernel] = _widened(given[self.first_kernel], own[self.first_kernel])
        problems = {
            "missing": [key for key in own if key not in given and not key.endswith("num_batches_tracked")],
            "unknown": [key for key in given if key not in own],
            "of another shape": [key for key in given if key in own and given[key].shape != own[key].shape],
        }
        told = ", ".join(f"{problem} {sorted(keys)[:3]}" for problem, keys in problems.items() if keys)
        if told:
            raise WeightsError(
                f"weights do not fit {self.title}: {told}; use a state dict with {self.keys}'s key names, of the same "
                "depth and width"
            )
        self.load_state_dict(given, strict=False)


def scaled(channels: Sequence[int], width: int) -> list[int]:
    """Return published numbers of channels, the first one at a width and all others in proportion; 0 changes nothing.

    >>> scaled([32, 16, 24], width=4)
    [4, 2, 3]
    """
    return [max(1, round(count * width / channels[0])) for count in channels] if width else list(channels)


def _per_channel(values: Sequence[float], image: Tensor) -> Tensor:
    return image.new_tensor(values).view(-1, *[1] * (image.ndim - 2))


def _widened(kernel: Tensor, own: Tensor) -> Tensor:
    """A kernel with zeros for the input channels that only our own has."""
    additional = own.shape[1] - kernel.shape[1] if kernel.ndim == own.ndim else 0
    if additional <= 0:
        return kernel
    return torch.cat([kernel, kernel.new_zeros(kernel.shape[0], additional, *kernel.shape[2:])], dim=1)
