"""The failure comparator: a siamese trunk that predicts the IoU of every class and the error of every pixel (eq. 5-8).

Variants: "paper" is ComparisonConfig(classes) as it stands; "official" (the authors' release) has two encoders and the
softmax squeezed to one channel; "ours" sees the whole softmax, the difference of both feature maps and M's uncertainty.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.expected_quality import corrected, expected_quality
from synthcp.comparison.logit_scores import uncertainty
from synthcp.comparison.network import ComparisonConfig, ComparisonNetwork
from synthcp.nn.labels import one_hot
from synthcp.nn.padding import middle
from synthcp.nn.resnet import trunk_or_resnet
from synthcp.nn.spatial import SpatialDims, batch_norm, conv, resize
from synthcp.nn.trunk import DEEPEST, Trunk, TrunkShape

_UNCERTAINTIES = 3  # MSP log-odds, entropy, margin


class SiameseNetwork(ComparisonNetwork):
    """F as the paper builds it.

    Args:
        spatial_dims: 2 or 3.
        config: Which variant.
    """

    def __init__(self, spatial_dims: SpatialDims, config: ComparisonConfig) -> None:
        super().__init__(config)
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
        """Judge (shapes: see ComparisonNetwork)."""
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
        return error_log_odds, corrected(expected, pooled)

    def embed(self, image: Tensor, logits: Tensor) -> Tensor:
        """Return the deepest features, averaged over space (shapes: see ComparisonNetwork)."""
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
