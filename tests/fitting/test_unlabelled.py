"""Images without labels: M's predictions stand in for them; F is M's uncertainty, with a sense for the unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from synthcp.comparison.expected_quality import expected_quality
from synthcp.comparison.feature_head import FeatureHead
from synthcp.config.scales import Scale
from synthcp.data.base import Dataset
from synthcp.data.derived import Derived
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.subset import Subset
from synthcp.errors import DataError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.imperfect_sources import HeldOut
from synthcp.fitting.run import begin, fit
from synthcp.fitting.self_labelled import SelfLabelled
from synthcp.monitor.monitor import Monitor
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.trunk import TrunkShape
from synthcp.records import Sample
from synthcp.report.outputs import write_picture
from synthcp.report.pictures import image_picture
from synthcp.rivals.catalogue import load_detectors
from synthcp.segmentation.base import Segmenter, at_size
from synthcp.system.files import save_json, save_tensors
from synthcp.system.runtime import Runtime
from synthcp.verbs.evaluate import evaluate


class Bright(Segmenter):
    """Labels by brightness."""

    def __init__(self) -> None:
        super().__init__(2, (0.5,), (0.25,))

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        grey = image.mean(dim=1, keepdim=True)
        return -8 * (grey - torch.linspace(-1.5, 1.5, 9).view(1, 9, 1, 1)) ** 2, [torch.cat([grey, image], dim=1)]


class Relabelled(Derived):
    """The same images with other labels, or none."""

    def __init__(self, dataset: Dataset, label: int | None) -> None:
        super().__init__(dataset)
        self.label = label

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        labels = None if self.label is None else torch.full(sample.image.shape[1:], self.label)
        return replace(sample, label_map=labels)


STREETS = Scenes(ScenesConfig(count=8, height=48, width=64))


@pytest.fixture
def options(smallest_scale: Scale) -> FitConfig:
    return FitConfig(scale=smallest_scale, device="cpu", precision="fp32", model=Bright(), labels="none")


@pytest.fixture
def on_trunk(options: FitConfig, tmp_path: Path) -> FitConfig:
    torch.manual_seed(1)
    save_tensors(tmp_path / "trunk.safetensors", new_trunk("squeezenet1_0", TrunkShape(2)).state_dict())
    weights = tmp_path / "trunk.safetensors"
    return replace(options, generator="none", comparator_trunk="squeezenet1_0", comparator_weights=weights)


def judged(monitor: Monitor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """M's logits at the working size, and what F says."""
    image = Scenes(ScenesConfig(count=1, height=48, width=64, split="test"))[0].image[None]
    prediction, detection = monitor.detect(image)
    assert detection.error_map is not None and detection.anomaly_map is not None and detection.class_quality is not None
    logits = at_size(prediction, detection.error_map.shape[1:]).logits
    return logits, detection.error_map, detection.class_quality, detection.anomaly_map


def test_the_error_map_is_ms_own_uncertainty_and_labels_are_not_looked_at(options: FitConfig, tmp_path: Path) -> None:
    monitor = fit(Relabelled(STREETS, None), tmp_path / "run", options)
    logits, error_map, quality, anomaly_map = judged(monitor)
    torch.testing.assert_close(error_map, 1 - logits.softmax(dim=1).amax(dim=1))
    torch.testing.assert_close(quality, expected_quality(logits, error_map, "IoU").clamp(0, 1))
    assert anomaly_map.std() > 0 and monitor.generator is not None and monitor.settings.compares
    assert monitor.settings.facts["labels"].startswith("none: G learnt from M's predictions")
    assert not list((tmp_path / "run" / "controls").glob("*.json"))
    msp, *_, shipped = evaluate(monitor, STREETS, tmp_path / "eval", detectors=["msp", "synthcp"]).detectors
    assert msp.error_pooled is not None and shipped.error_pooled is not None and shipped.quality is not None
    assert abs(msp.error_pooled.ap_error - shipped.error_pooled.ap_error) < 1e-4
    other = fit(Relabelled(STREETS, 2), tmp_path / "other", options)
    assert judged(other)[3].equal(anomaly_map)


