from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from synthcp.config.scales import SCALES, VOLUME_SCALES, Scale
from synthcp.config.variants import VARIANTS
from synthcp.monitor.networks import build_generator, build_segmenter
from synthcp.monitor.settings import MonitorSettings
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Classes
from synthcp.segmentation.ahnet import AHNet
from synthcp.segmentation.catalogue import SEGMENTERS
from synthcp.segmentation.deeplab import DeepLab
from synthcp.segmentation.input_size import InputSize
from synthcp.segmentation.settings import ModelSettings
from synthcp.synthesis.base import Generator
from synthcp.synthesis.catalogue import GENERATORS

CLASSES = Classes(("sky", "road", "car"), ((0, 0, 0),) * 3)
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (40, 56), 3: (16, 24, 18)}


def settings(model: str, dims: SpatialDims) -> MonitorSettings:
    return MonitorSettings(
        classes=CLASSES,
        channels=2,
        spatial_dims=dims,
        variant=VARIANTS["ours"],
        scale=replace(SCALES["tiny"], side=0),
        model=ModelSettings(model, layers=SEGMENTERS[model].layers),
    )


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("model", SEGMENTERS)
@torch.no_grad()
def test_every_built_in_segmenter_shows_as_many_layers_as_the_catalogue_says(model: str, dims: SpatialDims) -> None:
    segmenter = build_segmenter(settings(model, dims)).eval()
    prediction = segmenter.predict("", torch.rand(1, 2, *SIZES[dims]))
    assert prediction.logits.shape[1] == 3 and len(prediction.layers) == SEGMENTERS[model].layers


@pytest.mark.parametrize("dims", [2, 3])
def test_the_official_deeplab_has_the_head_of_the_release(dims: SpatialDims) -> None:
    paper, official = (replace(settings("deeplab", dims), variant=VARIANTS[name]) for name in ("paper", "official"))
    scale = replace(paper.scale, rates=(1, 2, 3, 4), segmenter_hidden=12)
    sums, pyramid = (build_segmenter(replace(one, scale=scale)) for one in (paper, official))
    assert isinstance(sums, DeepLab) and (sums.config.head, sums.config.rates) == ("sum", (1, 2, 3, 4))
    assert isinstance(pyramid, DeepLab) and (pyramid.config.head, pyramid.config.rates) == ("v3", (1, 2, 3))
    assert pyramid.config.hidden == 6 and pyramid.config.dropout == 0.5


def test_of_a_volume_m_sees_and_g_draws_windows_of_the_patch() -> None:
    of_volumes = replace(settings("unet", 3), scale=replace(VOLUME_SCALES["tiny"], patch=(32, 48, 40)))
    assert build_segmenter(of_volumes).input_size == InputSize("tile", (32, 48, 40))
    for kind in GENERATORS:
        chosen = replace(of_volumes, variant=replace(of_volumes.variant, generator=kind))
        assert type(build_generator(chosen)) is type(build_generator(of_volumes, kind))
        assert build_generator(of_volumes, kind).patch == (32, 48, 40)
        assert build_generator(settings("unet", 2), kind).patch == ()


def multiplications(generator: Generator, size: tuple[int, ...]) -> float:
    with FlopCounterMode(display=False) as counter:
        generator(torch.empty(1, *size, dtype=torch.int64), torch.empty(1, 2, *size))
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(("scale", "size"), [("tiny", (48, 64)), ("small", (144, 192)), ("full", (256, 512))])
def test_of_images_pix2pixhd_takes_about_as_many_multiplications_as_spade(scale: str, size: tuple[int, ...]) -> None:
    chosen = replace(settings("deeplab", 2), scale=SCALES[scale])
    with torch.device("meta"):
        spade, pix2pixhd = (multiplications(build_generator(chosen, kind), size) for kind in ("spade", "pix2pixhd"))
    assert 0.8 < pix2pixhd / spade < 1.3


def test_an_unknown_generator_is_refused(fails: Callable[..., AbstractContextManager[None]]) -> None:
    with fails("generator 'spad' is unknown; choose one of spade, pix2pixhd, styled"):
        build_generator(settings("deeplab", 2), "spad")
    with fails("generator 'spad' is unknown; choose one of spade, pix2pixhd, styled"):
        replace(VARIANTS["ours"], generator="spad")


@pytest.mark.parametrize(
    ("scale", "levels"),
    [
        (replace(VOLUME_SCALES["small"], patch=(48, 64, 8)), 2),
        (VOLUME_SCALES["full"], 4),
        (replace(VOLUME_SCALES["tiny"], patch=(4, 64, 64)), 0),
        (SCALES["small"], 4),
        (replace(SCALES["tiny"], side=33), 2),
    ],
)
def test_ah_net_pools_over_no_region_larger_than_what_it_sees(scale: Scale, levels: int) -> None:
    with torch.device("meta"):
        segmenter = build_segmenter(replace(settings("ahnet", 3), scale=scale))
    assert isinstance(segmenter, AHNet) and segmenter.config.pyramid == levels
