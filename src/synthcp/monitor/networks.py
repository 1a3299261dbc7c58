"""The networks of a monitor, built as its settings say, with fresh weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from synthcp.comparison.siamese import SiameseConfig, SiameseNetwork
from synthcp.config.scales import Scale
from synthcp.config.values import choose
from synthcp.monitor.settings import MonitorSettings
from synthcp.segmentation.ahnet import AHNet, AHNetConfig
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.fcn8 import FCN8, FCN8Config
from synthcp.segmentation.input_size import InputSize
from synthcp.segmentation.pspnet import PYRAMID, PSPNet, PSPNetConfig
from synthcp.segmentation.settings import BUILT_IN
from synthcp.segmentation.unet import UNet, UNetConfig
from synthcp.synthesis.base import Generator
from synthcp.synthesis.pix2pixhd import Pix2PixHDConfig, Pix2PixHDGenerator
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator
from synthcp.synthesis.style_encoder import StyledSpadeGenerator, StyleEncoderConfig


def build_segmenter(settings: MonitorSettings) -> Segmenter:
    """Return the built-in M, or our own beside a brought one, with fresh weights; it sees the working size."""
    model = settings.model.spec if settings.model.is_built_in else BUILT_IN
    return SEGMENTERS[model](settings, _input_size(settings.scale))


def _input_size(scale: Scale) -> InputSize:
    """M sees an image at the working size, and a volume in windows of the patch that it was trained on."""
    if scale.patch:
        return InputSize("tile", scale.patch)
    return InputSize("short", (scale.side,)) if scale.side else InputSize()


def _deeplab(settings: MonitorSettings, input_size: InputSize) -> Segmenter:
    scale, classes = settings.scale, len(settings.classes)
    config = DeepLabConfig(
        classes, settings.channels, scale.depth, scale.segmenter_width, scale.output_stride, scale.rates
    )
    if settings.variant.deeplab_head == "v3":  # of the authors' release, whose pyramid has one rate less
        hidden, rates = scale.segmenter_hidden // 2, scale.rates[:3]
        config = replace(config, head="v3", hidden=hidden, rates=rates, dropout=0.5)
    return DeepLab(settings.spatial_dims, config, input_size)


def _fcn8(settings: MonitorSettings, input_size: InputSize) -> Segmenter:
    """Long et al.'s where the ResNets are as deep as the paper's; elsewhere one that learns from scratch."""
    scale, classes = settings.scale, len(settings.classes)
    if scale.depth == 101:
        return FCN8(settings.spatial_dims, FCN8Config(classes, settings.channels), input_size)
    width = scale.segmenter_width // 2
    config = FCN8Config(classes, settings.channels, width, hidden=8 * width, margin=0, normalized=True, scaled=False)
    return FCN8(settings.spatial_dims, config, input_size)


def _pspnet(settings: MonitorSettings, input_size: InputSize, pyramid: tuple[int, ...] = PYRAMID) -> Segmenter:
    scale, classes = settings.scale, len(settings.classes)
    trunk = (scale.depth, scale.segmenter_width, scale.output_stride)
    config = PSPNetConfig(classes, settings.channels, *trunk, pyramid, scale.segmenter_hidden)
    return PSPNet(settings.spatial_dims, config, input_size)


def _unet(settings: MonitorSettings, input_size: InputSize) -> Segmenter:
    width = settings.scale.segmenter_width
    widths = (2 * width, 4 * width, 8 * width, 16 * width)
    return UNet(settings.spatial_dims, UNetConfig(len(settings.classes), settings.channels, widths), input_size)


def _ahnet(settings: MonitorSettings, input_size: InputSize) -> Segmenter:
    config = AHNetConfig(len(settings.classes), settings.channels, pyramid=_pyramid_of(settings.scale))
    return AHNet(settings.spatial_dims, config, input_size)


def _pyramid_of(scale: Scale) -> int:
    """As many levels as AH-Net's pyramid can have without padding what M sees to 2 ** (levels + 3)."""
    side = min(scale.patch[:-1], default=scale.side or 128)
    return max(0, min(4, side.bit_length() - 4))


SEGMENTERS: dict[str, Callable[[MonitorSettings, InputSize], Segmenter]] = {
    "deeplab": _deeplab,
    "pspnet": _pspnet,
    "resnet": lambda settings, input_size: _pspnet(settings, input_size, pyramid=()),
    "fcn8": _fcn8,
    "unet": _unet,
    "ahnet": _ahnet,
}
"""The built-in segmenters by name; settings.BUILT_INS tells how many feature maps each shows."""


def build_generator(settings: MonitorSettings, kind: str = "spade") -> Generator:
    """Return G with fresh weights.

    Args:
        settings: Of the monitor.
        kind: One of GENERATORS.

    Raises:
        InputError: There is no such kind.
    """
    return choose(GENERATORS, kind, "generator")(settings)


def _spade(settings: MonitorSettings) -> Generator:
    return SpadeGenerator(settings.spatial_dims, _spade_config(settings), settings.scale.patch)


def _spade_config(settings: MonitorSettings) -> SpadeConfig:
    scale, classes = settings.scale, len(settings.classes)
    return SpadeConfig(classes, settings.channels, scale.spade_width, scale.spade_hidden, scale.multipliers)


def _pix2pixhd(settings: MonitorSettings) -> Generator:
    """About as many multiplications as SPADE takes at the same scale, so that none is better by its size."""
    scale, classes = settings.scale, len(settings.classes)
    config = Pix2PixHDConfig(classes, settings.channels, width=3 * scale.spade_width // 2, halvings=3)
    return Pix2PixHDGenerator(settings.spatial_dims, config, scale.patch)


def _styled(settings: MonitorSettings) -> Generator:
    """SPADE, and an encoder that halves the image as often as SPADE doubles its drawing."""
    scale = settings.scale
    style = StyleEncoderConfig(scale.spade_width, len(scale.multipliers) - 1, latent=4 * scale.spade_width)
    return StyledSpadeGenerator(settings.spatial_dims, _spade_config(settings), style, scale.patch)


GENERATORS: dict[str, Callable[[MonitorSettings], Generator]] = {
    "spade": _spade,
    "pix2pixhd": _pix2pixhd,
    "styled": _styled,
}
"""The generators by name."""


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
        measure=settings.measure,
        patch=scale.patch,
        branches=variant.branches,
    )
    return SiameseNetwork(settings.spatial_dims, config)
