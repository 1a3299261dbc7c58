"""The detectors and controls of a run, on networks with fresh weights."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.comparison.blend import Blend
from synthcp.comparison.network import ComparisonNetwork
from synthcp.config.scales import SCALES, Scale
from synthcp.config.variants import VARIANTS
from synthcp.data.specs import open_dataset
from synthcp.errors import InputError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.heads import UNTRAINED_GENERATOR, control_path
from synthcp.fitting.run import fit
from synthcp.monitor.fitted_comparator import FittedComparator
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.settings import Learnt, MonitorSettings
from synthcp.records import Classes, Prediction
from synthcp.rivals.catalogue import KEPT, load_detectors
from synthcp.segmentation.base import at_size
from synthcp.system.files import save_json, save_module
from synthcp.system.output_folder import FILES, listed
from synthcp.system.runtime import Runtime

LOGIT_NAMES = ["msp", "entropy", "max-logit", "energy"]
ALL = [*LOGIT_NAMES, "direct", "untrained", "synthcp"]
CLASSES = Classes(("a", "b", "c"), ((0, 0, 0),) * 3)
SETTINGS = MonitorSettings(CLASSES, 3, 2, VARIANTS["ours"], SCALES["tiny"], learnt=Learnt(Blend(0.5, 1.0, 0.0)))


def judging_network() -> ComparisonNetwork:
    """F that errs in its own way; fresh ones all judge as MSP does."""
    network = build_network(SETTINGS)
    for name, parameter in network.named_parameters():
        if ".leave." in name:
            torch.nn.init.normal_(parameter)
    return network


@pytest.fixture
def fresh() -> Monitor:
    torch.manual_seed(0)
    parts = build_segmenter(SETTINGS), build_generator(SETTINGS), judging_network()
    return Monitor(SETTINGS, *parts, Runtime(torch.device("cpu")))


@pytest.fixture
def fitted(fresh: Monitor, tmp_path: Path) -> Path:
    """A run with its controls, each with a blend and weights of its own."""
    fresh.save(tmp_path)
    for number, name in enumerate(("direct", "untrained"), start=2):
        path = control_path(tmp_path, name)
        save_module(path, judging_network())
        FittedComparator(judging_network(), SETTINGS.variant, Learnt(Blend(0.5, 0.0, -number))).save_learnt(path)
    save_module(control_path(tmp_path, UNTRAINED_GENERATOR), build_generator(SETTINGS))
    return tmp_path


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 48, 56, generator=torch.Generator().manual_seed(1))


def maps(detectors: dict[str, Detector], image: Tensor, prediction: Prediction) -> dict[str, Tensor]:
    """Error maps by detector, and raw error maps by detector with "-raw" behind it."""
    detections = {name: detector(image, prediction) for name, detector in detectors.items()}
    raw = {f"{name}-raw": detection.raw_error_map for name, detection in detections.items()}
    error_maps = {name: detection.error_map for name, detection in detections.items()} | raw
    return {name: error_map for name, error_map in error_maps.items() if error_map is not None}


def test_a_run_without_controls_has_scores_and_itself(fresh: Monitor, tmp_path: Path) -> None:
    fresh.save(tmp_path)
    assert list(load_detectors(tmp_path, fresh)) == [*LOGIT_NAMES, "synthcp"]


@torch.no_grad()
def test_every_detector_is_another_one(fresh: Monitor, fitted: Path, image: Tensor) -> None:
    prediction = fresh.segmenter(image)
    detectors = load_detectors(fitted, fresh)
    assert list(detectors) == ALL
    judged = maps(detectors, image, prediction)
    assert list(judged) == [*ALL, "direct-raw", "untrained-raw", "synthcp-raw"]
    for first, second in combinations(judged, 2):
        assert not torch.allclose(judged[first], judged[second]), (first, second)
    assert judged["synthcp"].equal(fresh.detector()(image, prediction).error_map)  # type: ignore[arg-type]


@torch.no_grad()
def test_a_control_blends_its_own_verdict(fresh: Monitor, fitted: Path, image: Tensor) -> None:
    judged = maps(load_detectors(fitted, fresh), image, fresh.segmenter(image))
    for name, bias in (("direct", -2), ("untrained", -3)):
        expected = 0.5 * torch.logit(judged[f"{name}-raw"]) + bias
        torch.testing.assert_close(judged[name], expected.sigmoid(), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_direct_has_no_drawing_and_untrained_draws_by_a_generator_of_its_own(
    fresh: Monitor, fitted: Path, image: Tensor
) -> None:
    detectors, prediction = load_detectors(fitted, fresh, ["direct", "untrained", "synthcp"]), fresh.segmenter(image)
    direct, untrained, shipped = (detector(image, prediction) for detector in detectors.values())
    assert direct.synthesis is None and direct.anomaly_map is None
    assert untrained.synthesis is not None and shipped.synthesis is not None
    assert not untrained.synthesis.equal(shipped.synthesis)


def test_names_are_chosen_in_the_order_of_the_table(fresh: Monitor, fitted: Path) -> None:
    assert list(load_detectors(fitted, fresh, ["synthcp", "msp"])) == ["msp", "synthcp"]
    with pytest.raises(InputError, match="detector 'mps' is unknown; choose one of msp, entropy, max-logit, energy, "):
        load_detectors(fitted, fresh, ["msp", "mps"])


def test_what_must_be_fitted_is_refused_where_the_training_images_are_unknown(fresh: Monitor, fitted: Path) -> None:
    control_path(fitted, UNTRAINED_GENERATOR).unlink()  # which a fit can make again
    assert load_detectors(fitted, fresh, ["direct", "dropout", "distance", "chance"])
    for name in ("untrained", "knn", "tcp", "vae-alarm", "paper"):
        with pytest.raises(InputError, match="does not say on which images it was fitted.*fit it with synthcp fit"):
            load_detectors(fitted, fresh, [name])


def test_a_detector_of_a_finished_run_is_fitted_to_its_images_once_and_kept(
    smallest_scale: Scale, image: Tensor, tmp_path: Path
) -> None:
    data = "scenes:?count=6&size=32x48"
    options = FitConfig(scale=smallest_scale, controls=False, device="cpu", precision="fp32", seed=3)
    monitor = fit(open_dataset(data), tmp_path, options, facts={"data": data})
    save_json(tmp_path / FILES, {"run": "", "files": []})  # as a demo leaves it
    before, names = set(tmp_path.iterdir()), ["tcp", "knn", "untrained", "synthcp"]
    first = load_detectors(tmp_path, monitor, names)
    assert {path.name for path in set(tmp_path.iterdir()) - before} == {KEPT}
    kept = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / KEPT).rglob("*") if path.is_file()}
    assert listed(tmp_path) == kept and kept
    steps = list[str]()
    again = load_detectors(tmp_path, monitor, names, progress=lambda stage, *_: steps.append(stage))
    assert set(steps) <= {"read"}
    prediction = monitor.predict(image)
    for name in names:
        one, other = (vars(found[name](image, at_size(prediction, image.shape[2:]))) for found in (first, again))
        assert all(one[part] is other[part] is None or one[part].equal(other[part]) for part in one), name
    config = json.loads((tmp_path / "config.json").read_text())
    for damage in ({"seed": None}, {"seed": "three"}):
        config["asked"] |= damage
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match="setting 'seed' is "):
            load_detectors(tmp_path, monitor, ["knn"])
    del config["asked"]["seed"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="setting 'seed' is missing"):
        load_detectors(tmp_path, monitor, ["knn"])
