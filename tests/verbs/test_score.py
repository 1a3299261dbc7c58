from __future__ import annotations

import math
import shutil
from dataclasses import replace

import h5py
import pytest
import torch
from PIL import Image

from synthcp.comparison.anomaly_fusion import AnomalyFusion
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.images import read_image
from synthcp.data.prepared import resized
from synthcp.errors import DataError, InputError, ShapeError
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.settings import load_settings, save_settings
from synthcp.report.annotate import read_choice
from synthcp.report.outputs import map_path, read_settings
from synthcp.report.pictures import image_picture, read_grey
from synthcp.report.rows import read_regions, read_rows
from synthcp.report.tables import from_json
from synthcp.verbs.score import Shard, evaluate_run, score, seen_in_fitting
from synthcp.verbs.select import select

COUNT = 5


class Recoded(Scenes):
    """Scenes with some of each sample or of the classes replaced."""

    def __init__(self, names=None, **changes):
        super().__init__(ScenesConfig(count=2, height=48, width=64, split="test"))
        self.changes = changes
        self.classes = replace(self.classes, names=names or self.classes.names)

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return replace(sample, **{name: change(sample) for name, change in self.changes.items()})


UNLABELLED = {"label_map": lambda sample: None}


@pytest.fixture(scope="module")
def scenes():
    return Scenes(ScenesConfig(count=COUNT, height=48, width=64, split="test"))


