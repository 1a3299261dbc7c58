"""The stages of a fit, each skipped when its result is on disk."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from synthcp.checkpoint import load_json, load_module, load_tensors, save_json, save_module
from synthcp.config import from_dict, to_dict
from synthcp.controls import CONTROLS, UNTRAINED, UNTRAINED_GENERATOR, control_path
from synthcp.data.base import Dataset
from synthcp.data.prepared import Prepared
from synthcp.data.subset import Subset
from synthcp.detection.siamese import SiameseNetwork
from synthcp.fitting.imperfect import Corrupt, Folds, HeldOut, KFold, train_folds
from synthcp.fitting.options import FitOptions
from synthcp.monitor import Monitor
from synthcp.networks import build_generator, build_network, build_segmenter, failure_comparator
from synthcp.nn.vgg import VGG19
from synthcp.records import Prediction
from synthcp.runtime import Runtime, seed_of
from synthcp.segmentation.base import Predictor, Segmenter
from synthcp.segmentation.saved import SavedPredictions
from synthcp.settings import MonitorSettings
from synthcp.synthesis.base import Generator
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from synthcp.synthesis.losses import FeatureNetwork
from synthcp.thresholds import fit_thresholds
from synthcp.training.comparator import ComparatorConfig, ComparatorTraining, ImperfectExamples, fit_score
from synthcp.training.corruption import CorruptedLabels
from synthcp.training.crossfit import ImperfectPredictions, assign_folds
from synthcp.training.gan import GanTraining
from synthcp.training.loop import Progress, forget_checkpoint, train
from synthcp.training.segmentation import SegmentationTraining

M, SCOUT = "segmenter", "scout"
SYNTHCP = "synthcp"
"""Name of the trained generator's drawings."""


