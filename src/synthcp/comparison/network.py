"""The seam of the networks F: evidence goes in, the error of every pixel and the quality of every class come out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor, nn

from synthcp.comparison.evidence import Evidence
from synthcp.nn.resnet import Depth
from synthcp.records import Measure

LabelInput = Literal["one_hot", "squeezed", "softmax"]


@dataclass(frozen=True)
class ComparisonConfig:
    """What a network F is built for, each takes what it needs; the defaults are the paper's.

    Attributes:
        classes: L.
        in_channels: Channels of the image.
        depth: Of the encoders.
        width: Channels of the encoders' first stage.
        hidden: Channels into which each stage of both encoders is fused.
        shared: One encoder for image and synthesis, or two.
        label_input: What stands beside the image: y_hat in one-hot form, or M's softmax, whole or squeezed to one
            channel by a learned projection.
        uses_uncertainty: Whether M's own uncertainty, eq. 9 and the difference of the features reach the heads. The
            error head then starts as MSP, the quality head as the quality to be expected under the predicted errors.
        feature_distances: In how many ways M compares image and synthesis; see FeatureDistance.feature_distances.
        measure: What the quality head predicts of every class.
        patch: Size of the windows that it learnt from: what is smaller is shown to it with its border repeated, as in
            training. Empty for images.
        branches: How many feature maps reach the heads: of image and synthesis, or of the image alone, as in the
            authors' direct prediction, whose heads then have half the size or less.
        trunk: Of the encoders, by its name, as wide as published; empty takes a ResNet of that depth and width.
    """

    classes: int
    in_channels: int = 3
    depth: Depth = 18
    width: int = 64
    hidden: int = 64
    shared: bool = True
    label_input: LabelInput = "one_hot"
    uses_uncertainty: bool = False
    feature_distances: int = 5
    measure: Measure = "IoU"
    patch: tuple[int, ...] = ()
    branches: Literal[1, 2] = 2
    trunk: str = ""


class ComparisonOutput(NamedTuple):
    """What a network F says.

    Attributes:
        error_log_odds: Of every pixel, shape (B, *S); their sigmoid is c_m.
        class_quality: c_iu, shape (B, L).
        surprise: How little the features of the image are those of its label map, shape (B, *S), any real number;
            None of a network that does not expect any.
    """

    error_log_odds: Tensor
    class_quality: Tensor
    surprise: Tensor | None = None


class ComparisonNetwork(nn.Module):
    """F(x, x_hat, y_hat; theta) of eq. 5.

    Args:
        config: What it is built for.
    """

    def __init__(self, config: ComparisonConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Judge.

        Returns:
            Log-odds of error of every pixel, (B, *S), whose sigmoid is c_m; and c_iu, (B, L).
        """

    def judged(self, evidence: Evidence) -> ComparisonOutput:
        """Judge, and say all there is to say."""
        return ComparisonOutput(*self(evidence))

    @abstractmethod
    def embed(self, image: Tensor, logits: Tensor) -> Tensor:
        """Return what tells images apart: deep features of an image and its prediction, averaged over space.

        Args:
            image: x, shape (B, C, *S), in [0, 1].
            logits: Of M for the image, shape (B, L, *S).

        Returns:
            Shape (B, K).
        """

    @abstractmethod
    def load_encoder(self, weights: Mapping[str, Tensor]) -> None:
        """Start from a trunk (ImageNet's, or M's own); errors as Trunk.load_weights."""
