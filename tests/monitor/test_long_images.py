"""A monitor on very long images: of copies of one tile, every window is the same ordinary image of eight copies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image

from synthcp.comparison.long_images import LONG
from synthcp.config.scales import SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn.scenes import CLASSES, Scenes, ScenesConfig
from synthcp.data.transforms import resize_labels
from synthcp.evaluation.judging import judge
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network
from synthcp.monitor.settings import MonitorSettings
from synthcp.nn.spatial import resize
from synthcp.records import Prediction
from synthcp.report.pictures import image_picture
from synthcp.report.rows import read_rows
from synthcp.segmentation.base import at_size, certain
from synthcp.segmentation.saved import SavedPredictions
from synthcp.segmentation.settings import ModelSettings
from synthcp.system.runtime import Runtime
from synthcp.verbs.calibrate import _outcome
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score

SIDE = 32
MAPS = ("label_map", "error_map", "anomaly_map", "synthesis")
COUNTED = [(0, 7 * SIDE + SIDE // 2), (SIDE // 2, 7 * SIDE + SIDE // 2), (SIDE // 2, 8 * SIDE)]
"""Of eight copies, what counts in the first, the second and the last of three windows, which share one copy."""


@pytest.fixture(scope="module")
def tile():
    """A street, and another label map of it; no side of either is like another."""
    sample = Scenes(ScenesConfig(count=1, height=SIDE, width=SIDE, split="test", unknowns=False))[0]
    assert not torch.equal(sample.label_map, sample.label_map.flip(1))
    return sample


@pytest.fixture
def spied(monitor, monkeypatch):
    """The largest image that M, G and F are shown."""
    shown = []
    for part in (monitor.segmenter, monitor.generator, monitor.network):
        forward = part.forward

        def spy(*args, forward=forward):
            first = args[0]
            shown.append(tuple(getattr(first, "image", first).shape[-2:]))
            return forward(*args)

        monkeypatch.setattr(part, "forward", spy)
    return shown


def copies(tensor, count, dim):
    return torch.cat([tensor] * count, dim=dim)


def in_windows(part, dim):
    """The map of 22 copies, from that of eight."""
    return torch.cat([part.narrow(dim, start, stop - start) for start, stop in COUNTED], dim=dim)


@pytest.mark.parametrize("dim", [-1, -2], ids=["long", "high"])
def test_each_window_is_judged_as_an_image_of_its_own(monitor, tile, dim):
    prediction = certain(tile.label_map[None], len(CLASSES)).logits + torch.rand(1, len(CLASSES), SIDE, SIDE)
    short, long = (
        monitor.assess(copies(tile.image, count, dim), prediction=Prediction(copies(prediction, count, dim)))
        for count in (LONG, 22)
    )
    for name in MAPS:
        assert torch.equal(getattr(long, name), in_windows(getattr(short, name), dim)), name
    assert long.class_quality == pytest.approx(short.class_quality, rel=1e-6)
    assert long.judged == short.judged


def test_without_a_given_prediction_its_logits_are_those_of_the_windows(monitor, tile):
    logits = monitor.predict(copies(tile.image, 22, -1)[None]).logits
    assert torch.equal(logits, in_windows(monitor.predict(copies(tile.image, 8, -1)[None]).logits, -1))


@pytest.mark.parametrize("size", [(SIDE, 8 * SIDE), (8 * SIDE, SIDE), (40, 8 * 40), (20, 160)], ids=str)
def test_up_to_the_limit_an_image_is_judged_as_a_whole(monitor, size):
    image = torch.rand(1, 3, *size)
    prediction, detection = monitor.detect(image)
    own = monitor.segmenter.predict("", image)
    small = [side * SIDE // min(size) for side in size]
    expected = monitor.detector()(resize(image, small, antialias=True), at_size(own, small))
    assert torch.equal(prediction.logits, own.logits) and len(prediction.layers) == len(own.layers)
    for name in ("error_map", "anomaly_map", "class_quality", "synthesis"):
        assert torch.equal(getattr(detection, name), getattr(expected, name)), name


@pytest.mark.parametrize("size", [(16, 1000), (1000, 16), (70, 1000)], ids=str)
def test_no_network_sees_more_than_a_window_and_maps_have_the_size_of_the_image(monitor, spied, size):
    assessment = monitor.assess(torch.rand(3, *size))
    assert max(height * width for height, width in spied) <= LONG * SIDE * SIDE
    assert {len(assessment.label_map), len(assessment.error_map), len(assessment.anomaly_map)} == {size[0]}
    assert assessment.synthesis.shape == (3, *size)
    prediction, detection = monitor.detect(torch.rand(1, 3, *size))
    assert max(prediction.logits.numel() // len(CLASSES), detection.error_map.numel()) <= size[0] * size[1]


def test_windows_have_one_mean_embedding(monitor, tile):
    image = copies(tile.image, 22, -1)[None]
    logits = copies(torch.rand(1, len(CLASSES), SIDE, SIDE), 22, -1)
    first = slice(0, 8 * SIDE)
    one = monitor.embed(image[..., first], Prediction(logits[..., first]))
    torch.testing.assert_close(monitor.embed(image, Prediction(logits)), one)


@pytest.mark.parametrize("dim", [-1, -2], ids=["long", "high"])
def test_a_prediction_on_disk_is_cut_as_its_image(tile, tmp_path, dim):
    labels = {"long": copies(tile.label_map, 22, dim), "short": copies(tile.label_map, 8, dim)}
    for name, label_map in labels.items():
        Image.fromarray(label_map.byte().numpy()).save(tmp_path / f"{name}.png")
    model = ModelSettings(f"preds:{tmp_path}", layers=0)
    settings = MonitorSettings(CLASSES, 3, 2, VARIANTS["paper"], replace(SCALES["tiny"], side=SIDE), model=model)
    disk = SavedPredictions(tmp_path, CLASSES, 2)
    torch.manual_seed(0)
    monitor = Monitor(settings, disk, build_generator(settings), build_network(settings), Runtime(torch.device("cpu")))
    long, short = (monitor.assess(copies(tile.image, count, dim), name) for name, count in (("long", 22), ("short", 8)))
    assert torch.equal(long.label_map, labels["long"]) and long.anomaly_map is None
    assert torch.equal(long.error_map, in_windows(short.error_map, dim))
    assert torch.equal(long.synthesis, in_windows(short.synthesis, dim))


class Long(Scenes):
    """Drawn streets of which the first is enlarged and very long, the second very high, the third as usual."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        size = [(20, 400), (700, 40), (48, 64)][index]
        image, label_map = resize(sample.image[None], size)[0], resize_labels(sample.label_map, size)
        return replace(sample, image=image, label_map=label_map, anomaly_mask=label_map == 1)


