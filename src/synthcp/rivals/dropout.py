"""Monte Carlo dropout (Gal and Ghahramani, ICML 2016): M's mean answer when parts of it are dropped at random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.special import entr

from synthcp.comparison.base import Detector
from synthcp.comparison.feature_distance import seen_by
from synthcp.comparison.logit_scores import entropy
from synthcp.errors import InputError, UnsuitedError
from synthcp.fitting.fit_data import FitData
from synthcp.records import Detection, Prediction
from synthcp.rivals.quality_regression import ClassScores, fit_linear, regressed
from synthcp.segmentation.base import Segmenter, at_size

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True)
class MonteCarloDropout:
    """Scores the entropy of the mean softmax over several passes, over its maximum log L; in [0, 1].

    Every image is looked at by itself, and every pass draws from its own number, so that a score depends neither on the
    other images of a batch nor on those before.

    Attributes:
        segmenter: M, a live network with dropout layers.
        passes: N.
        seed: Of the first pass.

    Raises:
        UnsuitedError: M has no dropout layer that drops anything.
        InputError: There is no pass.
    """

    segmenter: Segmenter
    passes: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise InputError(f"passes = {self.passes} of Monte Carlo dropout must be at least 1; 10 are usual")
        if not dropouts_of(self.segmenter):
            name = type(self.segmenter).__name__
            raise UnsuitedError(
                f"{name} has no dropout layer, which Monte Carlo dropout needs; choose another detector"
            )

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector); of the prediction only the size at which M saw is used."""
        score = entropy(self.mean_softmax(image, prediction).log())
        return Detection(error_map=score, anomaly_map=score)

    def mean_softmax(self, image: Tensor, prediction: Prediction) -> Tensor:
        """Return the mean over the passes at the size of the image, shape (B, L, *S), above 0."""
        mean, _ = self.moments(image, prediction)
        return mean.clamp(min=torch.finfo(mean.dtype).tiny)

    @torch.no_grad()
    def moments(self, image: Tensor, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Return the mean of the softmax over the passes, and of its square, shape (B, L, *S) each, in [0, 1]."""
        pairs = [self._moments(one, prediction) for one in torch.split(image, 1)]
        mean, mean_square = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return mean, mean_square

    def _moments(self, image: Tensor, prediction: Prediction) -> tuple[Tensor, Tensor]:
        total, squares = image.new_zeros(()), image.new_zeros(())
        with dropping(self.segmenter), torch.random.fork_rng([image.device] if image.is_cuda else []):
            for number in range(self.passes):
                torch.manual_seed(self.seed + number)
                logits = at_size(seen_by(self.segmenter, image, prediction), image.shape[2:]).logits
                probabilities = logits.float().softmax(dim=1)
                total, squares = total + probabilities, squares + probabilities.square()
        return total / self.passes, squares / self.passes


def dropouts_of(network: nn.Module) -> list[nn.Module]:
    """Return the dropout layers that drop anything."""
    return [layer for layer in network.modules() if isinstance(layer, DROPOUTS) and layer.p > 0]


@contextmanager
def dropping(network: nn.Module) -> Iterator[None]:
    """Run a network with its dropout alone as in training, the rest (batch norm) as in use; then all is as before."""
    before = {module: module.training for module in network.modules()}
    try:
        network.eval()
        for layer in dropouts_of(network):
            layer.train()
        yield
    finally:
        for module, mode in before.items():
            module.training = mode


@dataclass(frozen=True)
class ClassEntropy:
    """Scores each class by the mean over the image of its entropy against all others; in [0, 1], larger = less sure.

    Monte Carlo dropout at the level of the image, as the baseline of Liu et al. (ICCV 2019): the quality of a class may
    be told by how unsure the others are, so that every class is scored in every image, whether predicted or not. With p
    the mean softmax over the passes it is -(p log p + (1 - p) log(1 - p)) / log 2. The error map is that of
    MonteCarloDropout, the entropy of p over all classes, from the same passes.

    Attributes:
        dropout: The passes.
    """

    dropout: MonteCarloDropout

    def __call__(self, image: Tensor, prediction: Prediction) -> ClassScores:
        """Measure a prediction (shapes: see QualityScore); no score is NaN."""
        mean = self.dropout.mean_softmax(image, prediction)
        one_against_all = (entr(mean) + entr(1 - mean)) / math.log(2)
        return ClassScores(one_against_all.flatten(2).mean(dim=2), entropy(mean.log()))


def fit_dropout(data: FitData) -> Detector:
    """Return it for a run's M; nothing is fitted."""
    return MonteCarloDropout(data.segmenter)


def fit_dropout_quality(data: FitData) -> Detector:
    """Fit the quality of each class to the entropies of all."""
    return regressed(data, lambda segmenter: ClassEntropy(MonteCarloDropout(segmenter)), fit_linear)