class Stages:
    """One run of fit: each method is a stage, skipped when its result is on disk."""

    def __init__(
        self,
        settings: MonitorSettings,
        dataset: Dataset,
        out: Path,
        runtime: Runtime,
        options: FitOptions,
        predictor: Predictor | None,
        progress: Progress,
    ) -> None:
        self.settings = settings
        self.original = dataset
        self.out = out
        self.runtime = runtime
        self.options = options
        self.brought = predictor
        self.seed = options.seed
        self.progress = progress
        self.imperfect = ImperfectPredictions(out / "imperfect")
        self.scout: Segmenter | None = None
        self.views: tuple[str, ...] = ("last",)
        self.dataset = self._prepared(dataset)
        self.judged = self.dataset
        self.doubts = True

    def run(self) -> Monitor:
        """Run all stages."""
        predictor = self.segmenter(M) if self.brought is None else self._placed(self.brought)
        segmenter = predictor if isinstance(predictor, Segmenter) else None
        self.scout = segmenter if self.brought is None else self._scout()
        generators = {SYNTHCP: self.generator(segmenter)}
        if self.options.controls:
            generators[UNTRAINED] = self.untrained_generator()
        self.imperfect_predictions(predictor, generators)
        network, settings = self.comparator(self.out / "comparator.safetensors", segmenter, SYNTHCP)
        if self.options.controls:
            for name in CONTROLS:
                self.comparator(control_path(self.out, name), segmenter, name)
        monitor = Monitor(settings, predictor, generators[SYNTHCP], network, self.runtime)
        monitor.save(self.out)
        clear_up(self.out)
        return monitor

    def _prepared(self, dataset: Dataset) -> Prepared:
        side = self.settings.scale.side
        return Prepared(dataset, side, lambda step, steps: self.progress("read", step, steps, {}))

    def _placed(self, predictor: Predictor) -> Predictor:
        if isinstance(predictor, Segmenter):
            self.runtime.place(predictor).eval().requires_grad_(False)
        return predictor

    @property
    def _starts_from_trunk(self) -> bool:
        return self.settings.variant.starts_from_segmenter and self.settings.scale.depth == 18

    def _scout(self) -> Segmenter | None:
        """Fit a segmenter of our own beside a brought M, whose trunk is of another kind or not there at all.

        F's encoder starts from its trunk, and G's drawings are measured by its layers; it judges nothing.
        """
        return self.segmenter(SCOUT) if self._starts_from_trunk else None

    def segmenter(self, name: str) -> Segmenter:
        """The built-in segmenter, on all training images: M, or the scout of another M."""
        torch.manual_seed(seed_of(self.seed, name))
        segmenter = self.runtime.place(build_segmenter(self.settings))
        path = self.out / f"{name}.safetensors"
        if path.exists():
            load_module(path, segmenter)
            return segmenter.eval()
        config = self.settings.scale.segmentation
        training = SegmentationTraining(segmenter, self.dataset, config, self.runtime, self.seed)
        train(training, config.steps, self.out, name, self.seed, self.progress)
        save_module(path, segmenter)
        forget_checkpoint(self.out, name)
        return segmenter.eval()

    def generator(self, segmenter: Segmenter | None) -> Generator:
        """G against D, on ground-truth label maps (eq. 1-2)."""
        torch.manual_seed(seed_of(self.seed, "generator"))
        generator = self.runtime.place(build_generator(self.settings))
        path = self.out / "generator.safetensors"
        if path.exists():
            load_module(path, generator)
            return generator.eval()
        settings, scale = self.settings, self.settings.scale
        judge = DiscriminatorConfig(len(settings.classes), settings.channels, scale.discriminator_width)
        discriminator = MultiScaleDiscriminator(settings.spatial_dims, judge)
        network = self._perceptual_network(segmenter)
        training = GanTraining(generator, discriminator, network, self.dataset, scale.gan, self.runtime, self.seed)
        train(training, scale.gan.steps, self.out, "generator", self.seed, self.progress, pictures=5)
        save_module(path, training.average)
        forget_checkpoint(self.out, "generator")
        return training.average.eval()

    def _perceptual_network(self, segmenter: Segmenter | None) -> FeatureNetwork | None:
        if self.options.vgg19 is not None:
            vgg = VGG19()
            vgg.load_weights(load_tensors(self.options.vgg19)[0])
            return self.runtime.place(vgg).eval().requires_grad_(False)
        network = self.scout or segmenter
        if network is None or not network.differentiable:
            return None
        return network.requires_grad_(False).features

    def untrained_generator(self) -> Generator:
        """G as it was before training, for the control."""
        torch.manual_seed(seed_of(self.seed, "generator"))
        generator = self.runtime.place(build_generator(self.settings)).eval()
        save_module(control_path(self.out, UNTRAINED_GENERATOR), generator)
        return generator

    def imperfect_predictions(self, predictor: Predictor, generators: dict[str, Generator]) -> None:
        """Predictions of images that M has not seen, and drawings of them, for F to learn from."""
        match self.options.imperfect or KFold():
            case KFold(folds, command=""):
                self._folds(folds or self.settings.scale.folds, generators)
            case KFold(folds, command):
                source = self._saved(self._trained_folds(folds, command))
                self._predictions(self.original, source, predictor, generators)
            case HeldOut(dataset):
                self.judged = self._prepared(dataset)
                self._predictions(dataset, predictor, predictor, generators)
            case Folds(folder):
                self._predictions(self.original, self._saved(folder), predictor, generators)
            case Corrupt():
                self._predictions(self.original, CorruptedLabels(self.dataset, self.seed), predictor, generators)

    def _trained_folds(self, folds: int, command: str) -> Path:
        """The predictions of models that the user's own command trains."""
        scale, rule = self.settings.scale, self.settings.variant.fold_rule
        return train_folds(command, self.original, self.dataset.groups, folds or scale.folds, rule, self.out / "folds")

    def _saved(self, folder: Path) -> SavedPredictions:
        saved = SavedPredictions(folder, self.settings.classes, self.settings.spatial_dims)
        saved.require(self.original.ids)
        return saved

    def _predictions(
        self, dataset: Dataset, source: Predictor, predictor: Predictor, generators: dict[str, Generator]
    ) -> None:
        """The predictions of one source, drawn; M, if it is a live model, looks at the drawings."""
        segmenter = predictor if isinstance(predictor, Segmenter) else None
        self._forget_doubt(source, segmenter)
        for index, sample_id in enumerate(dataset.ids):
            if not self.imperfect.path("last", index).exists():
                image = self.runtime.send(dataset[index].image[None])
                with torch.no_grad(), self.runtime.autocast():
                    prediction = _seen_by(segmenter, image, source.predict(sample_id, image))
                small = self.judged[index].image
                self.imperfect.write("last", index, small, prediction, segmenter, generators, self.runtime)
            self.progress("predictions", index + 1, len(dataset), {})

    def _forget_doubt(self, source: Predictor, segmenter: Segmenter | None) -> None:
        """Let F do without M's doubt when it learns from label maps but will see what a live M says."""
        saved = isinstance(source, SavedPredictions) and source.are_label_maps and segmenter is not None
        if saved or isinstance(source, CorruptedLabels):
            variant = replace(self.settings.variant, uses_doubt=False, label_input="one_hot", score="raw")
            self.settings, self.doubts = replace(self.settings, variant=variant), False

    def _folds(self, folds: int, generators: dict[str, Generator]) -> None:
        """Predictions of every image by a built-in M of another fold, once for each fold seed."""
        fold_of = assign_folds(self.dataset.groups, folds, self.settings.variant.fold_rule)
        repeats = ["", *(f"-seed{number}" for number in range(1, self.settings.variant.fold_seeds))]
        views = [[*(f"early{share:g}{repeat}" for share in self._early), f"last{repeat}"] for repeat in repeats]
        for repeat, fold in itertools.product(range(len(repeats)), range(folds)):
            held_out = [index for index, other in enumerate(fold_of) if other == fold]
            if not all(self.imperfect.path(view, index).exists() for view in views[repeat] for index in held_out):
                self._fold(f"fold{fold}{repeats[repeat]}", views[repeat], held_out, generators)
        self.views = tuple(itertools.chain(*views))

    @property
    def _early(self) -> tuple[float, ...]:
        return self.settings.variant.early_views

    def _fold(self, name: str, views: Sequence[str], held_out: Sequence[int], generators: dict[str, Generator]) -> None:
        torch.manual_seed(seed_of(self.seed, name))
        segmenter = build_segmenter(self.settings)
        seen = Subset(self.dataset, sorted(set(range(len(self.dataset))) - set(held_out)))
        scale = self.settings.scale
        config = replace(scale.segmentation, steps=max(1, round(scale.segmentation.steps * scale.fold_steps)))
        training = SegmentationTraining(segmenter, seen, config, self.runtime, seed_of(self.seed, name))
        for view, share in zip(views, (*self._early, 1.0), strict=True):
            train(training, max(1, round(config.steps * share)), self.out, name, self.seed, self.progress)
            segmenter.eval()
            for number, index in enumerate(held_out):
                image = self.dataset[index].image
                if not self.imperfect.path(view, index).exists():
                    with torch.no_grad(), self.runtime.autocast():
                        prediction = segmenter(self.runtime.send(image[None]))
                    self.imperfect.write(view, index, image, prediction, segmenter, generators, self.runtime)
                self.progress(f"{name} {view} predictions", number + 1, len(held_out), {})

    def _examples(self, drawing: str) -> tuple[ImperfectExamples, ImperfectExamples]:
        """Examples to train F on, and those kept aside for its score and thresholds (all, where no score is fitted)."""
        indices = list(range(len(self.judged)))
        examples = ImperfectExamples(self.judged, self.imperfect, self.views, indices, drawing)
        if self.settings.variant.score != "blend":
            return examples, replace(examples, views=self.views[-1:])
        block = assign_folds(self.judged.groups, min(6, len(indices)), "dealt", runs=2)
        aside = [index for index in indices if block[index] == max(block)]
        trained = [index for index in indices if block[index] != max(block)]
        return replace(examples, indices=trained), replace(examples, views=self.views[-1:], indices=aside)

    def comparator(
        self, path: Path, segmenter: Segmenter | None, drawing: str
    ) -> tuple[SiameseNetwork, MonitorSettings]:
        """F on one kind of drawing, and the settings with the score and the thresholds fitted to it (eq. 5-8)."""
        torch.manual_seed(seed_of(self.seed, "comparator"))
        network = self.runtime.place(build_network(self.settings))
        if path.with_suffix(".json").exists():
            load_module(path, network)
            return network.eval(), from_dict(MonitorSettings, load_json(path.with_suffix(".json")))
        if self._starts_from_trunk and self.scout is not None:
            network.load_encoder(self.scout.get_submodule("trunk").state_dict())
        examples, aside = self._examples(drawing)
        config, name = self._comparator_config(), path.stem
        training = ComparatorTraining(network, examples, config, self.runtime, self.seed)
        train(training, config.steps, self.out, name, self.seed, self.progress)
        network = training.average.eval()
        settings = self.settings
        if settings.variant.score == "blend":
            settings = replace(settings, blend=fit_score(network, aside, self.runtime, self.seed))
        # label maps are all equally sure, which says nothing of the usual anomaly: its thresholds need M's own doubt
        judge = failure_comparator(settings, segmenter if self.doubts else None, network)
        settings = replace(settings, thresholds=fit_thresholds(judge, aside, self.runtime))
        save_module(path, network)
        save_json(path.with_suffix(".json"), to_dict(settings))
        forget_checkpoint(self.out, name)
        return network, settings

    def _comparator_config(self) -> ComparatorConfig:
        variant = self.settings.variant
        config = replace(self.settings.scale.comparator, loss=variant.loss)
        config = config if variant.averaged else replace(config, average=0.0)
        return config if variant.augmented else replace(config, zoom=(1.0, 1.0), jitter=0.0)


def _seen_by(segmenter: Segmenter | None, image: Tensor, prediction: Prediction) -> Prediction:
    """A prediction of whatever source, with what a live M sees in the image, as it will when the monitor is used."""
    if segmenter is None or prediction.layers:
        return prediction
    seen = segmenter.predict("", image)
    return replace(prediction, layers=seen.layers, seen=seen.seen_size)


def clear_up(out: Path) -> None:
    """Remove what only an unfinished run needs, and what a killed one left half written."""
    shutil.rmtree(out / "imperfect", ignore_errors=True)
    for pattern in ("*.checkpoint.safetensors", ".*.safetensors.*.tmp", f"{SCOUT}.safetensors"):
        for path in out.rglob(pattern):
            path.unlink()
