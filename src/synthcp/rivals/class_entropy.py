"""Monte Carlo dropout at the level of the image (as the baseline of Liu et al., ICCV 2019): how unsure is each class?

The detector is RegressedQuality(ClassEntropy(dropout), fit_linear(scores, quality)). The quality of a class may be told
by how unsure the others are, so that every class is scored in every image, whether it was predicted or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.special import entr

from synthcp.comparison.logit_scores import entropy
from synthcp.records import Prediction
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.rivals.quality_regression import ClassScores


@dataclass(frozen=True)
class ClassEntropy:
    """Scores each class by the mean over the image of its entropy against all others; in [0, 1], larger = less sure.

    With p the mean softmax over the passes it is -(p log p + (1 - p) log(1 - p)) / log 2. The error map is that of
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
