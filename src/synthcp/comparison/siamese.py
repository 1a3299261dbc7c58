"""The failure comparator: a siamese trunk that predicts the IoU of every class and the error of every pixel (eq. 5-8).

Variants: "paper" is SiameseConfig(classes) as it stands; "official" (the authors' release) has two encoders and the
softmax squeezed to one channel; "ours" sees the whole softmax, the difference of both feature maps and M's uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from synthcp.comparison.logit_scores import uncertainty
from synthcp.nn.labels import one_hot
from synthcp.nn.padding import at_least, middle
from synthcp.nn.resnet import Depth, trunk_or_resnet
from synthcp.nn.spatial import SpatialDims, batch_norm, conv, resize
from synthcp.nn.trunk import DEEPEST, Trunk, TrunkShape
from synthcp.records import Measure

LabelInput = Literal["one_hot", "squeezed", "softmax"]
_UNCERTAINTIES = 3  # MSP log-odds, entropy, margin


@dataclass(frozen=True)
class SiameseConfig:
    """A comparison network; the defaults are the paper's.

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


@dataclass(frozen=True)
class Evidence:
    """What F looks at; every part at the size of the image.

    Attributes:
        image: x, shape (B, C, *S), in [0, 1].
        synthesis: x_hat, same shape; None in direct prediction, where the image itself stands in for it.
        logits: Of M for the image, shape (B, L, *S).
        feature_distances: What M finds different between image and synthesis, shape (B, 1 + layers, *S), or no channel
            at all when M cannot look at the synthesis; see FeatureDistance.feature_distances.
        objectness: How far what M sees is from a blank canvas, shape (B, layers, *S), see FeatureDistance.objectness;
            the anomaly score alone asks for it, so it may be missing.
    """

    image: Tensor
    synthesis: Tensor | None
    logits: Tensor
    feature_distances: Tensor
    objectness: Tensor | None = None

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Evidence:
        """Return it with every part changed in the same way."""
        synthesis = None if self.synthesis is None else change(self.synthesis)
        objectness = None if self.objectness is None else change(self.objectness)
        return Evidence(change(self.image), synthesis, change(self.logits), change(self.feature_distances), objectness)

    def at_least(self, size: Sequence[int]) -> Evidence:
        """Return it with its border repeated up to a size."""
        return self.mapped(lambda part: at_least(part, size, None))