@pytest.fixture(scope="module")
def long_streets():
    return Long(ScenesConfig(count=3, height=48, width=64, split="test", unknowns=False))


WORKING = [(20, 400), (560, 32), (32, 43)]


def test_an_evaluation_judges_what_the_monitor_does(monitor, long_streets):
    found = []
    judge(
        {"synthcp": monitor.detector()},
        monitor.predictor,
        long_streets,
        runtime=monitor.runtime,
        side=SIDE,
        watch=found.append,
    )
    assert [tuple(judged.label_map.shape) for judged in found] == WORKING
    for judged in found:
        prediction, detection = monitor.detect(judged.original.image[None])
        own = list(judged.detections.values())[-1]
        assert torch.equal(judged.prediction.logits, prediction.logits)
        for name in ("error_map", "anomaly_map", "class_quality", "synthesis"):
            assert torch.equal(getattr(own, name), getattr(detection, name)), name


def test_every_verb_judges_them(monitor, run_folder, long_streets, tmp_path):
    results = evaluate(run_folder, long_streets, tmp_path / "eval")
    assert results.images == 3 and {row.status for row in read_rows(tmp_path / "eval")} == {"ok"}
    for index, sample in enumerate(long_streets):
        image_picture(sample.image).save(tmp_path / f"{index}.png")
        outcome = _outcome(sample, long_streets, monitor)
        expected = monitor.assess(sample.image, size=WORKING[index])
        assert outcome is not None and outcome.row.error_share == expected.error_share
    rows = score(run_folder, sorted(tmp_path.glob("*.png")), tmp_path / "score", budget=2)
    assert [row.status for row in rows] == ["ok"] * 3
    with Image.open(tmp_path / "score" / "maps" / "0_error.png") as picture:
        assert picture.size == (400, 20)
