"""Fits of monitors for models that somebody brings: real, tiny, and from every kind of imperfect prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from synthcp.comparison.feature_head import FeatureHead
from synthcp.comparison.siamese import SiameseNetwork
from synthcp.config.scales import Scale
from synthcp.config.variants import VARIANTS
from synthcp.data.base import Dataset
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.subset import Subset
from synthcp.errors import InputError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.imperfect_sources import Corrupt, Folds, HeldOut, Imperfect, Unseen
from synthcp.fitting.run import begin, fit
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator
from synthcp.monitor.thresholds import NEVER
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.trunk import TrunkShape
from synthcp.records import Prediction, Sample
from synthcp.report.pictures import label_picture
from synthcp.rivals.catalogue import load_detectors
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.deeplab import DeepLab
from synthcp.segmentation.unet import UNet
from synthcp.synthesis.base import Generator
from synthcp.synthesis.losses import AdversarialForm, adversarial_loss
from synthcp.system.files import load_json, load_tensors, save_tensors
from synthcp.training.comparator import ComparatorTraining
from synthcp.training.gan import GanTraining
from synthcp.training.imperfect_predictions import ImperfectPrediction, ImperfectPredictions, Synthesizer
from synthcp.training.segmentation import SegmentationTraining


class Bright(Segmenter):
    """Labels by brightness, and remembers the sizes at which it saw images."""

    def __init__(self) -> None:
        super().__init__(2, (0.5,), (0.25,))
        self.sizes: set[tuple[int, ...]] = set()

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        self.sizes.add(tuple(image.shape[2:]))
        grey = image.mean(dim=1, keepdim=True)
        features = torch.cat([grey, image[:, :1] - image[:, 2:], image[:, 1:2]], dim=1)
        centres = torch.linspace(-1.5, 1.5, 9).view(1, 9, 1, 1)
        return -((grey - centres) ** 2), [features]


def scenes(split: str, count: int) -> Scenes:
    return Scenes(ScenesConfig(count=count, height=48, width=64, split=split))


@pytest.fixture
def options(smallest_scale: Scale) -> FitConfig:
    return FitConfig(scale=smallest_scale, device="cpu", precision="fp32", controls=False)


def test_the_model_sees_its_images_at_their_own_size(options: FitConfig, tmp_path: Path) -> None:
    model, held_out = Bright(), scenes("val", 8)
    chosen = replace(options, model=model, imperfect=HeldOut(held_out))
    monitor = fit(scenes("train", 6), tmp_path / "run", chosen)
    assert model.sizes == {(48, 64)}  # the images, and syntheses brought to their size
    assert monitor.segmenter is model and monitor.settings.model.layers == 1
    assert set(monitor.settings.training_ids) == set(held_out.ids) | {f"train-000{index}" for index in range(6)}
    image = scenes("test", 1)[0].image
    assessment = monitor.assess(image)
    assert assessment.label_map.equal(model(image[None]).label_map[0])  # its own answer, at the size of the image
    assert assessment.anomaly_map is not None and assessment.anomaly_map.shape == (48, 64)
    assert not (tmp_path / "run" / "segmenter.safetensors").exists()
    again = Monitor.load(tmp_path / "run", "cpu", model=model)
    assert again.settings == monitor.settings and again.assess(image).error_map.equal(assessment.error_map)


def test_a_scout_lends_its_trunk_to_f_and_its_layers_to_g(
    options: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = []
    monkeypatch.setattr(SiameseNetwork, "load_encoder", lambda self, weights: lent.append(weights))
    begin = GanTraining.__init__

    def watched(self: GanTraining, *parts: Any, perceptual_network: Any, **others: Any) -> None:
        lent.append(None if perceptual_network is None else perceptual_network.__self__)
        begin(self, *parts, perceptual_network=perceptual_network, **others)

    monkeypatch.setattr(GanTraining, "__init__", watched)
    model = Bright()
    chosen = replace(options, model=model, imperfect=HeldOut(scenes("val", 6)))
    fit(scenes("train", 4), tmp_path / "ours", chosen)
    auxiliary, trunk = lent
    assert isinstance(auxiliary, DeepLab) and trunk.keys() == auxiliary.trunk.state_dict().keys()
    assert not list((tmp_path / "ours").glob("auxiliary*"))  # F has what it needed of it
    lent.clear()
    fit(scenes("train", 4), tmp_path / "paper", replace(chosen, variant="paper"))
    assert lent == [model]


@pytest.mark.parametrize(
    ("kind", "file", "loss"),
    [
        ("spade", "generator.safetensors", "hinge"),
        ("pix2pixhd", "pix2pixhd.safetensors", "least_squares"),
        ("styled", "styled.safetensors", "hinge"),
    ],
)
def test_each_kind_of_generator_is_fitted_once_into_a_file_of_its_own(
    options: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, file: str, loss: AdversarialForm
) -> None:
    losses, step = [], GanTraining.step
    monkeypatch.setattr(GanTraining, "step", lambda self, number: losses.append(self.adversarial) or step(self, number))
    stages = begin(scenes("train", 4), tmp_path / "run", options)
    generator = stages.generator(None, kind)
    assert [path.name for path in (tmp_path / "run").glob("*.safetensors")] == [file]
    label_map, image = torch.randint(len(stages.settings.classes), (1, 32, 43)), torch.rand(1, 3, 32, 43)
    again = stages.generator(None, kind)
    assert again.draw(label_map, image).equal(generator.draw(label_map, image))
    assert losses == [adversarial_loss(loss)] * stages.settings.scale.gan.steps


@pytest.mark.parametrize("kind", ["pix2pixhd", "styled"])
def test_a_monitor_is_opened_with_the_generator_that_was_fitted(options: FitConfig, tmp_path: Path, kind: str) -> None:
    chosen = replace(options, generator=kind, controls=True)
    monitor = fit(scenes("train", 12), tmp_path / "run", chosen)
    again = Monitor.load(tmp_path / "run", "cpu")
    assert type(again.generator) is type(build_generator(monitor.settings, kind))
    image = torch.rand(3, 48, 64)
    assessments = [one.assess(image) for one in (monitor, again)]
    assert assessments[0].synthesis.equal(assessments[1].synthesis)
    assert assessments[0].error_map.equal(assessments[1].error_map)
    detectors = load_detectors(tmp_path / "run", again)
    assert type(detectors["untrained"].evidence.generator) is type(again.generator)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="was begun with"):
        fit(scenes("train", 12), tmp_path / "run", replace(chosen, generator="", resume=True))


def test_f_starts_from_scratch_beside_a_segmenter_without_a_trunk(options: FitConfig, tmp_path: Path) -> None:
    monitor = fit(scenes("train", 6), tmp_path / "run", replace(options, model="unet"))
    assert isinstance(monitor.segmenter, UNet) and monitor.settings.model.layers == 5
    image = torch.rand(3, 48, 64)
    again = Monitor.load(tmp_path / "run", "cpu").assess(image)
    assert again.anomaly_map is not None and again.error_map.equal(monitor.assess(image).error_map)


@pytest.fixture
def published(tmp_path: Path) -> Callable[[str], Path]:
    """Weights of a trunk by its published names, with its classifier behind them."""

    def write(name: str) -> Path:
        torch.manual_seed(3)
        trunk, path = new_trunk(name, TrunkShape(2)), tmp_path / f"{name}.safetensors"
        if not path.exists():
            save_tensors(path, trunk.state_dict() | {f"{prefix}x": torch.zeros(1) for prefix in trunk.left_aside})
        return path

    return write


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Tensor]]:
    """Of M, of F's encoders and of the network of G's loss the weights with which a fit starts."""
    seen: dict[str, dict[str, Tensor]] = {}
    begins = {kind: kind.__init__ for kind in (SegmentationTraining, ComparatorTraining, GanTraining)}

    def note(name: str, network: nn.Module | None) -> None:
        seen[name] = {} if network is None else {key: value.clone() for key, value in network.state_dict().items()}

    def of_m(self: SegmentationTraining, segmenter: Any, *parts: Any, **others: Any) -> None:
        note("M", segmenter.trunk)
        begins[SegmentationTraining](self, segmenter, *parts, **others)  # type: ignore[call-arg]

    def of_f(self: ComparatorTraining, network: SiameseNetwork | FeatureHead, *parts: Any, **others: Any) -> None:
        for number, encoder in enumerate([network.trunk] if isinstance(network, FeatureHead) else network.encoders):
            note(f"F{number}", encoder)
        begins[ComparatorTraining](self, network, *parts, **others)  # type: ignore[call-arg]

    def of_g(self: GanTraining, *parts: Any, perceptual_network: Any, **others: Any) -> None:
        note("G", getattr(perceptual_network, "__self__", None))
        begins[GanTraining](self, *parts, perceptual_network=perceptual_network, **others)  # type: ignore[call-arg]

    monkeypatch.setattr(SegmentationTraining, "__init__", of_m)
    monkeypatch.setattr(ComparatorTraining, "__init__", of_f)
    monkeypatch.setattr(GanTraining, "__init__", of_g)
    return seen


def starts_from(state: dict[str, Tensor], file: Path) -> bool:
    """Whether a trunk has the weights of a file, and zeros for channels that the file does not know."""
    published, _ = load_tensors(file)
    shared = [key for key in state if not key.endswith("num_batches_tracked")]
    return all(
        state[key][:, : published[key].shape[1]].equal(published[key])
        and not state[key][:, published[key].shape[1] :].any()
        if state[key].ndim == 4
        else state[key].equal(published[key])
        for key in shared
    )


def test_the_papers_own_setting_starts_all_three_from_published_weights(
    options: FitConfig,
    tmp_path: Path,
    published: Callable[[str], Path],
    started: dict[str, dict[str, Tensor]],
) -> None:
    chosen = replace(
        options,
        variant="official",  # two encoders
        trunk="resnet34",
        weights=published("resnet34"),
        comparator_trunk="resnet18",
        comparator_weights=published("resnet18"),
        perceptual="vgg19",
        perceptual_weights=published("vgg19"),
    )
    monitor = fit(scenes("train", 6), tmp_path / "run", chosen)
    wanted = {"M": "resnet34", "F0": "resnet18", "F1": "resnet18", "G": "vgg19"}
    assert all(starts_from(started[part], published(name)) for part, name in wanted.items())
    stored = load_json(tmp_path / "run" / "monitor.json")
    assert (stored["model"]["trunk"], stored["encoder"]) == ("resnet34", "resnet18")
    assert stored["facts"]["model"] == f"deeplab (resnet34; starts from {published('resnet34')})"
    assert stored["facts"]["trunk of F"] == f"resnet18 from {published('resnet18')}"
    assert stored["facts"]["perceptual loss by"] == f"vgg19 from {published('vgg19')}"
    image = scenes("test", 1)[0].image
    again = Monitor.load(tmp_path / "run", "cpu")
    assert again.assess(image).error_map.equal(monitor.assess(image).error_map)
    with pytest.raises(InputError, match="was begun with comparator_trunk resnet18; resume with the same"):
        fit(scenes("train", 6), tmp_path / "run", replace(chosen, comparator_trunk="resnet34", resume=True))


def test_f_starts_from_the_trunk_that_m_was_given(
    options: FitConfig, tmp_path: Path, published: Callable[[str], Path], started: dict[str, dict[str, Tensor]]
) -> None:
    name = "efficientnet_lite0"
    chosen = replace(options, trunk=name, weights=published(name))
    monitor = fit(scenes("train", 6), tmp_path / "run", chosen)
    assert starts_from(started["M"], published(name)) and isinstance(monitor.segmenter, DeepLab)
    fitted = monitor.segmenter.trunk.state_dict()
    assert started["F0"].keys() == fitted.keys()
    assert started["F0"]["_blocks.3._project_conv.weight"].equal(fitted["_blocks.3._project_conv.weight"])
    again = Monitor.load(tmp_path / "run", "cpu")
    image = scenes("test", 1)[0].image
    assert again.assess(image).error_map.equal(monitor.assess(image).error_map)


def test_f_has_a_trunk_of_its_own_beside_a_model_that_was_brought(
    options: FitConfig, tmp_path: Path, published: Callable[[str], Path], started: dict[str, dict[str, Tensor]]
) -> None:
    chosen = replace(options, model=Bright(), imperfect=Unseen())
    name = "squeezenet1_0"
    own = replace(chosen, comparator_trunk=name, comparator_weights=published(name))
    fit(scenes("train", 6), tmp_path / "run", own)
    assert starts_from(started["F0"], published(name)) and "M" not in started  # no auxiliary segmenter is needed


class Stopped(Exception):
    """The end of a fit that a test has seen enough of."""


def _stop(*arguments: object) -> None:
    raise Stopped


def watch_synthesizer(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Segmenter | None, Tensor, Prediction]]:
    """Whatever F is to be shown: who compares, the image and the prediction; the fit stops before F."""
    shown, call = [], Synthesizer.__call__

    def watched(self: Synthesizer, image: Tensor, prediction: Prediction, **options: Any) -> ImperfectPrediction:
        shown.append((self.segmenter, image, prediction))
        return call(self, image, prediction, **options)

    monkeypatch.setattr(Synthesizer, "__call__", watched)
    monkeypatch.setattr("synthcp.fitting.stages.Stages.comparator", _stop)
    return shown


def test_f_learns_from_what_the_model_says_of_images_it_has_not_seen(
    options: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = watch_synthesizer(monkeypatch)
    model, held_out = Bright(), scenes("val", 5)
    with pytest.raises(Stopped):
        fit(scenes("train", 4), tmp_path / "run", replace(options, model=model, imperfect=HeldOut(held_out)))
    assert len(shown) == 5 and len(list((tmp_path / "run" / "imperfect").iterdir())) == 5
    segmenter, image, prediction = shown[3]
    assert segmenter is model and image.shape == (3, 32, 43) and prediction.logits.shape == (1, 9, 48, 64)
    assert prediction.seen_size == (48, 64)
    torch.testing.assert_close(prediction.layers[0], model(held_out[3].image[None]).layers[0])


def test_f_learns_from_the_data_themselves_where_the_model_has_seen_none_of_them(
    options: FitConfig, tmp_path: Path
) -> None:
    model, images = Bright(), scenes("train", 8)
    monitor = fit(images, tmp_path / "run", replace(options, model=model, imperfect=Unseen(), controls=True))
    assert monitor.settings.facts["imperfect predictions"] == "unseen"
    assert monitor.settings.variant == FitConfig().chosen_variant()
    assert monitor.settings.training_ids == tuple(images.ids)
    assert monitor.assess(scenes("test", 1)[0].image).anomaly_map is not None
    with pytest.raises(InputError, match="was begun with another imperfect; resume with the same"):
        again = replace(options, model=model, imperfect=Unseen("group"), controls=True, resume=True)
        fit(images, tmp_path / "run", again)


def test_what_the_model_says_of_unseen_data_is_what_f_is_shown(
    options: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, model, images = watch_synthesizer(monkeypatch), Bright(), scenes("train", 4)
    with pytest.raises(Stopped):
        fit(images, tmp_path / "run", replace(options, model=model, imperfect=Unseen()))
    assert [prediction.seen_size for _, _, prediction in shown] == [(48, 64)] * 4
    for (segmenter, _, prediction), sample in zip(shown, images, strict=True):
        assert segmenter is model
        torch.testing.assert_close(prediction.layers, model(sample.image[None]).layers)


def test_a_crossfitted_g_has_not_seen_the_group_of_the_image_that_it_draws(
    options: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, begin_training = list[tuple[Generator, set[str]]](), GanTraining.__init__
    drew, call = list[Mapping[str, Generator]](), Synthesizer.__call__

    def watched(self: GanTraining, generator: Generator, dataset: Dataset, *parts: Any, **others: Any) -> None:
        trained.append((generator, set(dataset.groups)))
        begin_training(self, generator, dataset, *parts, **others)

    def drawing(self: Synthesizer, image: Tensor, prediction: Prediction) -> ImperfectPrediction:
        drew.append(self.generators)
        return call(self, image, prediction)

    monkeypatch.setattr(GanTraining, "__init__", watched)
    monkeypatch.setattr(Synthesizer, "__call__", drawing)
    images = scenes("train", 12)  # ten of one drive, two of another
    chosen = replace(options, model=Bright(), imperfect=Unseen("group"), controls=True)
    monitor = fit(images, tmp_path / "run", chosen)
    seen_by = {id(generator): groups for generator, groups in trained}
    assert seen_by[id(monitor.generator)] == set(images.groups) and len(seen_by) == 3
    assert [seen_by[id(by["synthcp"])] | {group} for by, group in zip(drew, images.groups, strict=True)] == [
        set(images.groups)
    ] * 12
    assert not any(group in seen_by[id(by["synthcp"])] for by, group in zip(drew, images.groups, strict=True))
    assert len({id(by["untrained"]) for by in drew}) == 1
    assert not list((tmp_path / "run").glob("fold*"))


def test_data_of_one_group_cannot_be_crossfitted(options: FitConfig, tmp_path: Path, fails: Any) -> None:
    with fails("all images are of one group, without which no G can be fitted; leave crossfit=group out"):
        fit(scenes("train", 4), tmp_path / "run", replace(options, model=Bright(), imperfect=Unseen("group")))


@pytest.mark.parametrize("model", ["", "deeplab", "unet"])
def test_a_model_that_is_fitted_here_has_seen_the_data(model: str, fails: Any) -> None:
    with fails(
        "imperfect predictions 'unseen' need an M that has seen none of the data, but this one is fitted to them; "
        "bring a trained M, or take k folds"
    ):
        FitConfig(model=model, imperfect=Unseen())


def test_corrupted_labels_leave_f_the_label_map_alone(options: FitConfig, tmp_path: Path) -> None:
    monitor = fit(scenes("train", 6), tmp_path / "run", replace(options, model=Bright(), imperfect=Corrupt()))
    variant = monitor.settings.variant
    assert (variant.uses_uncertainty, variant.label_input, variant.score) == (False, "one_hot", "raw")
    image = scenes("test", 1)[0].image
    assert monitor.assess(image).anomaly_map is not None
    assert (monitor.settings.thresholds.anomaly, monitor.settings.thresholds.anomaly_share) == (NEVER, 1.0)


def test_label_maps_of_folds_leave_f_the_label_map_alone_where_m_is_live(options: FitConfig, tmp_path: Path) -> None:
    for sample in scenes("train", 6):
        assert sample.label_map is not None
        label_picture(sample.label_map, scenes("train", 6).classes).save(tmp_path / f"{sample.id}.png")
    chosen = replace(options, imperfect=Folds(tmp_path))
    live = fit(scenes("train", 6), tmp_path / "live", replace(chosen, model=Bright())).settings
    assert (live.variant.uses_uncertainty, live.variant.label_input, live.variant.score) == (False, "one_hot", "raw")
    assert live.thresholds.anomaly == NEVER
    saved = fit(scenes("train", 6), tmp_path / "saved", replace(chosen, model=f"preds:{tmp_path}")).settings
    assert saved.variant == FitConfig().chosen_variant()  # it is as sure when it is used


class InFolder(Subset):
    """Images whose ids begin with another folder than that in which their predictions lie."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        self.ids = [f"images/{sample_id}" for sample_id in dataset.ids]

    def __getitem__(self, index: int) -> Sample:
        return replace(super().__getitem__(index), id=self.ids[index])


