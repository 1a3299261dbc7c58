"""Imperfect predictions, and drawings of them, gathered for F to learn from (eq. 6-7 need mistakes of M)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.degradation import degrade
from synthcp.data.prepared import Prepared
from synthcp.data.subset import Subset
from synthcp.fitting.context import Context, at_working_size
from synthcp.fitting.imperfect import Corrupt, Folds, HeldOut, KFold, train_folds
from synthcp.records import Prediction
from synthcp.segmentation.base import Predictor, Segmenter
from synthcp.segmentation.saved import SavedPredictions
from synthcp.synthesis.base import Generator
from synthcp.system.runtime import generator_of, seed_of
from synthcp.training.comparator import ImperfectExamples
from synthcp.training.corruption import CorruptedLabels
from synthcp.training.crossfit import ImperfectPredictions, assign_folds
from synthcp.training.loop import train
from synthcp.training.segmentation import SegmentationTraining

Generators = dict[str, Generator]
FOLDER = "imperfect"
EARLY = "early"


@dataclass(frozen=True)
class Gathered:
    """What F learns from.

    Attributes:
        dataset: The images that were predicted, at the working size, with ground truth.
        predictions: Of these images.
        views: How each image was predicted, the best way last.
        have_doubt: Whether the predictions tell of M's doubt as it will be when the monitor is used; label maps do not.
    """

    dataset: Prepared
    predictions: ImperfectPredictions
    views: tuple[str, ...] = ("last",)
    have_doubt: bool = True

    def examples(
        self, drawing: str, keep_aside: bool, early: bool = True
    ) -> tuple[ImperfectExamples, ImperfectExamples]:
        """Examples to train F on, and those for its score and thresholds: kept aside from training, or all of them.

        Args:
            drawing: Name of the generator whose drawings are shown.
            keep_aside: Whether one block of images in six is kept aside, as a fitted score needs it.
            early: Whether predictions of half-trained M are among those to train F on, if there are any.
        """
        indices = list(range(len(self.dataset)))
        views = [view for view in self.views if early or not view.startswith(EARLY)]
        examples = ImperfectExamples(self.dataset, self.predictions, views, indices, drawing)
        if not keep_aside:
            return examples, replace(examples, views=self.views[-1:])
        block = assign_folds(self.dataset.groups, min(6, len(indices)), "dealt", runs=2)
        aside = [index for index in indices if block[index] == max(block)]
        trained = [index for index in indices if block[index] != max(block)]
        return replace(examples, indices=trained), replace(examples, views=self.views[-1:], indices=aside)


def gather(context: Context, predictor: Predictor, generators: Generators) -> Gathered:
    """Gather predictions of images that M has not seen, and what each generator draws from them.

    Args:
        context: The run; what is on disk already is not made again.
        predictor: M.
        generators: G, by name.
    """
    scale = context.settings.scale
    match context.options.imperfect or KFold():
        case KFold(folds, command=""):
            return _by_folds(context, folds or scale.folds, generators)
        case KFold(folds, command):
            folder = _trained_folds(context, folds or scale.folds, command)
            return _from(_saved(context, folder), context, context.original, predictor, generators)
        case HeldOut(dataset):
            return _from(predictor, context, dataset, predictor, generators)
        case Folds(folder):
            return _from(_saved(context, folder), context, context.original, predictor, generators)
        case Corrupt():
            source = CorruptedLabels(context.dataset, context.seed)
            return _from(source, context, context.original, predictor, generators)


def _trained_folds(context: Context, folds: int, command: str) -> Path:
    """The predictions of models that the user's own command trains."""
    rule, folder = context.settings.variant.fold_rule, context.out / "folds"
    return train_folds(command, context.original, context.dataset.groups, folds, rule, folder)


def _saved(context: Context, folder: Path) -> SavedPredictions:
    saved = SavedPredictions(folder, context.settings.classes, context.settings.spatial_dims)
    saved.require(context.original.ids)
    return saved


def _from(
    source: Predictor, context: Context, dataset: Dataset, predictor: Predictor, generators: Generators
) -> Gathered:
    """The predictions of one source, drawn; M, if it is a live model, looks at the drawings."""
    segmenter = predictor if isinstance(predictor, Segmenter) else None
    own = dataset is context.original
    small = context.dataset if own else at_working_size(dataset, context.settings, context.progress)
    gathered = Gathered(
        small, ImperfectPredictions(context.out / FOLDER), have_doubt=not _lacks_doubt(source, segmenter)
    )
    for index, sample_id in enumerate(dataset.ids):
        if not gathered.predictions.path("last", index).exists():
            image = context.runtime.send(dataset[index].image[None])
            with torch.no_grad(), context.runtime.autocast():
                prediction = _seen_by(segmenter, image, source.predict(sample_id, image))
            shown = small[index].image
            gathered.predictions.write("last", index, shown, prediction, segmenter, generators, context.runtime)
        context.progress("predictions", index + 1, len(dataset), {})
    return gathered


