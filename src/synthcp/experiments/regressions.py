"""What a rival's score of each class means: learnt from the imperfect predictions of some training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from synthcp.data.subset import Subset
from synthcp.experiments.kept import fitted_once
from synthcp.fitting.context import Context
from synthcp.fitting.gathering import Gathered, fold_segmenter
from synthcp.metrics.overlap import image_quality
from synthcp.records import Prediction
from synthcp.rivals.quality_regression import QualityRegression, QualityScore, RegressedQuality
from synthcp.rivals.shape_vae import ShapeVae, ShapeVaeConfig
from synthcp.rivals.shape_vae_training import ShapeVaeTraining, ShapeVaeTrainingConfig
from synthcp.segmentation.base import Segmenter
from synthcp.training.crossfit import assign_folds

VAE = "shape-vae"
VAE_STEPS = 4
"""Of the shape VAE, for each step of M."""
ASIDE = 4
"""One training image in so many is kept from the shape VAE, and its line is fitted to these: it would rebuild masks
whose truth it knows too well, and the line through their scores would lie too low for all others."""

Fit = Callable[[Tensor, Tensor], QualityRegression]
"""From scores and true quality, shape (N, L) each."""


@dataclass(frozen=True)
class Example:
    """An imperfect prediction, and who made it.

    Attributes:
        segmenter: The M of the fold that has not seen the image.
        image: x, shape (1, C, *S), as that M saw it.
        prediction: Of that M.
        quality: True quality of every class, shape (L,); NaN where it is undefined.
    """

    segmenter: Segmenter
    image: Tensor
    prediction: Prediction
    quality: Tensor


@dataclass(frozen=True)
class Regressions:
    """The examples of one run, and the rivals fitted to them.

    Attributes:
        context: The run.
        segmenter: M, which the rivals will judge.
        gathered: The imperfect predictions.
        views: Of these, the ones to learn from.
        indices: Of the images to learn from.
    """

    context: Context
    segmenter: Segmenter
    gathered: Gathered
    views: tuple[str, ...]
    indices: Sequence[int]

    @cached_property
    def folds(self) -> list[tuple[Segmenter, list[int]]]:
        """The M of each fold, and the images that it has not seen."""
        context, variant = self.context, self.context.settings.variant
        folds = context.settings.scale.folds
        fold_of = assign_folds(context.dataset.groups, folds, variant.fold_rule)
        unseen = [[index for index, other in enumerate(fold_of) if other == fold] for fold in range(folds)]
        return [
            (fold_segmenter(context, f"fold{fold}", held_out).requires_grad_(False), held_out)
            for fold, held_out in enumerate(unseen)
        ]

    @cached_property
    def quality(self) -> Tensor:
        """True quality of the examples, shape (N, L)."""
        return torch.stack([example.quality for example in self._examples()])

    def regressed(self, score_of: Callable[[Segmenter], QualityScore], fit: Fit) -> RegressedQuality:
        """Return a rival that scores each class.

        Args:
            score_of: The score, of the M that it is about.
            fit: Of the regression.
        """
        scores, count = list[Tensor](), len(self.views) * len(self.indices)
        for example in self._examples():
            with self.context.runtime.autocast():
                scores.append(score_of(example.segmenter)(example.image, example.prediction).scores[0].float().cpu())
            self.context.progress("regression", len(scores), count, {})
        return RegressedQuality(score_of(self.segmenter), fit(torch.stack(scores).double(), self.quality))

    def _examples(self) -> Iterator[Example]:
        """One after the other, for all of them would not fit into the memory."""
        chosen = set(self.indices)
        for view in self.views:
            for segmenter, held_out in self.folds:
                yield from (self._example(segmenter, view, index) for index in held_out if index in chosen)

    def _example(self, segmenter: Segmenter, view: str, index: int) -> Example:
        sample, kept = self.context.dataset[index], self.gathered.predictions.read(view, index)
        assert sample.label_map is not None  # check_labels ran before
        send, settings = self.context.runtime.send, self.context.settings
        prediction = Prediction(send(kept.logits[None]))
        predicted = prediction.label_map[0].cpu()
        classes = settings.classes
        quality = image_quality(settings.measure, sample.label_map, predicted, len(classes), classes.ignore_index)
        return Example(segmenter, send((sample.image if kept.image is None else kept.image)[None]), prediction, quality)


def fitted_shape_vae(context: Context, config: ShapeVaeConfig, aside: Sequence[int]) -> ShapeVae:
    """Return the VAE of the alarm, fitted on the true label maps of the training images.

    Call it outside of autocast, inside of which the weights of every step would be the first ones.

    Args:
        context: The run.
        config: Of the VAE.
        aside: Indices of the images that are kept from it.
    """
    steps = ShapeVaeTrainingConfig(VAE_STEPS * context.settings.scale.segmentation.steps)
    seen = Subset(context.dataset, sorted(set(range(len(context.dataset))) - set(aside)))
    return fitted_once(
        context,
        VAE,
        lambda: ShapeVae(context.settings.spatial_dims, config),
        lambda network: ShapeVaeTraining(network, seen, steps, context.runtime, context.seed),
        steps.steps,
    )
