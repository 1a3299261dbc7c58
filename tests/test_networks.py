from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthcp.config import SCALES, VARIANTS
from synthcp.networks import SEGMENTERS, build_segmenter
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Classes
from synthcp.segmentation.settings import BUILT_INS, ModelSettings
from synthcp.settings import MonitorSettings

CLASSES = Classes(("sky", "road", "car"), ((0, 0, 0),) * 3)
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (40, 56), 3: (16, 24, 18)}


def settings(model: str, dims: SpatialDims) -> MonitorSettings:
    return MonitorSettings(
        classes=CLASSES,
        channels=2,
        spatial_dims=dims,
        variant=VARIANTS["ours"],
        scale=replace(SCALES["tiny"], side=0),
        model=ModelSettings(model, layers=BUILT_INS[model]),
    )


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("model", SEGMENTERS)
@torch.no_grad()
def test_every_built_in_segmenter_shows_as_many_layers_as_the_settings_say(model: str, dims: SpatialDims) -> None:
    segmenter = build_segmenter(settings(model, dims)).eval()
    prediction = segmenter.predict("", torch.rand(1, 2, *SIZES[dims]))
    assert prediction.logits.shape[1] == 3 and len(prediction.layers) == BUILT_INS[model]


def test_the_settings_know_every_built_in_segmenter() -> None:
    assert SEGMENTERS.keys() == BUILT_INS.keys()
