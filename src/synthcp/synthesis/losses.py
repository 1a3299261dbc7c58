"""The losses of G and D: hinge form of eq. 1-2, feature matching and perceptual, as SPADE sums them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Judgements = Sequence[Sequence[Tensor]]
FeatureNetwork = Callable[[Tensor], list[Tensor]]


def discriminator_hinge(real: Judgements, fake: Judgements) -> Tensor:
    """Hinge loss of D, mean over scales: real verdicts above 1, fake ones below -1."""
    scales = [(r[-1].float(), f[-1].float()) for r, f in zip(real, fake, strict=True)]
    return torch.stack([F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in scales]).mean()


def generator_hinge(fake: Judgements) -> Tensor:
    """Hinge loss of G, mean over scales: verdicts on the drawing as large as can be."""
    return -torch.stack([judgement[-1].float().mean() for judgement in fake]).mean()


def feature_matching(real: Judgements, fake: Judgements) -> Tensor:
    """L1 distance of D's features of drawing and image, summed over layers, mean over scales (pix2pixHD)."""
    scales = []
    for r, f in zip(real, fake, strict=True):
        layers = [F.l1_loss(b.float(), a.detach().float()) for a, b in zip(r[:-1], f[:-1], strict=True)]
        scales.append(torch.stack(layers).sum())
    return torch.stack(scales).mean()


def perceptual(network: FeatureNetwork, real: Tensor, fake: Tensor) -> Tensor:
    """L1 distance of a fixed network's features, weighted 1 at the deepest, then 1/4, 1/8, ... (SPADE's, for VGG-19).

    Args:
        network: Returns feature maps from shallow to deep; it gives gradients to its input only.
        real: x, shape (B, C, *S), in [0, 1].
        fake: x_hat, same shape.
    """
    with torch.no_grad():
        targets = network(real)
    layers = list(zip(targets, network(fake), strict=True))
    weights = [*(0.5**depth for depth in range(len(layers), 1, -1)), 1.0]
    terms = [weight * F.l1_loss(b.float(), a.float()) for weight, (a, b) in zip(weights, layers, strict=True)]
    return torch.stack(terms).sum()
