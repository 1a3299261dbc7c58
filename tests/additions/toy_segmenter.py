"""A segmenter: two convolutions."""

from torch import Tensor

from synthcp.nn.spatial import conv
from synthcp.segmentation.base import Segmenter, SegmenterShape


class Toy(Segmenter):
    def __init__(self, shape: SegmenterShape) -> None:
        super().__init__(shape.spatial_dims, input_size=shape.input_size)
        self.features_of = conv(shape.spatial_dims, shape.channels, shape.width)
        self.classifier = conv(shape.spatial_dims, shape.width, shape.classes, kernel=1)

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = self.features_of(image).relu()
        return self.classifier(features), [features]


def toy(shape: SegmenterShape) -> Segmenter:
    return Toy(shape)
