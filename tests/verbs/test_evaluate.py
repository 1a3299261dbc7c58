from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.working_size import resized
from synthcp.errors import InputError
from synthcp.monitor.monitor import Monitor
from synthcp.report.outputs import map_path
from synthcp.report.pictures import read_grey
from synthcp.report.rows import read_rows
from synthcp.report.tables import from_json
from synthcp.verbs.checks import seen_in_fitting
from synthcp.verbs.evaluate import evaluate


class Recoded(Scenes):
    """Scenes with some of each sample or of the classes replaced."""

    def __init__(self, names=None, **changes):
        super().__init__(ScenesConfig(count=2, height=48, width=64, split="test"))
        self.changes = changes
        self.classes = replace(self.classes, names=names or self.classes.names)

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return replace(sample, **{name: change(sample) for name, change in self.changes.items()})


NAMES = Recoded().classes.names
UNLABELLED = {"label_map": lambda sample: None}


@pytest.fixture(scope="module")
def evaluated(run_folder, scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "evaluation"
    return out, evaluate(run_folder, scenes, out, facts={"data": "five scenes"})


def names(results):
    return [detector.name for detector in results.detectors]


def test_an_evaluation_can_be_read_back_and_names_its_detectors_and_controls(evaluated):
    out, results = evaluated
    assert from_json((out / "metrics.json").read_text()).settings == results.settings
    assert results.images == len(read_rows(out)) == 5 and (out / "report.html").is_file()
    learned = ["direct-raw", "direct", "untrained-raw", "untrained", "synthcp-raw", "synthcp"]
    assert names(results) == ["msp", "entropy", "max-logit", "energy", *learned]


def test_an_evaluation_says_where_its_numbers_come_from(evaluated):
    settings = evaluated[1].settings
    assert settings["data"] == "five scenes" and settings["variant"] == "ours" and settings["seed"] == "0"
    assert {"protocol", "scale", "precision", "hardware", "commit", "versions", "command"} < set(settings)
    assert "model" not in settings


def test_a_spec_and_an_m_in_the_place_of_the_fitted_one_are_named(run_folder, monitor, tmp_path):
    other = Monitor.load(run_folder, "cpu", model=monitor.segmenter)
    results = evaluate(other, "scenes:?count=2&size=48x64", tmp_path, detectors=["msp"])
    told = {name: results.settings[name] for name in ("data", "split", "model")}
    assert told == {"data": "scenes:?count=2&size=48x64", "split": "test", "model": "DeepLab"}
    assert [row.id for row in read_rows(tmp_path)] == ["test-0000", "test-0001"]


def test_a_monitor_that_was_never_saved_is_told_to_be(monitor, tmp_path, fails):
    new = Monitor(monitor.settings, monitor.predictor, monitor.generator, monitor.network, monitor.runtime)
    with fails("the monitor lies in no folder", "save it first"):
        evaluate(new, Recoded(), tmp_path / "out")


def test_rows_and_maps_hold_the_truth_at_the_working_size(evaluated, monitor, scenes):
    out, results = evaluated
    counts = []
    for row, scene in zip(read_rows(out), scenes, strict=True):
        sample = resized(scene, monitor.settings.scale.side)
        known = sample.label_map != scenes.classes.ignore_index
        assessment = monitor.assess(scene.image, size=sample.image.shape[1:])
        wrong = (assessment.label_map != sample.label_map)[known]
        assert row.true_error_share == pytest.approx(wrong.float().mean().item(), abs=1e-4)
        assert row.error_share == pytest.approx(assessment.error_share, rel=1e-5)
        found = torch.from_numpy(read_grey(map_path(out, row.id, "error_16bit")))
        assert torch.allclose(found, assessment.error_map.double(), atol=1e-5)
        counts.append((row.true_error_share * known.sum().item(), known.sum().item()))
    errors, pixels = map(sum, zip(*counts, strict=True))
    assert errors / pixels == pytest.approx(results.detectors[0].error_pooled.prevalence, abs=1e-5)


def test_m_g_and_f_run_once_per_image_also_where_they_are_not_chosen(evaluated, monitor, scenes, tmp_path, monkeypatch):
    ran = []
    for module, method in ((monitor.segmenter, "predict"), (monitor.generator, "draw"), (monitor.network, "judged")):
        run = getattr(module, method)

        def counted(*arguments, method=method, run=run, **options):
            ran.extend([method] * (arguments[0] != ""))  # M sees a synthesis as an image without a name
            return run(*arguments, **options)

        monkeypatch.setattr(module, method, counted)
    for chosen, shown in ((["synthcp", "msp"], ["msp", "synthcp-raw", "synthcp"]), (["msp"], ["msp"])):
        ran.clear()
        results = evaluate(monitor, scenes, tmp_path / shown[-1], detectors=chosen)
        assert names(results) == shown and ran == ["predict", "draw", "judged"] * 5
        assert read_rows(tmp_path / shown[-1]) == read_rows(evaluated[0])


def test_detectors_and_protocols_are_chosen_by_name(monitor, tmp_path, fails):
    results = evaluate(monitor, Recoded(), tmp_path / "out", protocols=("smiyc",))
    assert set(results.detectors[-1].anomaly) == {"smiyc"} and results.detectors[-1].anomaly["smiyc"].components
    with fails("protocol 'coas' is unknown", "choose one of caos"):
        evaluate(monitor, Recoded(), tmp_path / "other", protocols=("coas",))
    with fails("detector 'mps'"):
        evaluate(monitor, Recoded(), tmp_path / "other", detectors=["mps"])


def test_without_label_maps_only_the_anomalies_are_judged(monitor, tmp_path):
    results = evaluate(monitor, Recoded(**UNLABELLED), tmp_path)
    assert all(row.error_pooled is None and row.quality is None for row in results.detectors)
    assert set(results.detectors[-1].anomaly) == {"pooled", "caos"} and math.isnan(results.mean_quality)
    assert "Anomaly segmentation" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Recoded(names=(*"abcdefgh", "sign")), "class 'a' of the data is unknown to the monitor; it has sky, building"),
        (Recoded(names=NAMES[::-1]), "match them"),
        (Recoded(names=NAMES[:3]), "match them"),
        (Recoded(image=lambda sample: sample.image[:1]), "1 channels; the monitor was fitted on 3"),
        (Recoded(**UNLABELLED, anomaly_mask=lambda sample: None), "neither label map nor anomaly mask"),
        (
            Recoded(**UNLABELLED, anomaly_mask=lambda sample: sample.anomaly_mask & False),
            "no pixel of these 2 images is anomalous; .*; name a split with anomalies, or add label maps",
        ),
        (Recoded(label_map=lambda sample: sample.label_map[1:]), "they must match"),
        (Recoded(image=lambda sample: 255 * sample.image), r"they must be in \[0, 1\], without NaN; divide by 255"),
        (
            Recoded(**UNLABELLED, image=lambda sample: 255 * sample.image),
            r"test-0000: the image has values from .*; they must be in \[0, 1\], without NaN; divide by 255",
        ),
    ],
)
def test_data_of_another_kind_is_refused(monitor, tmp_path, dataset, message):
    with pytest.raises(InputError, match=message):
        evaluate(monitor, dataset, tmp_path)
    assert not list(tmp_path.iterdir())  # an output that was here before is left as it was


def test_images_seen_in_fitting_are_counted():
    dataset = Scenes(ScenesConfig(count=4, split="val"))
    assert seen_in_fitting(dataset, ["val-0001", "val-0003", "train-0002", "val-0009"]) == 2