class SiameseNetwork(nn.Module):
    """F(x, x_hat, y_hat; theta) of eq. 5."""

    def __init__(self, spatial_dims: SpatialDims, config: SiameseConfig) -> None:
        super().__init__()
        self.config = config
        label_channels = 1 if config.label_input == "squeezed" else config.classes
        shape = TrunkShape(spatial_dims, config.in_channels, beside=label_channels, width=config.width)
        count = 1 if config.shared else config.branches
        encoders = [trunk_or_resnet(config.trunk, config.depth, shape) for _ in range(count)]
        self.encoders = nn.ModuleList(encoders)
        stages = encoders[0].out_channels[-DEEPEST:]
        if config.label_input == "squeezed":
            projection = conv(spatial_dims, config.classes, 1, kernel=1)
            self.squeeze = nn.Sequential(projection, batch_norm(spatial_dims, 1), nn.ReLU())
        additional = _UNCERTAINTIES + config.feature_distances if config.uses_uncertainty else 0
        copies = 1 if config.branches == 1 else 3 if config.uses_uncertainty else 2
        self.fusions = nn.ModuleList(
            _fusion(spatial_dims, copies * channels + additional, config.hidden) for channels in stages
        )
        self.error_heads = nn.ModuleList(conv(spatial_dims, config.hidden, 1, kernel=1) for _ in self.fusions)
        self.quality = nn.Linear(copies * stages[-1], config.classes)
        if config.uses_uncertainty:  # every addition to MSP and to the expected IoU starts at zero
            for parameter in self.error_heads.parameters():
                nn.init.zeros_(parameter)
            self.uncertainty_head = _uncertainty_head(spatial_dims, additional)
            for parameter in self.quality.parameters():
                nn.init.zeros_(parameter)

    def forward(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Judge.

        Returns:
            Log-odds of error of every pixel, (B, *S), whose sigmoid is c_m; and c_iu, (B, L).
        """
        size = evidence.image.shape[2:]
        log_odds, quality = self._judge(evidence.at_least(self.config.patch))
        return middle(log_odds, size), quality

    def _judge(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        labels = self._labels(evidence.logits)
        pairs = self._pairs(evidence, labels)
        pooled = self.quality(pairs[-1].float().flatten(2).mean(dim=2))
        if not self.config.uses_uncertainty:
            return self._error_log_odds(pairs, None, evidence), pooled
        uncertainties = torch.cat([uncertainty(evidence.logits), evidence.feature_distances], dim=1)
        error_log_odds = self._error_log_odds(pairs, uncertainties, evidence)
        expected = expected_quality(evidence.logits, error_log_odds.sigmoid(), self.config.measure)
        return error_log_odds, (torch.logit(expected, eps=1e-3) + pooled).sigmoid()

    def embed(self, image: Tensor, logits: Tensor) -> Tensor:
        """Return what tells images apart: the deepest features of an image and its prediction, averaged over space.

        Args:
            image: x, shape (B, C, *S), in [0, 1].
            logits: Of M for the image, shape (B, L, *S).

        Returns:
            Shape (B, K).
        """
        return self._encode(0, image, self._labels(logits))[-1].float().flatten(2).mean(dim=2)

    def load_encoder(self, weights: Mapping[str, Tensor]) -> None:
        """Start the encoders from a trunk (ImageNet's, or M's own); the label channels start unseen."""
        for encoder in self.encoders:
            assert isinstance(encoder, Trunk)
            encoder.load_weights(weights)

    def _encode(self, encoder: int, image: Tensor, labels: Tensor) -> list[Tensor]:
        stages: list[Tensor] = self.encoders[encoder](image, labels)
        return stages[-DEEPEST:]

    def _labels(self, logits: Tensor) -> Tensor:
        if self.config.label_input == "one_hot":
            return one_hot(logits.argmax(dim=1), self.config.classes)
        probabilities = logits.float().softmax(dim=1)
        return self.squeeze(probabilities) if self.config.label_input == "squeezed" else probabilities

    def _pairs(self, evidence: Evidence, labels: Tensor) -> list[Tensor]:
        """The features of each stage as the heads see them."""
        first = self._encode(0, evidence.image, labels)
        if self.config.branches == 1:
            return first
        if self.config.shared and evidence.synthesis is None:  # nothing new to encode
            second = first
        else:
            synthesis = evidence.image if evidence.synthesis is None else evidence.synthesis
            second = self._encode(-1, synthesis, labels)
        return [self._pair(a, b) for a, b in zip(first, second, strict=True)]

    def _pair(self, first: Tensor, second: Tensor) -> Tensor:
        parts = [first, second, (first - second).abs()] if self.config.uses_uncertainty else [first, second]
        return torch.cat(parts, dim=1)

    def _error_log_odds(self, pairs: list[Tensor], uncertainties: Tensor | None, evidence: Evidence) -> Tensor:
        """Sum the stages' log-odds; resizing them equals resizing its features, at a fraction of the cost."""
        size = evidence.image.shape[2:]
        total = evidence.logits.new_zeros(evidence.logits.shape[0], 1, *size, dtype=torch.float32)
        for pair, fusion, head in zip(pairs, self.fusions, self.error_heads, strict=True):
            seen = pair if uncertainties is None else torch.cat([pair, resize(uncertainties, pair.shape[2:])], dim=1)
            total = total + resize(head(fusion(seen)).float(), size)
        if uncertainties is not None:
            total = total + self.uncertainty_head(uncertainties).float()
        return total[:, 0]


def _fusion(spatial_dims: SpatialDims, in_channels: int, hidden: int) -> nn.Module:
    projection = conv(spatial_dims, in_channels, hidden, kernel=1, bias=False)
    return nn.Sequential(projection, batch_norm(spatial_dims, hidden), nn.ReLU())


def _uncertainty_head(spatial_dims: SpatialDims, uncertainties: int) -> nn.Module:
    """Return a linear head on the uncertainties that starts as MSP's log-odds (which uncertainty() divides by ten)."""
    head = conv(spatial_dims, uncertainties, 1, kernel=1)
    assert head.bias is not None
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    with torch.no_grad():
        head.weight[0, 0] = 10.0
    return head


def expected_quality(logits: Tensor, error_probability: Tensor, measure: Measure = "IoU") -> Tensor:
    """Quality of every class to be expected if each pixel is wrong with its own probability, shape (B, L), in [0, 1].

    A pixel predicted as k is truly k with probability 1 - e; the rest is shared out over the other classes in
    proportion to M's softmax. Then, class by class, the IoU is E[TP] / (predicted + E[true] - E[TP]), and the Dice
    (2 E[TP] + 1) / (predicted + E[true] + 1), whose added pixel makes it 1 where nothing is predicted nor expected.

    Args:
        logits: Of M, shape (B, L, *S).
        error_probability: e, shape (B, *S), in [0, 1].
        measure: Of the quality.
    """
    predicted = one_hot(logits.argmax(dim=1), logits.shape[1]).flatten(2)  # (B, L, N)
    error = error_probability.flatten(1).unsqueeze(1)
    others = logits.float().flatten(2).masked_fill(predicted.bool(), -torch.inf).softmax(dim=1)
    true_positive = (predicted * (1 - error)).sum(dim=2)
    true = true_positive + (others * error).sum(dim=2)
    both = predicted.sum(dim=2) + true
    if measure == "Dice":
        return (2 * true_positive + 1) / (both + 1)
    return true_positive / (both - true_positive).clamp_min(1e-8)
