"""A trunk: two strided convolutions."""

from torch import Tensor

from synthcp.nn.spatial import conv
from synthcp.nn.trunk import Trunk, TrunkShape


class Toy(Trunk):
    title, strides, left_aside = "the toy", (2, 4), ()

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        self.out_channels = (shape.width, 2 * shape.width)
        self.first = conv(shape.spatial_dims, shape.in_channels, shape.width, stride=2)
        self.second = conv(shape.spatial_dims, shape.width, 2 * shape.width, stride=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        first = self.first(image).relu()
        return [first, self.second(first).relu()]


def toy(shape: TrunkShape) -> Trunk:
    return Toy(shape)