@pytest.mark.parametrize("held_out", [True, False])
def test_a_resumed_fit_pairs_predictions_as_the_first_one_did(
    options: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_out: bool
) -> None:
    images, predicted = InFolder(scenes("train", 4)), InFolder(scenes("val" if held_out else "train", 4))
    (tmp_path / "preds" / "fine").mkdir(parents=True)
    for sample in predicted:
        assert sample.label_map is not None
        picture = label_picture(sample.label_map, images.classes)
        picture.save(tmp_path / "preds" / f"{sample.id.replace('images', 'fine')}.png")
    source: Imperfect = HeldOut(predicted) if held_out else Unseen()
    chosen = replace(options, model=f"preds:{tmp_path / 'preds'}", imperfect=source)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(ImperfectPredictions, "write", _stop)
        fit(images, tmp_path / "run", chosen)
    resumed = fit(images, tmp_path / "run", replace(chosen, resume=True))
    assert resumed.settings == fit(images, tmp_path / "whole", chosen).settings


def test_m_looks_at_the_image_itself_where_the_predictions_come_from_elsewhere(
    options: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = watch_synthesizer(monkeypatch)
    model, images = Bright(), scenes("train", 4)
    for sample in images:  # half as large as the images
        assert sample.label_map is not None
        label_picture(sample.label_map[::2, ::2], images.classes).save(tmp_path / f"{sample.id}.png")
    with pytest.raises(Stopped):
        fit(images, tmp_path / "run", replace(options, model=model, imperfect=Folds(tmp_path)))
    _, _, prediction = shown[2]
    assert prediction.seen_size == (48, 64)
    torch.testing.assert_close(prediction.layers, model(images[2].image[None]).layers)


@pytest.mark.parametrize(
    ("imperfect", "message"),
    [
        (None, "F needs predictions of images that Bright has not seen; name them: heldout"),
        (HeldOut(scenes("train", 3)), "train-0000 is both a training and a held-out image"),
    ],
)
def test_what_a_fit_refuses(options: FitConfig, tmp_path: Path, imperfect: Imperfect | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(scenes("train", 4), tmp_path / "run", replace(options, model=Bright(), imperfect=imperfect))
    assert not (tmp_path / "run").exists()


def test_every_fold_seed_and_early_checkpoint_is_one_more_view(
    options: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthcp.fitting.stages.Stages.comparator", _stop)
    variant = replace(VARIANTS["ours"], fold_seeds=2, early_views=(0.5,))
    with pytest.raises(Stopped):
        fit(scenes("train", 5), tmp_path / "run", replace(options, variant=variant))
    imperfect = ImperfectPredictions(tmp_path / "run" / "imperfect")
    views = ("last", "early0.5", "early0.5-seed1", "last-seed1")
    last, *others = ([imperfect.read(view, index).logits for index in range(5)] for view in views)
    assert len(list(imperfect.folder.iterdir())) == 20
    assert not any(last[2].equal(other[2]) for other in others)