def _lacks_doubt(source: Predictor, segmenter: Segmenter | None) -> bool:
    """Whether F would learn from label maps, all equally sure, but see what a live M says later."""
    saved = isinstance(source, SavedPredictions) and source.are_label_maps and segmenter is not None
    return saved or isinstance(source, CorruptedLabels)


def _seen_by(segmenter: Segmenter | None, image: Tensor, prediction: Prediction) -> Prediction:
    """A prediction of whatever source, with what a live M sees in the image, as it will when the monitor is used."""
    if segmenter is None or prediction.layers:
        return prediction
    seen = segmenter.predict("", image)
    return replace(prediction, layers=seen.layers, seen=seen.seen_size)


def _by_folds(context: Context, folds: int, generators: Generators) -> Gathered:
    """Predictions of every image by a built-in M of another fold, once for each fold seed."""
    variant = context.settings.variant
    fold_of = assign_folds(context.dataset.groups, folds, variant.fold_rule)
    repeats = ["", *(f"-seed{number}" for number in range(1, variant.fold_seeds))]
    early = [f"{EARLY}{share:g}" for share in variant.early_views]
    degraded = [f"degraded{number}" for number in range(context.settings.scale.degraded_views)]
    views = {repeat: [view + repeat for view in (*early, *degraded, "last")] for repeat in repeats}
    predictions = ImperfectPredictions(context.out / FOLDER)
    for repeat, fold in itertools.product(repeats, range(folds)):
        held_out = [index for index, other in enumerate(fold_of) if other == fold]
        if not all(predictions.path(view, index).exists() for view in views[repeat] for index in held_out):
            _fold(context, f"fold{fold}{repeat}", repeat, held_out, predictions, generators)
    return Gathered(context.dataset, predictions, tuple(itertools.chain(*views.values())))


def _fold(
    context: Context,
    name: str,
    repeat: str,
    held_out: Sequence[int],
    predictions: ImperfectPredictions,
    generators: Generators,
) -> None:
    """Train M without one fold, and let it predict that fold on the way and, the worse for wear too, at the end."""
    for share in context.settings.variant.early_views:
        segmenter = fold_segmenter(context, name, held_out, share)
        _predict(context, f"{EARLY}{share:g}{repeat}", held_out, segmenter, predictions, generators)
    segmenter = fold_segmenter(context, name, held_out)
    for number in range(context.settings.scale.degraded_views):
        _predict(context, f"degraded{number}{repeat}", held_out, segmenter, predictions, generators, degraded=True)
    _predict(context, f"last{repeat}", held_out, segmenter, predictions, generators)


def fold_segmenter(context: Context, name: str, held_out: Sequence[int], share: float = 1.0) -> Segmenter:
    """Train M without one fold, up to a share of its steps; what it has learnt before, it does not learn again."""
    torch.manual_seed(seed_of(context.seed, name))
    segmenter = context.new_segmenter()
    seen = Subset(context.dataset, sorted(set(range(len(context.dataset))) - set(held_out)))
    scale = context.settings.scale
    config = replace(scale.segmentation, steps=max(1, round(scale.segmentation.steps * scale.fold_steps)))
    training = SegmentationTraining(segmenter, seen, config, context.runtime, seed_of(context.seed, name))
    train(training, max(1, round(config.steps * share)), context.out, name, context.seed, context.progress)
    return segmenter.eval()


def _predict(
    context: Context,
    view: str,
    held_out: Sequence[int],
    segmenter: Segmenter,
    predictions: ImperfectPredictions,
    generators: Generators,
    degraded: bool = False,
) -> None:
    """Let the M of a fold predict the images that it has not seen, as they are or each degraded in its own way."""
    for number, index in enumerate(held_out):
        if not predictions.path(view, index).exists():
            image = context.dataset[index].image
            image = degraded_view(context, view, index, image) if degraded else image
            with torch.no_grad(), context.runtime.autocast():
                prediction = segmenter.predict("", context.runtime.send(image[None]))
            predictions.write(
                view, index, image, prediction, segmenter, generators, context.runtime, keep_image=degraded
            )
        context.progress(f"{view} predictions", number + 1, len(held_out), {})


def degraded_view(context: Context, view: str, index: int, image: Tensor) -> Tensor:
    """Degrade an image (C, *S) by a severity between none and all, drawn from the name of the view."""
    generator = generator_of(context.seed, view, index)
    return degrade(image, float(torch.rand((), generator=generator)), generator)
