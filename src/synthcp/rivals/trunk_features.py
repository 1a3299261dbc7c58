"""Controls of the synthesis of features: what the same features of F's trunk tell of the unknown by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.comparison.catalogue import FEATURE_HEAD
from synthcp.comparison.evidence import Evidence
from synthcp.comparison.feature_head import FeatureHead
from synthcp.comparison.feature_synthesis import SMOOTHING
from synthcp.comparison.smoothing import gaussian_smooth
from synthcp.errors import UnsuitedError
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.heads import SHIPPED
from synthcp.nn.padding import middle
from synthcp.nn.spatial import resize
from synthcp.records import Detection, Prediction
from synthcp.rivals.nearest_neighbors import fit_nearest_neighbors
from synthcp.rivals.synthcp import fitted_head


@dataclass(frozen=True)
class TrunkFeatures:
    """Scores every pixel by what the trunk of F sees there.

    Attributes:
        network: F, which is never asked whether M is right.
        score: From whitened features (B, K, *s) to a score (B, *s), larger = more likely unknown.
    """

    network: FeatureHead
    score: Callable[[Tensor], Tensor]

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        whitened, size = whitened_features(self.network, image, prediction.logits)
        score = gaussian_smooth(self.score(whitened), SMOOTHING)
        return Detection(anomaly_map=middle(resize(score[:, None], size)[:, 0], image.shape[2:]))


@dataclass(frozen=True)
class Surprise:
    """The cue itself: how little the features are those that M's label map lets one expect.

    Attributes:
        network: F.
    """

    network: FeatureHead

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        return Detection(anomaly_map=self.network.judged(_evidence(self.network, image, prediction.logits)).surprise)


def unlikeliness(whitened: Tensor) -> Tensor:
    """Return minus the log-likelihood of features under the Gaussian of all training features, whatever M says.

    Args:
        whitened: Shape (B, K, *s), of mean zero and variance one in training.

    Returns:
        Per feature and but for a constant, shape (B, *s).
    """
    return whitened.square().mean(dim=1) / 2


def whitened_features(network: FeatureHead, image: Tensor, logits: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Return the whitened features of images (B, C, *S), shape (B, K, *s), and the size that the trunk was shown."""
    whole = _evidence(network, image, logits).at_least(network.config.patch)
    return network.whitened(network.features(whole.image)), tuple(whole.image.shape[2:])


def _evidence(network: FeatureHead, image: Tensor, logits: Tensor) -> Evidence:
    """An image without a synthesis; the features of the image alone are looked at."""
    channels = network.config.feature_distances
    return Evidence(image, None, logits, image.new_zeros(len(image), channels, *image.shape[2:]))


def _network(data: FitData) -> FeatureHead:
    if data.settings.variant.comparator != FEATURE_HEAD:
        raise UnsuitedError("F stands on no published trunk, by whose features this detector judges")
    network = fitted_head(data, SHIPPED).network
    assert isinstance(network, FeatureHead)  # as the variant says
    return network


def fit_surprise(data: FitData) -> Detector:
    """Take the synthesis of features that was fitted with F."""
    return Surprise(_network(data))


def fit_trunk_density(data: FitData) -> Detector:
    """Take the whitening that was fitted with F; the density needs no more."""
    return TrunkFeatures(_network(data), unlikeliness)


def fit_trunk_knn(data: FitData) -> Detector:
    """Draw the bank from the whitened features of the training images."""
    network = _network(data)
    neighbors = fit_nearest_neighbors(_labelled(data, network), len(data.settings.classes))
    return TrunkFeatures(network, data.runtime.place(neighbors))


@torch.no_grad()
def _labelled(data: FitData, network: FeatureHead) -> Iterator[tuple[Tensor, Tensor]]:
    """The features of every training image, and its label map (1, *S)."""
    for sample in data.context.dataset:
        image, label_map = data.runtime.send(sample.image[None]), sample.label_map
        assert label_map is not None  # check_labels ran before
        nothing = image.new_zeros(1, len(data.settings.classes), *image.shape[2:])
        with data.runtime.autocast():
            yield whitened_features(network, image, nothing)[0], label_map[None]
