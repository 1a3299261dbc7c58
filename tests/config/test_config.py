from __future__ import annotations

import json
from dataclasses import replace

import pytest

from synthcp.comparison.blend import Blend
from synthcp.config.scales import SCALES, Scale
from synthcp.config.values import choose, from_dict, to_dict
from synthcp.config.variants import VARIANTS, Variant
from synthcp.errors import InputError
from synthcp.monitor.settings import MonitorSettings
from synthcp.monitor.thresholds import Thresholds
from synthcp.records import Classes

CLASSES = Classes(("sky", "road"), ((1, 2, 3), (4, 5, 6)), ignore_index=-1)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fitted", [False, True])
def test_settings_come_back_from_json(scale: str, variant: str, fitted: bool) -> None:
    settings = MonitorSettings(CLASSES, 3, 2, VARIANTS[variant], SCALES[scale])
    if fitted:
        settings = replace(
            settings,
            blend=Blend(0.5, 1.5, -2.0),
            thresholds=Thresholds(0.4, 0.3, 1.1, 0.02, (0.5, 0.25)),
            facts={"seed": "3"},
            training_ids=("a", "b"),
        )
    assert from_dict(MonitorSettings, json.loads(json.dumps(to_dict(settings)))) == settings


def test_what_is_missing_keeps_its_default() -> None:
    assert from_dict(Variant, {"shared": False}) == Variant(shared=False)
    assert from_dict(Variant, {"loss": {"smooth": True}}).loss.smooth


def test_unknown_setting() -> None:
    with pytest.raises(InputError, match="setting 'shred' is unknown; Variant has shared, label_input"):
        from_dict(Variant, {"shred": True})
    with pytest.raises(InputError, match="setting 'smoth' is unknown; FailureLossConfig has smooth"):
        from_dict(Variant, {"loss": {"smoth": True}})


def test_missing_setting() -> None:
    values = to_dict(SCALES["tiny"])
    del values["side"]
    with pytest.raises(InputError, match="settings of Scale are incomplete: .*side"):
        from_dict(Scale, values)


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="scale 'big' is unknown; choose one of tiny, small, full"):
        choose(SCALES, "big", "scale")
    assert choose(VARIANTS, "official", "variant").score == "sum"


def test_official_and_paper_differ_as_the_release_differs_from_the_paper() -> None:
    paper, official = VARIANTS["paper"], VARIANTS["official"]
    assert paper.shared and not official.shared
    assert (paper.label_input, official.label_input) == ("one_hot", "squeezed")
    assert (paper.score, official.score) == ("raw", "sum")
    assert official.loss.smooth and official.loss.weighted and official.loss.present_only
    assert not (paper.loss.smooth or paper.loss.weighted or paper.loss.present_only)


def test_full_is_the_papers_size() -> None:
    full = SCALES["full"]
    assert (full.side, full.depth, full.output_stride, full.rates) == (256, 101, 8, (6, 12, 18, 24))
    assert (full.spade_width, full.spade_hidden, full.multipliers) == (64, 128, (16, 16, 16, 8, 4, 2, 1))
    assert (full.discriminator_width, full.fusion, full.folds) == (64, 64, 4)
