"""The seam of trunks: an image goes in, feature maps at rising strides come out; and the trunks that there are."""

from __future__ import annotations

import pkgutil
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from synthcp.errors import WeightsError
from synthcp.nn.spatial import SpatialDims

TRUNKS: dict[str, str] = {
    "resnet": "synthcp.nn.resnet:resnet",
    "vgg": "synthcp.nn.vgg:vgg",
}
"""The function that builds each trunk, from a TrunkShape."""


@dataclass(frozen=True)
class TrunkShape:
    """What a trunk is built for.

    Attributes:
        spatial_dims: 2 or 3.
        in_channels: Channels of the image.
        width: Channels of the first stage.
    """

    spatial_dims: SpatialDims
    in_channels: int = 3
    width: int = 64


def new_trunk(name: str, shape: TrunkShape) -> Trunk:
    """Return one of TRUNKS with fresh weights."""
    build: Callable[[TrunkShape], Trunk] = pkgutil.resolve_name(TRUNKS[name])
    return build(shape)


class Trunk(nn.Module):
    """A network on whose feature maps others are built.

    Attributes:
        title: What messages call it.
        out_channels: Channels of each feature map.
        strides: Of each feature map; its sides are those of the image over the stride, rounded up.
        left_aside: Prefixes of the published keys behind the trunk, such as those of its classifier.
    """

    title: str
    out_channels: tuple[int, ...]
    strides: tuple[int, ...]
    left_aside: tuple[str, ...]

    @abstractmethod
    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps (B, out_channels[i], *s) of an image (B, in_channels, *S), shallow to deep."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load a published state dict, without what lies behind the trunk; batch counters need not be there.

        Raises:
            WeightsError: A key is missing, unknown, or of another shape.
        """
        own = self.state_dict()
        given = {key: value for key, value in weights.items() if not key.startswith(self.left_aside)}
        problems = {
            "missing": [key for key in own if key not in given and not key.endswith("num_batches_tracked")],
            "unknown": [key for key in given if key not in own],
            "of another shape": [key for key in given if key in own and given[key].shape != own[key].shape],
        }
        told = ", ".join(f"{problem} {sorted(keys)[:3]}" for problem, keys in problems.items() if keys)
        if told:
            raise WeightsError(
                f"weights do not fit {self.title}: {told}; use a state dict with torchvision's key names, of the same "
                "depth and width"
            )
        self.load_state_dict(given, strict=False)
