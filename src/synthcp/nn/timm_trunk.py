"""timm:NAME, a trunk of the library timm (extra zoo): any of its networks that shows its feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from synthcp.errors import InputError, ShapeError
from synthcp.nn.trunk import DEEPEST, IMAGENET, Trunk, TrunkShape
from synthcp.system.extras import import_extra


class TimmTrunk(Trunk):
    """A network of timm with features_only, and all of the feature maps that it shows.

    Raises:
        ShapeError: It is asked for volumes, or for another width than its own.
        MissingExtraError: timm is not installed.
        InputError: timm has no such network, or shows fewer than four feature maps, or none at this output stride.
    """

    keys = "timm"

    def __init__(self, name: str, shape: TrunkShape) -> None:
        super().__init__()
        self.title = f"timm:{name}"
        if shape.spatial_dims == 3:
            raise ShapeError(f"{self.title} sees images only; for volumes choose a trunk of our own, such as resnet18")
        if shape.width:
            raise ShapeError(f"{self.title} has a width of its own, not {shape.width}; leave the width out")
        network = _opened(name, shape)
        self.network: nn.Module = network
        shown, config = network.feature_info, network.pretrained_cfg
        self.out_channels, self.strides = tuple(shown.channels()), tuple(shown.reduction())
        if len(self.strides) < DEEPEST:
            raise InputError(f"{self.title} shows {len(self.strides)} feature maps; choose one that shows {DEEPEST}")
        published = (tuple(config.get("mean", IMAGENET[0])), tuple(config.get("std", IMAGENET[1])))
        self.normalization = shape.normalization(published)
        self.first_kernel = self._own_keys().get(_plain(f"{config.get('first_conv')}.weight"), "")

    def stages(self, normalized: Tensor) -> list[Tensor]:
        """Return the feature maps that timm shows (shapes: see Trunk)."""
        return list(self.network(normalized))

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load a state dict of timm, or of this trunk; what it has beyond these feature maps is left aside."""
        own = self._own_keys()
        super().load_weights({own[_plain(key)]: value for key, value in weights.items() if _plain(key) in own})

    def _own_keys(self) -> dict[str, str]:
        return {_plain(key): key for key in self.state_dict()}


def _plain(key: str) -> str:
    """A key without what features_only changes of it: blocks.0 of the whole network is blocks_0 there."""
    return key.removeprefix("network.").replace("_", ".")


def _opened(name: str, shape: TrunkShape) -> Any:
    timm = import_extra("timm", "zoo")
    dilated = {} if shape.output_stride == 32 else {"output_stride": shape.output_stride}
    try:
        return timm.create_model(name, features_only=True, in_chans=shape.channels, **dilated)
    except Exception as error:  # each network of timm fails in its own way
        raise InputError(
            f"timm:{name} at output stride {shape.output_stride} is refused by timm: {' '.join(str(error).split())}; "
            "choose a network that shows its feature maps"
        ) from error


def timm_trunk(name: str, shape: TrunkShape) -> TimmTrunk:
    """Return a trunk of timm with fresh weights; errors as TimmTrunk."""
    return TimmTrunk(name, shape)