def test_on_a_frozen_trunk_the_synthesis_of_features_alone_learns(on_trunk: FitConfig, tmp_path: Path) -> None:
    monitor = fit(Relabelled(STREETS, None), tmp_path / "run", on_trunk, facts={"data": "x", "imperfect": "unseen"})
    logits, error_map, _, anomaly_map = judged(monitor)
    torch.testing.assert_close(error_map, 1 - logits.softmax(dim=1).amax(dim=1))
    assert isinstance(monitor.network, FeatureHead) and monitor.network.whitening.directions.any()
    assert all(not head.leave.weight.any() for head in monitor.network.heads)  # type: ignore[union-attr, operator]
    assert anomaly_map.std() > 0 and monitor.settings.learnt.fusion is not None
    assert monitor.settings.learnt.fusion.deviations[-1] > 1e-3  # of the surprise
    loaded = Monitor.load(tmp_path / "run", "cpu", model=Bright())
    assert judged(loaded)[3].equal(anomaly_map) and set(load_detectors(tmp_path / "run", loaded)) >= {"msp", "synthcp"}


def test_the_label_map_is_that_of_the_image_as_it_is(cpu: Runtime) -> None:
    sample = SelfLabelled(Relabelled(STREETS, 3), Bright(), cpu)[4]
    expected = Bright()(STREETS[4].image[None]).logits.argmax(dim=1)[0]
    assert sample.label_map is not None and sample.label_map.equal(expected) and sample.image.equal(STREETS[4].image)


class Outside(Derived):
    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return replace(sample, image=255 * sample.image)


def test_what_cannot_be_had_is_refused(options: FitConfig, tmp_path: Path, fails: Any) -> None:
    for change, message in (
        ({"model": "deeplab"}, "without labels no M can be fitted; bring one"),
        ({"imperfect": HeldOut(STREETS)}, "without labels F learns nothing from heldout predictions"),
        ({"variant": "paper"}, "which only the variant 'ours' uses"),
        ({"labels": "some"}, "labels 'some' is unknown; choose one of given, none"),
    ):
        with fails(message):
            replace(options, **change)
    with fails("1 image is too few"):
        begin(Subset(STREETS, [0]), tmp_path / "one", options)
    with fails("the image has values from", error=DataError):
        begin(Outside(STREETS), tmp_path / "outside", options)
    with fails("predictions on disk, need not tell; give the model itself"):
        begin(STREETS, tmp_path / "disk", replace(options, model=f"preds:{_predictions(tmp_path)}"))


def _predictions(folder: Path) -> Path:
    for sample in STREETS:
        assert sample.label_map is not None
        write_picture(folder / "saved" / f"{sample.id}.png", image_picture(sample.label_map[None] / 255))
    return folder / "saved"


def test_the_command_line_takes_images_alone(synthcp: Callable[..., Any], tmp_path: Path) -> None:
    names = STREETS.classes.names
    for sample in STREETS:
        path = tmp_path / "data" / "images" / f"{sample.id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image_picture(sample.image).save(path)
    save_json(tmp_path / "data" / "classes.json", {"names": names})
    (tmp_path / "bright.py").write_text(
        "import torch\ndef bright():\n    levels = torch.linspace(0, 1, 9)[:, None, None]\n"
        "    return lambda image: -8 * (image.mean(dim=1, keepdim=True) - levels) ** 2\n"
    )
    asked = ("fit", "--data", f"folder:{tmp_path / 'data'}", "--model", f"{tmp_path / 'bright.py'}:bright")
    more = ("--out", tmp_path / "run", "--scale", "tiny", "--generator", "none", "--quiet", "--device", "cpu")
    assert synthcp(*asked, *more).code == 2  # there are no labels
    ended = synthcp(*asked, *more, "--labels", "none")
    assert ended.code == 0, ended.stderr
    assert "without labels: unknown objects are found, and the error map is M's own uncertainty" in ended.stderr[0]
