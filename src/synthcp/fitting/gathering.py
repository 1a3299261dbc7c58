"""Imperfect predictions, and syntheses from them, gathered for F to learn from (eq. 6-7 need mistakes of M)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.degradation import degrade
from synthcp.data.subset import Subset
from synthcp.data.working_size import Prepared
from synthcp.fitting.context import Context, at_working_size
from synthcp.fitting.fit_once import fit_once
from synthcp.fitting.imperfect_sources import Corrupt, Folds, HeldOut, KFold, Unseen, train_folds
from synthcp.records import Prediction
from synthcp.segmentation.base import Predictor, Segmenter, in_numbers
from synthcp.segmentation.saved import SavedPredictions
from synthcp.synthesis.base import Generator
from synthcp.system.run_folder import FOLDS, IMPERFECT, weights_path
from synthcp.system.runtime import generator_of, seed_of
from synthcp.training.comparator import ImperfectExamples
from synthcp.training.corruption import CorruptedLabels
from synthcp.training.imperfect_predictions import ImperfectPredictions, Synthesizer, assign_folds, crossfit_folds
from synthcp.training.loop import train
from synthcp.training.segmentation import SegmentationTraining

Generators = Mapping[str, Generator]
Refit = Callable[[str, Sequence[int]], Generators]
"""Returns the generators of a fold by its name, fitted without the training images of these indices."""

Drawn = Sequence[tuple[Sequence[int], Callable[[], Generators]]]
"""Parts of a data set, by the indices of its images, and how to get the generators that draw them."""


@dataclass(frozen=True)
class View:
    """One way of getting an out-of-fold prediction of every image.

    Attributes:
        name: Of its files.
        share: Of the training of the fold's M after which it predicts; below 1 M is half-trained.
        degraded: Whether it predicts each image degraded in its own way.
    """

    name: str
    share: float = 1.0
    degraded: bool = False


LAST = View("last")
"""The finished M's predictions of the images as they are."""


