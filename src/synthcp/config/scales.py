"""How big it is: seconds, about an hour on two cores, or the paper's sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from synthcp.nn.resnet import Depth
from synthcp.nn.spatial import SpatialDims
from synthcp.nn.trunk import OutputStride
from synthcp.ranges import CHANNELS, COUNT, FACTOR, check_count, check_ranges
from synthcp.training.comparator import ComparatorConfig
from synthcp.training.gan import GanConfig
from synthcp.training.segmentation import SegmentationConfig


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How big it is.

    Attributes:
        side: Shorter side of the images that M, G and F see; 0 keeps their size.
        depth: Of M's and F's ResNets.
        segmenter_width: Channels of the first stage of M (and of F, when it starts from M).
        output_stride: Of M.
        rates: Of the pyramid of M, if it is DeepLab.
        segmentation: Training of M.
        spade_width: Channels of G's last block.
        spade_hidden: Channels of G's label embeddings.
        multipliers: Of G's blocks.
        discriminator_width: Channels of D's first layer.
        gan: Training of G and D.
        fusion: Channels into which F fuses each stage.
        comparator: Training of F.
        folds: k of the cross-validation.
        fold_steps: Training of each fold's M, as a share of M's own.
        segmenter_hidden: Channels of f_M, if M is PSPNet or the plain ResNet.
        patch: Of volumes, the size of the windows that M, G and F learn from and in which M looks; none for images.
        degraded_views: How many degraded copies of each training image are predicted for F as well, once for each.
    """

    side: int
    depth: Depth = 18
    segmenter_width: int
    output_stride: OutputStride = 8
    rates: tuple[int, ...]
    segmentation: SegmentationConfig
    spade_width: int
    spade_hidden: int
    multipliers: tuple[int, ...]
    discriminator_width: int
    gan: GanConfig
    fusion: int
    comparator: ComparatorConfig
    folds: int = 4
    fold_steps: float = 1.0
    segmenter_hidden: int = 512
    patch: tuple[int, ...] = ()
    degraded_views: int = 0

    def __post_init__(self) -> None:
        check_count(self, rates=(1, 32), multipliers=(1, 16), patch=(0, 3))
        check_ranges(self, side=(0, 8192), rates=FACTOR, multipliers=FACTOR, patch=(1, 2048))
        check_ranges(self, segmenter_width=CHANNELS, segmenter_hidden=CHANNELS, fusion=CHANNELS)
        check_ranges(self, spade_width=CHANNELS, spade_hidden=CHANNELS, discriminator_width=CHANNELS)
        check_ranges(self, folds=(2, COUNT[1]), fold_steps=(0.0, 1024.0), degraded_views=(0, 1024))


SCALES: dict[str, Scale] = {
    "tiny": Scale(
        side=48,
        segmenter_width=8,
        rates=(1, 2),
        segmentation=SegmentationConfig(steps=40, batch=4),
        spade_width=4,
        spade_hidden=8,
        multipliers=(4, 4, 2, 1),
        discriminator_width=8,
        gan=GanConfig(steps=30, batch=2),
        fusion=8,
        comparator=ComparatorConfig(steps=30, batch=4),
        folds=2,
        segmenter_hidden=16,
    ),
    "small": Scale(
        side=144,
        segmenter_width=32,
        rates=(1, 3, 6, 9),
        segmentation=SegmentationConfig(steps=900),
        spade_width=16,
        spade_hidden=32,
        multipliers=(16, 8, 4, 2, 1),
        discriminator_width=32,
        gan=GanConfig(steps=700, generator_rate=3e-4, discriminator_rate=6e-4),
        fusion=32,
        comparator=ComparatorConfig(steps=600),
        fold_steps=0.4,
        segmenter_hidden=64,
    ),
    "full": Scale(
        side=256,
        depth=101,
        segmenter_width=64,
        rates=(6, 12, 18, 24),
        segmentation=SegmentationConfig(steps=50_000, optimizer="sgd", learning_rate=2.5e-3, zoom=(1.0, 2.0)),
        spade_width=64,
        spade_hidden=128,
        multipliers=(16, 16, 16, 8, 4, 2, 1),
        discriminator_width=64,
        gan=GanConfig(steps=12_500, batch=12, average=0.999),
        fusion=64,
        comparator=ComparatorConfig(steps=20_000, learning_rate=2e-4, average=0.999),
    ),
}


VOLUME_SCALES: dict[str, Scale] = {
    "tiny": replace(
        SCALES["tiny"],
        side=0,
        patch=(48, 48, 48),
        segmentation=SegmentationConfig(steps=40, batch=2, learning_rate=4e-3, dice=1.0),
        gan=GanConfig(steps=10, batch=1),
        comparator=ComparatorConfig(steps=20, batch=2),
        spade_hidden=4,
        multipliers=(4, 2, 1),
        degraded_views=1,
    ),
    "small": Scale(
        side=0,
        patch=(48, 64, 48),
        segmenter_width=8,
        rates=(1, 2, 3),
        segmentation=SegmentationConfig(steps=150, batch=2, learning_rate=4e-3, zoom=(1.0, 1.2), jitter=0.05, dice=1.0),
        spade_width=8,
        spade_hidden=16,
        multipliers=(8, 8, 4, 2, 1),
        discriminator_width=16,
        gan=GanConfig(steps=400, batch=1, generator_rate=4e-4, discriminator_rate=8e-4, average=0.99),
        fusion=16,
        comparator=ComparatorConfig(steps=400, batch=4, zoom=(1.0, 1.0)),
        segmenter_hidden=32,
        degraded_views=2,
    ),
    "full": Scale(
        side=0,
        patch=(128, 128, 64),
        segmenter_width=32,
        rates=(6, 12, 18, 24),
        segmentation=SegmentationConfig(steps=25_000, batch=2, learning_rate=1e-3, zoom=(1.0, 1.2), dice=1.0),
        spade_width=32,
        spade_hidden=64,
        multipliers=(16, 16, 8, 4, 2, 1),
        discriminator_width=64,
        gan=GanConfig(steps=25_000, batch=1, average=0.999),
        fusion=64,
        comparator=ComparatorConfig(steps=20_000, batch=4, learning_rate=2e-4, average=0.999, zoom=(1.0, 1.1)),
        segmenter_hidden=128,
        degraded_views=2,
    ),
}
"""The scales of volumes; their voxels have the size that the data set's spacing gives them."""


def scales(spatial_dims: SpatialDims) -> dict[str, Scale]:
    """Return the scales of images (2) or volumes (3), by name."""
    return VOLUME_SCALES if spatial_dims == 3 else SCALES
