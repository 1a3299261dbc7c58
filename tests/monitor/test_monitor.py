from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import pytest
import torch

from synthcp.config.values import to_dict
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.images import read_image
from synthcp.errors import DataError, InputError, WeightsError
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_segmenter
from synthcp.monitor.settings import load_settings
from synthcp.monitor.thresholds import Thresholds
from synthcp.nn.spatial import resize
from synthcp.report.pictures import image_picture

HEIGHT, WIDTH = 50, 83


@pytest.fixture(scope="module")
def image():
    return Scenes(ScenesConfig(count=1, height=HEIGHT, width=WIDTH, split="test"))[0].image


def assert_equal(one, other):
    for field in fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        assert torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second, field.name


def with_thresholds(monitor, thresholds):
    settings = replace(monitor.settings, learnt=replace(monitor.settings.learnt, thresholds=thresholds))
    return Monitor(settings, monitor.segmenter, monitor.generator, monitor.network, monitor.runtime)


def test_another_segmenter_in_its_place_keeps_its_own_weights(monitor, run_folder, image):
    other = build_segmenter(monitor.settings).eval()
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    loaded = Monitor.load(run_folder, "cpu", model=other)
    assert loaded.segmenter is other and loaded.settings.model.spec == "DeepLab"
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    own = other.predict("", image[None])
    assert torch.equal(loaded.assess(image).label_map, resize(own.logits, (HEIGHT, WIDTH)).argmax(dim=1)[0])
    assert not torch.equal(loaded.assess(image).label_map, monitor.assess(image).label_map)


def test_a_path_and_its_pixels_are_judged_alike(monitor, image, tmp_path):
    path = tmp_path / "a.png"
    image_picture(image).save(path)
    assessment = monitor.assess(read_image(path))
    assert_equal(monitor.assess(path), assessment)
    assert_equal(monitor.assess(str(path)), assessment)


def test_maps_have_the_size_of_the_image_and_their_range(monitor, image):
    assessment = monitor.assess(image)
    assert assessment.label_map.shape == assessment.error_map.shape == assessment.anomaly_map.shape == (HEIGHT, WIDTH)
    assert assessment.synthesis.shape == image.shape
    assert 0 <= assessment.error_map.min() and assessment.error_map.max() <= 1
    assert 0 <= assessment.anomaly_map.min() and assessment.anomaly_map.max() <= 2
    assert tuple(assessment.class_quality) == monitor.classes.names


def test_an_image_of_the_working_size_is_judged_as_it_is(monitor, image):
    side = monitor.settings.scale.side
    small = image[:, 3 : 3 + side, 7 : 7 + side + 9]
    prediction, detection = monitor.detect(small[None])
    assessment = monitor.assess(small)
    assert torch.equal(assessment.label_map, prediction.label_map[0])
    assert torch.equal(assessment.error_map, detection.error_map[0])
    assert torch.equal(assessment.anomaly_map, detection.anomaly_map[0])
    assert torch.equal(assessment.synthesis, detection.synthesis[0])
    assert list(assessment.class_quality.values()) == detection.class_quality[0].tolist()


def test_saved_and_loaded_it_judges_alike(monitor, image, tmp_path):
    monitor.save(tmp_path / "copy")
    copy = Monitor.load(str(tmp_path / "copy"), "cpu")
    assert copy.settings == monitor.settings
    assert_equal(copy.assess(image), monitor.assess(image))


@pytest.mark.parametrize(
    ("thresholds", "alarms"),
    [
        (Thresholds(), ()),
        (Thresholds(error_share=0.0), ("expected to be wrong",)),
        (Thresholds(anomaly=0.0, anomaly_share=0.0), ("look unknown",)),
        (Thresholds(class_quality=(1.0,) * 9), ("predicted IoU",)),
    ],
)
def test_beyond_a_threshold_it_alarms(monitor, image, thresholds, alarms):
    assessment = with_thresholds(monitor, thresholds).assess(image)
    kinds = {
        kind
        for kind in ("expected to be wrong", "look unknown", "predicted IoU")
        for a in assessment.alarms
        if kind in a
    }
    assert kinds == set(alarms)
    if thresholds.class_quality:
        assert [alarm.partition(":")[0] for alarm in assessment.alarms] == list(assessment.judged)


def test_unknown_pixels_come_as_regions_and_the_largest_is_named_in_the_alarm(monitor, image):
    usual = Thresholds(anomaly=float(monitor.assess(image).anomaly_map.quantile(0.8)), anomaly_share=0.1)
    assessment = with_thresholds(monitor, usual).assess(image)
    largest = max(assessment.regions, key=lambda region: region.area)
    (rows, columns) = (f"{start}-{stop - 1}" for start, stop in largest.box)
    assert assessment.alarms == (
        f"{assessment.anomaly_share(usual.anomaly):.1%} of the pixels look unknown (usually below 10.0%); "
        f"the largest unknown object covers {largest.share:.1%} at rows {rows}, columns {columns}, "
        f"predicted as {largest.predicted}",
    )
    assert all(region.mean_score > usual.anomaly for region in assessment.regions)
    assert sum(region.share for region in assessment.regions) <= assessment.anomaly_share(usual.anomaly)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (torch.rand(1, 50, 83), r"1 channels; the monitor was fitted on 3"),
        (torch.ones(3, 50, 83).int(), r"image is torch.int32; it must be float in \[0, 1\], uint8 or uint16; convert"),
        (torch.rand(3, 15, 40), r"\(15, 40\) is too small"),
        (torch.rand(3, 16, 50_001), r"\(16, 50001\) is too long; the longest side is 50000; cut it"),
    ],
)
def test_an_image_of_another_kind_is_refused(monitor, image, text):
    with pytest.raises(DataError, match=text):
        monitor.assess(image)


def test_a_grey_file_is_refused_by_name(monitor, image, tmp_path):
    path = tmp_path / "grey.png"
    image_picture(image[:1]).save(path)
    with pytest.raises(DataError, match=r"grey\.png is grey"):
        monitor.assess(path)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("channels", "3", "setting 'channels' is '3'; it must be a whole number"),
        ("t", math.nan, "not JSON (NaN is no number)"),
        ("scale", {"side": 48}, "setting 'scale.depth' is missing"),
        (
            "learnt",
            {"blend": None, "fusion": None, "thresholds": [], "direct": False},
            "setting 'learnt.thresholds' is []; it must be",
        ),
        ("calibration", True, "setting 'calibration' is True; it must be an object {...}"),
        ("spatial_dims", 4, "setting 'spatial_dims' is 4; it must be one of 2, 3"),
    ],
)
def test_damaged_settings_are_refused_in_one_line(monitor, tmp_path, fails, key, value, text):
    (tmp_path / "monitor.json").write_text(json.dumps({**to_dict(monitor.settings), key: value}))
    with fails("monitor.json", text):
        load_settings(tmp_path)


def test_an_unfinished_run_is_no_monitor(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"--resume"):
        load_settings(tmp_path)


def test_weights_of_another_network_are_refused(monitor, tmp_path):
    monitor.save(tmp_path)
    (tmp_path / "generator.safetensors").write_bytes((tmp_path / "segmenter.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"generator\.safetensors does not fit"):
        Monitor.load(tmp_path, "cpu")
