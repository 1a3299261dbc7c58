"""The networks of a monitor, built as its settings say, with fresh weights."""

from __future__ import annotations

from synthcp.comparison.catalogue import new_comparator
from synthcp.comparison.network import ComparisonConfig, ComparisonNetwork
from synthcp.config.scales import Scale
from synthcp.config.values import choose
from synthcp.monitor.settings import MonitorSettings
from synthcp.segmentation.base import Segmenter, SegmenterShape
from synthcp.segmentation.catalogue import BUILT_IN, new_segmenter
from synthcp.segmentation.input_size import InputSize
from synthcp.synthesis.base import Generator, GeneratorShape
from synthcp.synthesis.catalogue import GENERATORS, new_generator


def build_segmenter(settings: MonitorSettings) -> Segmenter:
    """Return the built-in M, or our own beside a brought one, with fresh weights; it sees the working size."""
    scale = settings.scale
    shape = SegmenterShape(
        spatial_dims=settings.spatial_dims,
        classes=len(settings.classes),
        channels=settings.channels,
        width=scale.segmenter_width,
        depth=scale.depth,
        output_stride=scale.output_stride,
        rates=scale.rates,
        hidden=scale.segmenter_hidden,
        deeplab_head=settings.variant.deeplab_head,
        input_size=_input_size(scale),
        trunk=settings.model.trunk,
    )
    return new_segmenter(settings.model.spec if settings.model.is_built_in else BUILT_IN, shape)


def _input_size(scale: Scale) -> InputSize:
    """M sees an image at the working size, and a volume in windows of the patch that it was trained on."""
    if scale.patch:
        return InputSize("tile", scale.patch)
    return InputSize("short", (scale.side,)) if scale.side else InputSize()


def build_generator(settings: MonitorSettings, kind: str = "") -> Generator:
    """Return G with fresh weights.

    Args:
        settings: Of the monitor.
        kind: One of GENERATORS; empty takes that of the settings.

    Raises:
        InputError: There is no such kind.
    """
    kind, scale = kind or settings.variant.generator, settings.scale
    choose(GENERATORS, kind, "generator")
    shape = GeneratorShape(
        spatial_dims=settings.spatial_dims,
        classes=len(settings.classes),
        channels=settings.channels,
        width=scale.spade_width,
        hidden=scale.spade_hidden,
        multipliers=scale.multipliers,
        patch=scale.patch,
    )
    return new_generator(kind, shape)


def encoder_is_trunk(settings: MonitorSettings) -> bool:
    """Whether F's encoder is the trunk of M, or of an auxiliary segmenter, from which it starts."""
    fits = bool(settings.model.trunk) or settings.scale.depth == 18
    return settings.variant.starts_from_segmenter and fits and not settings.encoder


def build_network(settings: MonitorSettings) -> ComparisonNetwork:
    """Return F with fresh weights."""
    variant, scale = settings.variant, settings.scale
    config = ComparisonConfig(
        classes=len(settings.classes),
        in_channels=settings.channels,
        depth=18,
        width=scale.segmenter_width if variant.starts_from_segmenter else min(64, scale.segmenter_width),
        feature_distances=settings.model.feature_distances if variant.draws else 0,
        hidden=scale.fusion,
        shared=variant.shared,
        label_input=variant.label_input,
        uses_uncertainty=variant.uses_uncertainty,
        measure=settings.measure,
        patch=scale.patch,
        branches=variant.branches,
        trunk=settings.encoder or (settings.model.lent_trunk if encoder_is_trunk(settings) else ""),
    )
    return new_comparator(variant.comparator, settings.spatial_dims, config)
