"""A generator: every class has one colour."""

from torch import Tensor, nn

from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import conv
from synthcp.synthesis.base import Generator, GeneratorShape


class Toy(Generator):
    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.patch = shape.patch
        self.classes = shape.classes
        self.paint: nn.Module = conv(shape.spatial_dims, shape.classes, shape.channels, kernel=1)

    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        painted: Tensor = self.paint(one_hot(label_map, self.classes))
        return painted.float().sigmoid()


def toy(shape: GeneratorShape) -> Generator:
    return Toy(shape)