@dataclass(frozen=True)
class Gathered:
    """What F learns from.

    Attributes:
        dataset: The images that were predicted, at the working size, with ground truth.
        predictions: Of these images.
        ways: How each image was predicted, the best way last.
        have_uncertainty: Whether the predictions tell of M's uncertainty as it will be when the monitor is used; label
            maps do not.
    """

    dataset: Prepared
    predictions: ImperfectPredictions
    ways: tuple[View, ...] = (LAST,)
    have_uncertainty: bool = True

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the ways, the best one last."""
        return tuple(view.name for view in self.ways)

    def examples(
        self, generator: str, *, keep_aside: bool, early: bool = True
    ) -> tuple[ImperfectExamples, ImperfectExamples]:
        """Examples to train F on, and those for its score and thresholds: kept aside from training, or all of them.

        Args:
            generator: Name of the generator whose syntheses are shown.
            keep_aside: Whether one block of images in six is kept aside, as a fitted score needs it.
            early: Whether predictions of half-trained M are among those to train F on, if there are any.
        """
        indices = list(range(len(self.dataset)))
        views = [view.name for view in self.ways if early or view.share == 1]
        examples = ImperfectExamples(self.dataset, self.predictions, views, indices, generator)
        if not keep_aside:
            return examples, replace(examples, views=self.views[-1:])
        block = assign_folds(self.dataset.groups, min(6, len(indices)), "dealt", runs=2)
        aside = [index for index in indices if block[index] == max(block)]
        trained = [index for index in indices if block[index] != max(block)]
        return replace(examples, indices=trained), replace(examples, views=self.views[-1:], indices=aside)


def gather(context: Context, predictor: Predictor, generators: Generators, refit: Refit) -> Gathered:
    """Gather predictions of images that M has not seen, and what each generator makes of them.

    Args:
        context: The run; what is on disk already is not made again.
        predictor: M.
        generators: G, by name.
        refit: Fits them without some of the images, where G is cross-fitted.
    """
    original = context.original
    by_all = _all_by(generators, original)
    match context.config.source:
        case KFold(command="") as source:
            return _by_folds(context, _fold_of(context, source), generators)
        case KFold(command=command) as source:
            folder = train_folds(command, original, _fold_of(context, source), context.out / FOLDS)
            return _from(_saved(context, folder), context, original, predictor, by_all)
        case HeldOut(dataset):
            return _from(predictor, context, dataset, predictor, _all_by(generators, dataset))
        case Unseen(crossfit=crossfit):
            drawn = _crossfitted(context, refit) if crossfit else by_all
            return _from(predictor, context, original, predictor, drawn)
        case Folds(folder):
            return _from(_saved(context, folder), context, original, predictor, by_all)
        case Corrupt():
            return _from(CorruptedLabels(context.dataset, context.seed), context, original, predictor, by_all)


def _fold_of(context: Context, source: KFold) -> list[int]:
    """The fold of every training image."""
    settings = context.settings
    return assign_folds(context.dataset.groups, source.folds or settings.scale.folds, settings.variant.fold_rule)


def _saved(context: Context, folder: Path) -> SavedPredictions:
    return SavedPredictions(folder, context.settings.classes, context.settings.spatial_dims)


def _from(source: Predictor, context: Context, dataset: Dataset, predictor: Predictor, drawn: Drawn) -> Gathered:
    """The predictions of one source, and syntheses from them; M, if it is a live model, compares."""
    if isinstance(source, SavedPredictions):
        source.require(dataset.ids)  # whose each file is shows only when all images are known, also in a resumed fit
    segmenter = predictor if isinstance(predictor, Segmenter) else None
    own = dataset is context.original
    small = context.dataset if own else at_working_size(dataset, context.settings, context.progress)
    predictions = ImperfectPredictions(context.out / IMPERFECT)
    for held_out, generators in drawn:
        indices = [index for index in held_out if not predictions.path(LAST.name, index).exists()]
        synthesizer = Synthesizer(segmenter, generators() if indices else {}, context.runtime)
        for number, index in enumerate(indices):
            image = context.runtime.send(dataset[index].image[None])
            with torch.no_grad(), context.runtime.autocast():
                predicted = source.predict(dataset.ids[index], image)
                prediction = in_numbers(_seen_by(segmenter, image, predicted))
            predictions.write(LAST.name, index, synthesizer(small[index].image, prediction))
            context.progress("predictions", number + 1, len(indices), {})
    return Gathered(small, predictions, have_uncertainty=not _lacks_uncertainty(source, segmenter))


def _all_by(generators: Generators, dataset: Dataset) -> Drawn:
    """Every image is drawn by the same generators."""
    return [(range(len(dataset)), lambda: generators)]


def _crossfitted(context: Context, refit: Refit) -> Drawn:
    """Every image is drawn by generators that have not seen its group."""
    fold_of = crossfit_folds(context.dataset.groups, context.settings.scale.folds)
    folds = [(fold, [index for index, other in enumerate(fold_of) if other == fold]) for fold in sorted(set(fold_of))]
    return [(held_out, partial(refit, f"fold{fold}", held_out)) for fold, held_out in folds]


def _lacks_uncertainty(source: Predictor, segmenter: Segmenter | None) -> bool:
    """Whether F would learn from label maps, all equally sure, but see what a live M says later."""
    saved = isinstance(source, SavedPredictions) and source.are_label_maps and segmenter is not None
    return saved or isinstance(source, CorruptedLabels)


def _seen_by(segmenter: Segmenter | None, image: Tensor, prediction: Prediction) -> Prediction:
    """A prediction of whatever source, with what a live M sees in the image, as it will when the monitor is used."""
    if segmenter is None or prediction.layers:
        return prediction
    seen = segmenter.predict("", image)
    return replace(prediction, layers=seen.layers, seen=seen.seen_size)


def _by_folds(context: Context, fold_of: Sequence[int], generators: Generators) -> Gathered:
    """Predictions of every image by a built-in M of another fold, once for each fold seed."""
    predictions = ImperfectPredictions(context.out / IMPERFECT)
    repeats = ["", *(f"-seed{number}" for number in range(1, context.settings.variant.fold_seeds))]
    ways = {repeat: _ways(context, repeat) for repeat in repeats}
    for repeat, fold in itertools.product(repeats, sorted(set(fold_of))):
        held_out = [index for index, other in enumerate(fold_of) if other == fold]
        for view in ways[repeat]:
            if not all(predictions.path(view.name, index).exists() for index in held_out):
                segmenter = fold_segmenter(context, f"fold{fold}{repeat}", held_out, view.share)
                _predict(context, view, held_out, Synthesizer(segmenter, generators, context.runtime), predictions)
    return Gathered(context.dataset, predictions, tuple(itertools.chain(*ways.values())))


def _ways(context: Context, repeat: str) -> list[View]:
    """How the M of a fold predicts it: on the way, then on images the worse for wear, and at the end."""
    early = [View(f"early{share:g}{repeat}", share) for share in context.settings.variant.early_views]
    degraded = range(context.settings.scale.degraded_views)
    worn = [View(f"degraded{number}{repeat}", degraded=True) for number in degraded]
    return [*early, *worn, View(LAST.name + repeat)]


def fold_segmenter(context: Context, name: str, held_out: Sequence[int], share: float = 1.0) -> Segmenter:
    """Train M without one fold, up to a share of its steps; what it has learnt before, it does not learn again."""
    scale, seed, stage = context.settings.scale, seed_of(context.seed, name), context.stage(name)
    seen = Subset(context.dataset, sorted(set(range(len(context.dataset))) - set(held_out)))
    config = replace(scale.segmentation, steps=max(1, round(scale.segmentation.steps * scale.fold_steps)))

    def build() -> Segmenter:
        torch.manual_seed(seed)
        return context.runtime.place(context.new_segmenter())

    def training_of(segmenter: Segmenter) -> SegmentationTraining:
        return SegmentationTraining(segmenter, seen, config, context.runtime, seed)

    if share == 1:
        return fit_once(weights_path(context.out, name), build, training_of, config.steps, stage)
    segmenter = build()
    train(training_of(segmenter), max(1, round(config.steps * share)), stage)
    return segmenter.eval()


def _predict(
    context: Context, view: View, held_out: Sequence[int], synthesizer: Synthesizer, predictions: ImperfectPredictions
) -> None:
    """Let the M of a fold predict the images that it has not seen."""
    segmenter = synthesizer.segmenter
    assert segmenter is not None
    for number, index in enumerate(held_out):
        if not predictions.path(view.name, index).exists():
            image = context.dataset[index].image
            image = degraded_view(context, view.name, index, image) if view.degraded else image
            with torch.no_grad(), context.runtime.autocast():
                prediction = in_numbers(segmenter.predict("", context.runtime.send(image[None])))
            predictions.write(view.name, index, synthesizer(image, prediction, keep_image=view.degraded))
        context.progress(f"{view.name} predictions", number + 1, len(held_out), {})


def degraded_view(context: Context, view: str, index: int, image: Tensor) -> Tensor:
    """Degrade an image (C, *S) by a severity between none and all, drawn from the name of the view."""
    generator = generator_of(context.seed, view, index)
    return degrade(image, float(torch.rand((), generator=generator)), generator)