@pytest.fixture(scope="module")
def images(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number, sample in enumerate(scenes):
        image_picture(sample.image[:, :, : 64 - number]).save(folder / f"{sample.id}.png")
    return folder


@pytest.fixture(scope="module")
def evaluated(run_folder, scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "evaluation"
    return out, evaluate_run(run_folder, scenes, out, facts={"data": "five scenes"}, device="cpu")


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_share_nothing_and_are_the_whole(count):
    items = list(range(7))
    parts = [Shard(number, count).of(items) for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_read_from_its_text():
    assert Shard.parse("2/3") == Shard(2, 3) and Shard(2, 3).of("abcdef") == "be"


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/", "-1/2", "1/2/3", ""])
def test_a_wrong_shard_is_refused(text):
    with pytest.raises(InputError, match="write i/n with i from 1 to n"):
        Shard.parse(text)


def test_scores_are_those_of_the_monitor(monitor, run_folder, images, tmp_path):
    rows = score([images], run_folder, tmp_path, device="cpu")
    assert read_rows(tmp_path)[2].id == rows[2].id == "test-0002"
    for row in rows:
        image = read_image(images / f"{row.id}.png")
        assessment = monitor.assess(image)
        assert row.error_share == pytest.approx(assessment.error_share)
        assert row.class_quality == pytest.approx(assessment.class_quality)
        assert row.alarms == assessment.alarms
        unknown = assessment.anomaly_map > monitor.settings.thresholds.anomaly
        assert row.anomaly_share == pytest.approx(unknown.float().mean().item())
        assert row.regions == assessment.regions
        error_map = torch.from_numpy(read_grey(map_path(tmp_path, row.id, "error_16bit")))
        assert torch.allclose(error_map, assessment.error_map.double(), atol=1e-5)
    regions = read_regions(tmp_path)
    assert {row.id: len(row.regions) for row in rows if row.regions} == {name: len(of) for name, of in regions.items()}
    assert sum(map(len, regions.values())) > 0
    assert (tmp_path / "report.html").is_file()
    assert read_settings(tmp_path).monitor == str(run_folder)


def test_shards_score_what_the_whole_scores(run_folder, images, tmp_path):
    rows = [score([images], run_folder, tmp_path / str(n), Shard(n, 2), "cpu") for n in (1, 2)]
    ids = [[row.id for row in part] for part in rows]
    assert ids == [["test-0000", "test-0002", "test-0004"], ["test-0001", "test-0003"]]


def test_a_shard_without_an_image_is_refused(run_folder, images, tmp_path):
    with pytest.raises(InputError, match="5 images .* fewer shards"):
        score([images], run_folder, tmp_path, Shard(6, 6), "cpu")


def test_a_bad_image_becomes_a_row(run_folder, images, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    rows = score([images, bad], run_folder, tmp_path / "out", device="cpu")
    assert {row.id for row in rows if row.status == "error"} == {"bad"}
    assert "bad.png is not an image" in next(row.message for row in rows if row.id == "bad")
    assert len(rows) == COUNT + 1
    assert "bad.png is not an image" in (tmp_path / "out" / "report.html").read_text()


def test_no_good_image_at_all_is_an_error(run_folder, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.png is empty .* none of the 1 others"):
        score([tmp_path], run_folder, tmp_path / "out", device="cpu")


def test_scores_do_not_keep_the_table_of_an_evaluation(evaluated, run_folder, images, tmp_path):
    (tmp_path / "metrics.json").write_text((evaluated[0] / "metrics.json").read_text())
    score([images], run_folder, tmp_path, device="cpu")
    assert not (tmp_path / "metrics.json").exists()


def test_a_budget_chooses_by_badness_and_embedding(monitor, run_folder, images, tmp_path):
    rows = score([images], run_folder, tmp_path, device="cpu", budget=3)
    embeddings = []
    for row in rows:
        image = read_image(images / f"{row.id}.png")[None]
        embeddings.append(monitor.embed(image, monitor.predict(image))[0].numpy())
    chosen = [rows[index] for index in select([row.error_share for row in rows], embeddings, 3)]
    assert read_choice(tmp_path) == {row.id: rank for rank, row in enumerate(chosen, start=1)}
    assert (tmp_path / "annotate.txt").read_text().splitlines() == [row.source for row in chosen]
    assert "to annotate: 3" in (tmp_path / "report.html").read_text()


def test_a_budget_leaves_out_what_failed_and_ends_with_what_there_is(run_folder, images, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    rows = score([images, bad], run_folder, tmp_path / "out", device="cpu", budget=50)
    assert set(read_choice(tmp_path / "out")) == {row.id for row in rows} - {"bad"}


def test_scores_without_a_budget_keep_no_choice(run_folder, images, tmp_path):
    score([images], run_folder, tmp_path, device="cpu", budget=2)
    score([images], run_folder, tmp_path, device="cpu")
    assert not list(tmp_path.glob("annotate.*")) and "to annotate" not in (tmp_path / "report.html").read_text()


def test_an_image_given_twice_is_chosen_last(run_folder, images, tmp_path):
    for name in ("a", "b", "c"):
        shutil.copy(images / "test-0001.png", tmp_path / f"{name}.png")
    score([images, tmp_path], run_folder, tmp_path / "out", device="cpu", budget=8)
    order = list(read_choice(tmp_path / "out"))
    assert {name for name in order[-3:]} < {"a", "b", "c", "test-0001"}


def test_progress_counts_the_images(run_folder, images, tmp_path):
    calls = []
    score([images], run_folder, tmp_path, device="cpu", progress=lambda *call: calls.append(call))
    assert calls == [("score", step, COUNT, {}) for step in range(1, COUNT + 1)]


def test_an_evaluation_can_be_read_back(evaluated):
    out, results = evaluated
    assert from_json((out / "metrics.json").read_text()).settings == results.settings
    assert results.images == COUNT and len(read_rows(out)) == COUNT
    assert (out / "report.html").is_file()


def test_an_evaluation_names_its_detectors_and_controls(evaluated):
    names = [detector.name for detector in evaluated[1].detectors]
    learned = ["direct-raw", "direct", "untrained-raw", "untrained", "synthcp-raw", "synthcp"]
    assert names == ["msp", "entropy", "max-logit", "energy", *learned]


def test_an_evaluation_says_where_its_numbers_come_from(evaluated):
    settings = evaluated[1].settings
    assert settings["data"] == "five scenes" and settings["variant"] == "ours" and settings["seed"] == "0"
    assert {"protocol", "scale", "precision", "hardware", "commit", "versions", "command"} < set(settings)


def test_rows_hold_the_truth_at_the_working_size(evaluated, monitor, scenes):
    side = monitor.settings.scale.side
    for row, scene in zip(read_rows(evaluated[0]), scenes, strict=True):
        sample = resized(scene, side)
        image = (sample.image * 255).round() / 255
        known = sample.label_map != scenes.classes.ignore_index
        wrong = (monitor.assess(image).label_map != sample.label_map)[known]
        assert row.true_error_share == pytest.approx(wrong.float().mean().item(), abs=1e-4)


def test_rows_and_table_agree_on_the_share_of_errors(evaluated, monitor, scenes):
    out, results = evaluated
    side, ignore_index = monitor.settings.scale.side, scenes.classes.ignore_index
    known = [(resized(scene, side).label_map != ignore_index).sum().item() for scene in scenes]
    wrong = [row.true_error_share * pixels for row, pixels in zip(read_rows(out), known, strict=True)]
    assert sum(wrong) / sum(known) == pytest.approx(results.detectors[0].error_pooled.prevalence, abs=1e-5)


def test_detectors_can_be_chosen(run_folder, scenes, tmp_path):
    results = evaluate_run(run_folder, scenes, tmp_path, ["synthcp", "msp"], device="cpu")
    assert [detector.name for detector in results.detectors] == ["msp", "synthcp-raw", "synthcp"]


def test_an_unknown_detector_is_refused(run_folder, scenes, tmp_path):
    with pytest.raises(InputError, match="detector 'mps'"):
        evaluate_run(run_folder, scenes, tmp_path, ["mps"], device="cpu")


def test_the_protocols_of_anomalies_are_chosen_by_name(run_folder, tmp_path, fails):
    scenes = Recoded()
    results = evaluate_run(run_folder, scenes, tmp_path / "out", protocols=("smiyc",))
    assert set(results.detectors[-1].anomaly) == {"smiyc"} and results.detectors[-1].anomaly["smiyc"].components
    with fails("protocol 'coas' is unknown", "choose one of caos"):
        evaluate_run(run_folder, scenes, tmp_path / "other", protocols=("coas",))


def test_score_files_hold_the_anomaly_maps(run_folder, images, tmp_path):
    score([images], run_folder, tmp_path / "out", smiyc="Track-test")
    monitor = Monitor.load(run_folder, device="cpu")
    for path in sorted(images.glob("*.png")):
        expected = monitor.assess(path).anomaly_map
        with h5py.File(tmp_path / f"out/anomaly_p/synthcp/Track-test/{path.stem}.hdf5", "r") as file:
            found = file["value"][()]
        assert found.shape == expected.shape and torch.from_numpy(found).equal(expected.half())


@pytest.mark.parametrize("largest", [2.0, 1.0])
def test_pictures_of_the_anomaly_map_span_its_range(run_folder, images, tmp_path, largest):
    settings = load_settings(run_folder)
    fusion = AnomalyFusion((0.5, -2.0, -3.0, -2.0), (0.3, 1.0, 1.0, 1.0)) if largest == 1 else None
    shutil.copytree(run_folder, tmp_path / "run")
    save_settings(tmp_path / "run", replace(settings, fusion=fusion))
    path = sorted(images.glob("*.png"))[0]
    score([path], tmp_path / "run", tmp_path / "out", device="cpu")
    assert read_settings(tmp_path / "out").anomaly_range == largest
    found = torch.from_numpy(read_grey(map_path(tmp_path / "out", path.stem, "anomaly_16bit"))) * largest
    expected = Monitor.load(tmp_path / "run", "cpu").assess(path).anomaly_map
    torch.testing.assert_close(found.float(), expected, atol=1e-4, rtol=0)


def test_score_files_that_cannot_be_are_refused_before_anything_is_written(
    run_folder, images, tmp_path, fails, monkeypatch
):
    shutil.copytree(images, tmp_path / "twice/a")
    shutil.copytree(images, tmp_path / "twice/b")
    with fails("would both go to", "score them apart"):
        score([tmp_path / "twice"], run_folder, tmp_path / "out", smiyc="Track-test")
    with fails("'../Track' of a data set is no plain file name"):
        score([images], run_folder, tmp_path / "out", smiyc="../Track")
    monkeypatch.setattr(Monitor, "segmenter", None)
    with fails("predictions on disk give no anomaly scores"):
        score([images], run_folder, tmp_path / "out", smiyc="Track-test")
    assert not (tmp_path / "out").exists()


def test_without_label_maps_only_the_anomalies_are_judged(run_folder, tmp_path):
    results = evaluate_run(run_folder, Recoded(**UNLABELLED), tmp_path / "out")
    assert all(row.error_pooled is None and row.quality is None for row in results.detectors)
    shipped = results.detectors[-1]
    assert set(shipped.anomaly) == {"pooled", "caos"} and math.isnan(results.mean_quality)
    assert "Anomaly segmentation" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Recoded(names=(*"abcdefgh", "sign")), "class 'a' of the data is unknown to the monitor; it has sky, building"),
        (Recoded(names=Recoded().classes.names[::-1]), "match them"),
        (Recoded(names=Recoded().classes.names[:3]), "match them"),
        (Recoded(image=lambda sample: sample.image[:1]), "1 channels; the monitor was fitted on 3"),
        (
            Recoded(label_map=lambda sample: None, anomaly_mask=lambda sample: None),
            "neither label map nor anomaly mask",
        ),
        (
            Recoded(label_map=lambda sample: None, anomaly_mask=lambda sample: sample.anomaly_mask & False),
            "no pixel of these 2 images is anomalous; .*; name a split with anomalies, or add label maps",
        ),
        (Recoded(label_map=lambda sample: sample.label_map[1:]), "they must match"),
    ],
)
def test_data_of_another_kind_is_refused(run_folder, tmp_path, dataset, message):
    with pytest.raises(InputError, match=message):
        evaluate_run(run_folder, dataset, tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())  # an output that was here before is left as it was


@pytest.mark.parametrize("error", [DataError, ShapeError, InputError])
def test_an_image_that_a_model_cannot_take_is_one_row(run_folder, images, tmp_path, monkeypatch, error):
    assess = Monitor.assess

    def fail_at_62(self, image, *others):
        if image.shape[2] == 62:
            raise error("it wants images of 48x64")
        return assess(self, image, *others)

    monkeypatch.setattr(Monitor, "assess", fail_at_62)
    rows = {row.id: row for row in score([images], run_folder, tmp_path, device="cpu")}
    assert [row.id for row in rows.values() if row.status == "error"] == ["test-0002"]
    assert rows["test-0002"].message == "it wants images of 48x64" and len(rows) == COUNT


def test_images_seen_in_fitting_are_counted():
    dataset = Scenes(ScenesConfig(count=4, split="val"))
    assert seen_in_fitting(dataset, ["val-0001", "val-0003", "train-0002", "val-0009"]) == 2


def test_the_picture_of_a_scored_image_is_the_image(run_folder, images, tmp_path):
    score([images / "test-0003.png"], run_folder, tmp_path, device="cpu")
    with Image.open(map_path(tmp_path, "test-0003", "image")) as picture:
        assert picture.size == (61, 48)
