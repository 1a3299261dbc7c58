"""What a detector may be fitted on: the networks of a run, and its training images as M and its folds see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from synthcp.comparison.failure import SharedEvidence
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.errors import UnsuitedError
from synthcp.fitting.context import Context
from synthcp.fitting.fit_once import fitted_once
from synthcp.fitting.gathering import Gathered, Generators, fold_segmenter, gather
from synthcp.fitting.heads import SYNTHCP, UNTRAINED, Head
from synthcp.fitting.imperfect_sources import KFold
from synthcp.fitting.stages import Stages
from synthcp.metrics.overlap import image_quality
from synthcp.monitor.fitted_comparator import FittedComparator
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.settings import MonitorSettings
from synthcp.records import Prediction
from synthcp.segmentation.base import Predictor, Segmenter, in_numbers
from synthcp.system.run_folder import learnt_path
from synthcp.system.runtime import Runtime
from synthcp.training.imperfect_predictions import assign_folds
from synthcp.training.loop import Training

ASIDE = 4
"""One training image in so many is kept from networks that learn the truth by heart, such as the shape VAE."""
VIEWS = {2: ("last",), 3: ("degraded0", "last")}
"""Of the imperfect predictions of images and volumes, those that tell what a score of theirs means."""
Network = TypeVar("Network", bound=nn.Module)


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


@dataclass(frozen=True, kw_only=True)
class FitData:
    """One M and seed; what is costly is made when it is first asked for, and kept on disk.

    Attributes:
        begin: Returns the stages of the run; what needs no training image never calls it.
        run: Folder of the run, whose F are taken.
        folder: Where everything that is fitted here is kept.
        runtime: Where the networks run.
        live: M, for use; None when its predictions are read from disk.
        generators: G by the name of its synthesis.
        monitor: That was fitted already, whose F is taken.
        lender: The run of another M on the same images, whose G, auxiliary segmenter and VAE serve this one as well.
    """

    begin: Callable[[], Stages]
    run: Path
    folder: Path
    runtime: Runtime
    live: Segmenter | None
    generators: Generators
    monitor: Monitor | None = None
    lender: FitData | None = None

    @cached_property
    def stages(self) -> Stages:
        """The stages of the run, whose results are kept where everything else is."""
        stages = self.begin()
        self.folder.mkdir(parents=True, exist_ok=True)
        return Stages(replace(stages.context, out=self.folder), stages.brought)

    @property
    def context(self) -> Context:
        """What the stages work on."""
        return self.stages.context

    @property
    def settings(self) -> MonitorSettings:
        """Of the run."""
        return self.context.settings if self.monitor is None else self.monitor.settings

    @property
    def segmenter(self) -> Segmenter:
        """M.

        Raises:
            UnsuitedError: Its predictions are read from disk.
        """
        if self.live is None:
            raise UnsuitedError(
                "this detector shows images to M, whose predictions are on disk; choose another, like msp"
            )
        return self.live

    @property
    def predictor(self) -> Predictor:
        """M, live or its predictions on disk."""
        predictor = self.live if self.live is not None else self.stages.brought
        assert predictor is not None  # what is not live was brought
        return predictor

    @cached_property
    def auxiliary(self) -> Segmenter | None:
        """The segmenter from whose trunk F's encoder starts; None where it starts from scratch."""
        return self.stages.auxiliary(self.live) if self.lender is None else self.lender.auxiliary

    @cached_property
    def gathered(self) -> Gathered:
        """The imperfect predictions that every F learns from."""
        return gather(self.context, self.predictor, self.generators, self._refitted)

    def _refitted(self, fold: str, held_out: Sequence[int]) -> Generators:
        return self.stages.refitted(self.generators, self.viewer, fold, held_out)

    @property
    def viewer(self) -> Segmenter | None:
        """By whose layers syntheses are compared with images while a generator is fitted."""
        return self.live if self.stages.brought is None else self.auxiliary or self.live

    def including(self, kind: str) -> FitData:
        """Return it with one more generator, "untrained" or a name of GENERATORS, and what follows from it anew."""
        if kind in self.generators:
            return self
        if kind in (SYNTHCP, UNTRAINED) and not self.settings.variant.draws:
            raise UnsuitedError("this detector compares with a drawing, the monitor has none; fit one with a generator")
        apart = replace(self, folder=self.folder / kind)
        stages = apart.stages
        made = stages.untrained_generator() if kind == UNTRAINED else stages.generator(self.viewer, kind)
        return replace(apart, generators={**self.generators, kind: made})

    def comparator(self, head: Head) -> FittedComparator:
        """Return F, of the run or fitted to its imperfect predictions."""
        path, monitor = head.path(self.run), self.monitor
        if monitor is not None and head.name == SYNTHCP:
            return FittedComparator(monitor.network, monitor.settings.variant, monitor.settings.learnt)
        if monitor is not None and learnt_path(path).exists():
            return FittedComparator.load(path, monitor.settings, monitor.runtime)
        return self.stages.comparator(head, self.gathered, self.live, self.auxiliary)

    def evidence(self, kind: str) -> SharedEvidence:
        """Return the evidence of one generator's syntheses, which all F share that are shown them."""
        return self._evidence.setdefault(kind, SharedEvidence(self.generators[kind], self.feature_distance))

    @cached_property
    def _evidence(self) -> dict[str, SharedEvidence]:
        return {}

    @property
    def feature_distance(self) -> FeatureDistance | None:
        """Eq. 9; None without a live M."""
        return None if self.live is None else FeatureDistance(self.live, self.settings.t)

    def fit_once(
        self, name: str, build: Callable[[], Network], training_of: Callable[[Network], Training], steps: int
    ) -> Network:
        """Return the network of a detector, fitted once; arguments as fit_once.fitted_once."""
        return fitted_once(self.context, name, build, training_of, steps)

    def predictions(self) -> Iterator[tuple[Tensor, Prediction]]:
        """Return every training image, shape (1, C, *S), and what M says of it."""
        for sample in self.context.dataset:
            image = self.runtime.send(sample.image[None])
            with torch.no_grad(), self.runtime.autocast():
                prediction = in_numbers(self.segmenter.predict(sample.id, image))
            yield image, prediction

    def labelled_features(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return f_M of every training image, shape (1, K, *s), and its true label map (1, *S)."""
        for sample, (_, prediction) in zip(self.context.dataset, self.predictions(), strict=True):
            if prediction.features is None:
                raise UnsuitedError("M shows no features, by which this detector judges; choose another, like msp")
            assert sample.label_map is not None  # check_labels ran before
            yield prediction.features, sample.label_map[None]

    @cached_property
    def aside(self) -> list[int]:
        """The images that are kept from the shape VAE: in videos whole blocks, whose neighbours are alike."""
        count = len(self.context.dataset)
        if self.context.settings.spatial_dims == 3:
            return list(range(0, count, ASIDE))  # one volume tells nothing of the next
        fold_of = assign_folds(self.context.dataset.groups, min(ASIDE, count), "dealt", runs=2)
        return [index for index in range(count) if fold_of[index] == 0]

    @property
    def unseen(self) -> Sequence[int]:
        """The images of the imperfect predictions that are none of the others than those kept aside."""
        others = self.gathered.dataset is not self.context.dataset
        return range(len(self.gathered.dataset)) if others else self.aside

    @property
    def usual(self) -> Sequence[int]:
        """The images whose imperfect predictions tell what a score means: all, of volumes the unseen ones."""
        return range(len(self.gathered.dataset)) if self.context.settings.spatial_dims == 2 else self.unseen

    @cached_property
    def folds(self) -> list[tuple[Segmenter, list[int]]]:
        """The M of each fold, and the images that it has not seen; M itself where others' predictions are learnt from.

        M then saw none of the images of the imperfect predictions.
        """
        context, source = self.context, self.context.config.source
        if not isinstance(source, KFold) or self.stages.brought is not None:
            return [(self.segmenter, list(range(len(self.gathered.dataset))))]
        folds = source.folds or context.settings.scale.folds
        fold_of = assign_folds(context.dataset.groups, folds, context.settings.variant.fold_rule)
        unseen = [[index for index, other in enumerate(fold_of) if other == fold] for fold in range(folds)]
        return [
            (fold_segmenter(context, f"fold{fold}", held_out).requires_grad_(False), held_out)
            for fold, held_out in enumerate(unseen)
        ]

    def examples(self, indices: Sequence[int]) -> Iterator[Example]:
        """Return the imperfect predictions of some images, one after the other: all would not fit into the memory."""
        chosen = set(indices)
        for view in self.views:
            for segmenter, held_out in self.folds:
                yield from (self._example(segmenter, view, index) for index in held_out if index in chosen)

    @property
    def views(self) -> list[str]:
        """Of the imperfect predictions, those that tell what a score means."""
        return [view for view in VIEWS[self.context.settings.spatial_dims] if view in self.gathered.views]

    def _example(self, segmenter: Segmenter, view: str, index: int) -> Example:
        sample, kept = self.gathered.dataset[index], self.gathered.predictions.read(view, index)
        assert sample.label_map is not None  # check_labels ran before
        send, settings = self.runtime.send, self.context.settings
        prediction = Prediction(send(kept.logits[None]))
        predicted = prediction.label_map[0].cpu()
        classes = settings.classes
        quality = image_quality(settings.measure, sample.label_map, predicted, len(classes), classes.ignore_index)
        image = sample.image if kept.image is None else kept.image
        return Example(segmenter, send(image[None]), prediction, quality)
