"""A trunk: two strided convolutions."""

from torch import Tensor

from synthcp.nn.spatial import conv
from synthcp.nn.trunk import Trunk, TrunkShape


class Toy(Trunk):
    title, strides, left_aside = "the toy", (2, 4), ()

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        width = shape.width or 8
        self.out_channels = (width, 2 * width)
        self.first = conv(shape.spatial_dims, shape.channels, width, stride=2)
        self.second = conv(shape.spatial_dims, width, 2 * width, stride=2)

    def stages(self, normalized: Tensor) -> list[Tensor]:
        first = self.first(normalized).relu()
        return [first, self.second(first).relu()]


def toy(shape: TrunkShape) -> Trunk:
    return Toy(shape)
