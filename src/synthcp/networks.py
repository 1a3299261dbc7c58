"""The networks of a monitor, built as its settings say, with fresh weights."""

from __future__ import annotations

from synthcp.detection.blend import Blend
from synthcp.detection.failure import FailureComparator
from synthcp.detection.feature_distance import FeatureDistance
from synthcp.detection.siamese import SiameseConfig, SiameseNetwork
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.input_size import InputSize
from synthcp.settings import MonitorSettings
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator


def build_segmenter(settings: MonitorSettings) -> DeepLab:
    """Return the built-in M with fresh weights; it sees images at the working size."""
    scale = settings.scale
    config = DeepLabConfig(
        classes=len(settings.classes),
        in_channels=settings.channels,
        depth=scale.depth,
        width=scale.segmenter_width,
        output_stride=scale.output_stride,
        rates=scale.rates,
    )
    input_size = InputSize("short", (scale.side,)) if scale.side else InputSize()
    return DeepLab(settings.spatial_dims, config, input_size)


def build_generator(settings: MonitorSettings) -> SpadeGenerator:
    """Return G with fresh weights."""
    scale = settings.scale
    config = SpadeConfig(
        len(settings.classes), settings.channels, scale.spade_width, scale.spade_hidden, scale.multipliers
    )
    return SpadeGenerator(settings.spatial_dims, config)


def build_network(settings: MonitorSettings) -> SiameseNetwork:
    """Return F with fresh weights."""
    variant, scale = settings.variant, settings.scale
    config = SiameseConfig(
        classes=len(settings.classes),
        in_channels=settings.channels,
        depth=18,
        width=scale.segmenter_width if variant.starts_from_segmenter else min(64, scale.segmenter_width),
        disagreements=settings.model.disagreements,
        hidden=scale.fusion,
        shared=variant.shared,
        label_input=variant.label_input,
        uses_doubt=variant.uses_doubt,
    )
    return SiameseNetwork(settings.spatial_dims, config)


def failure_comparator(
    settings: MonitorSettings, segmenter: Segmenter | None, network: SiameseNetwork
) -> FailureComparator:
    """Return a comparator with the score that the settings ship; without a live M it finds no anomalies."""
    score: Blend | str = settings.variant.score
    if score == "blend":
        assert settings.blend is not None
        score = settings.blend
    distance = None if segmenter is None else FeatureDistance(segmenter, settings.t)
    return FailureComparator(network, distance, score)
