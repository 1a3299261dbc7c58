"""F that has learnt nothing: the error map is M's own uncertainty, the quality of a class what follows from that."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.expected_quality import expected_quality
from synthcp.comparison.logit_scores import msp_log_odds
from synthcp.comparison.network import ComparisonConfig, ComparisonNetwork
from synthcp.nn.spatial import SpatialDims


class UncertaintyNetwork(ComparisonNetwork):
    """MSP as a probability of error, which is what every F of ours starts from.

    Args:
        spatial_dims: 2 or 3, which take one path.
        config: Of which the measure of quality counts.
    """

    temperature: Tensor

    def __init__(self, spatial_dims: SpatialDims, config: ComparisonConfig) -> None:
        super().__init__(config)
        self.register_buffer("temperature", torch.ones(()))  # a file of weights must hold one

    def forward(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Judge (shapes: see ComparisonNetwork)."""
        log_odds = msp_log_odds(evidence.logits / self.temperature)
        return log_odds, expected_quality(evidence.logits, log_odds.sigmoid(), self.config.measure)

    def embed(self, image: Tensor, logits: Tensor) -> Tensor:
        """Return the mean softmax: which classes an image shows, and how sure M is of them, shape (B, L)."""
        return logits.float().softmax(dim=1).flatten(2).mean(dim=2)

    def load_encoder(self, weights: Mapping[str, Tensor]) -> None:
        """Take no weights, for there is no encoder."""
