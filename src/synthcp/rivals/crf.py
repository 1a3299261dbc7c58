"""MSP after a dense CRF (Krähenbühl and Koltun, NIPS 2011), the MSP + CRF row of the paper's StreetHazards table."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.errors import MissingExtraError
from synthcp.fitting.fit_data import FitData
from synthcp.records import Detection, Prediction


@dataclass(frozen=True)
class CrfConfig:
    """Both potentials and the mean field; the paper states none of them, these are the usual ones of pydensecrf.

    The code of the StreetHazards benchmark has the smoothness term alone, with 100 iterations.

    Attributes:
        smoothness: Weight of the Gaussian potential, which sees positions alone.
        smoothness_sigma: Its standard deviation in pixels.
        appearance: Weight of the bilateral potential, which sees positions and colours; 0 leaves it out.
        appearance_sigma: Its standard deviation in pixels.
        color_sigma: Its standard deviation in channel values, of 255.
        iterations: Of the mean field.
    """

    smoothness: float = 3.0
    smoothness_sigma: float = 3.0
    appearance: float = 10.0
    appearance_sigma: float = 80.0
    color_sigma: float = 13.0
    iterations: int = 5


@dataclass(frozen=True)
class CrfRefinedMsp:
    """Scores 1 - the largest marginal of a dense CRF over M's softmax and the image; in [0, 1 - 1 / L], no error map.

    Attributes:
        config: Of the CRF.

    Raises:
        MissingExtraError: pydensecrf2 is not installed.
    """

    config: CrfConfig = field(default_factory=CrfConfig)

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector), one image after the other, on the CPU."""
        pairs = zip(image, prediction.probabilities, strict=True)
        refined = torch.stack([refine_by_crf(*pair, self.config) for pair in pairs])
        return Detection(anomaly_map=1 - refined.amax(dim=1))


def require_pydensecrf() -> None:
    """Raise MissingExtraError unless pydensecrf2 is installed."""
    try:
        import pydensecrf.densecrf  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("pydensecrf2", "crf") from error


def refine_by_crf(image: Tensor, probabilities: Tensor, config: CrfConfig) -> Tensor:
    """Return the marginals of the CRF's mean field.

    Args:
        image: x, shape (C, *S), in [0, 1].
        probabilities: Of M for x, shape (L, *S).
        config: Of the CRF.

    Returns:
        Shape (L, *S); they sum to 1 over the classes.

    Raises:
        MissingExtraError: pydensecrf2 is not installed.
    """
    require_pydensecrf()
    from pydensecrf import densecrf, utils

    classes, *size = probabilities.shape
    field_of_pixels = densecrf.DenseCRF(probabilities[0].numel(), classes)
    field_of_pixels.setUnaryEnergy(utils.unary_from_softmax(_array(probabilities)))
    smooth = utils.create_pairwise_gaussian([config.smoothness_sigma] * len(size), size)
    field_of_pixels.addPairwiseEnergy(smooth, compat=config.smoothness)
    if config.appearance > 0:
        sigmas = [config.appearance_sigma] * len(size), [config.color_sigma] * image.shape[0]
        similar = utils.create_pairwise_bilateral(*sigmas, _array(255 * image), chdim=0)
        field_of_pixels.addPairwiseEnergy(similar, compat=config.appearance)
    marginals = np.array(field_of_pixels.inference(config.iterations))
    return torch.from_numpy(marginals).view(probabilities.shape).to(probabilities)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def fit_crf(data: FitData) -> Detector:
    """Return it; nothing is fitted.

    Raises:
        MissingExtraError: pydensecrf2 is not installed.
    """
    require_pydensecrf()
    return CrfRefinedMsp()
