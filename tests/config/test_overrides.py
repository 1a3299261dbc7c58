from __future__ import annotations

import json
from dataclasses import replace

import pytest

from synthcp.config.overrides import overridden, read_overrides
from synthcp.config.scales import SCALES
from synthcp.config.variants import VARIANTS
from synthcp.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write(changes):
        path = tmp_path / "own.json"
        path.write_text(json.dumps(changes))
        return path

    return write


def test_a_change_deep_down_leaves_all_else(write):
    small = SCALES["small"]
    path = write({"scale": {"gan": {"steps": 7}, "rates": [2, 5]}})
    variant, scale = read_overrides(path, "paper", "small")
    assert scale == replace(small, gan=replace(small.gan, steps=7), rates=(2, 5))
    assert variant == "paper"


def test_a_variant_can_be_changed_too(write):
    paper = VARIANTS["paper"]
    variant, scale = read_overrides(write({"variant": {"loss": {"smooth": True}}}), "paper", "full")
    assert variant == replace(paper, loss=replace(paper.loss, smooth=True))
    assert scale == "full"


@pytest.mark.parametrize("config", [*VARIANTS.values(), *SCALES.values()])
def test_no_change_gives_an_equal_config(config):
    assert overridden(config, {}, "config") == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": {}}, "'scales' is unknown"),
        ({"scale": {"size": 3}}, "setting 'scale.size' is unknown"),
        ({"scale": {"gan": {"step": 3}}}, "setting 'scale.gan.step' is unknown"),
        ({"scale": {"gan": {"steps": "many"}}}, "setting 'scale.gan.steps' is 'many'; it must be a whole number"),
        ({"scale": {"gan": 3}}, "setting 'scale.gan' is 3; it must be an object {...}"),
        ({"scale": 3}, "setting 'scale' is 3; it must be an object {...}"),
        ({"variant": {"shared": 1}}, "setting 'variant.shared' is 1; it must be true or false"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(write, changes, message):
    with pytest.raises(InputError) as caught:
        read_overrides(write(changes), "paper", "small")
    assert message in str(caught.value) and "own.json" in str(caught.value)


def test_an_unknown_scale_is_named(write):
    with pytest.raises(InputError, match="scale 'huge' is unknown"):
        read_overrides(write({"scale": {}}), "paper", "huge")
