"""The losses of G and D: eq. 1-2 in two forms, feature matching and perceptual, as SPADE and pix2pixHD sum them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.errors import InputError

Judgements = Sequence[Sequence[Tensor]]
FeatureNetwork = Callable[[Tensor], list[Tensor]]
AdversarialForm = Literal["hinge", "least_squares"]


def discriminator_hinge(real: Judgements, fake: Judgements) -> Tensor:
    """Hinge loss of D, mean over scales: real verdicts above 1, fake ones below -1."""
    scales = [(r[-1].float(), f[-1].float()) for r, f in zip(real, fake, strict=True)]
    return torch.stack([F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in scales]).mean()


def generator_hinge(fake: Judgements) -> Tensor:
    """Hinge loss of G, mean over scales: verdicts on the drawing as large as can be."""
    return -torch.stack([judgement[-1].float().mean() for judgement in fake]).mean()


def discriminator_least_squares(real: Judgements, fake: Judgements) -> Tensor:
    """Least-squares loss of D, mean over scales: real verdicts at 1, fake ones at 0 (Mao et al., ICCV 2017)."""
    scales = [(r[-1].float(), f[-1].float()) for r, f in zip(real, fake, strict=True)]
    return torch.stack([((r - 1).square().mean() + f.square().mean()) / 2 for r, f in scales]).mean()


def generator_least_squares(fake: Judgements) -> Tensor:
    """Least-squares loss of G, mean over scales: verdicts on the drawing at 1."""
    return torch.stack([(judgement[-1].float() - 1).square().mean() / 2 for judgement in fake]).mean()


@dataclass(frozen=True)
class AdversarialLoss:
    """One form of eq. 1-2.

    Attributes:
        discriminator: Loss of D, from its judgements of images and of drawings.
        generator: Loss of G, from those of drawings.
    """

    discriminator: Callable[[Judgements, Judgements], Tensor]
    generator: Callable[[Judgements], Tensor]


_FORMS = {
    "hinge": AdversarialLoss(discriminator_hinge, generator_hinge),
    "least_squares": AdversarialLoss(discriminator_least_squares, generator_least_squares),
}


def adversarial_loss(form: AdversarialForm) -> AdversarialLoss:
    """Return SPADE's loss (hinge) or pix2pixHD's (least squares).

    Raises:
        InputError: There is no such form.
    """
    if form not in _FORMS:
        raise InputError(f"adversarial loss {form!r} is unknown; choose one of {', '.join(_FORMS)}")
    return _FORMS[form]


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
