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


@dataclass(frozen=True)
class AdversarialLoss:
    """One form of eq. 1-2, by what each output of D costs.

    Attributes:
        real: What an output of D on an image costs D.
        fake: What an output of D on a synthesis costs D.
        wish: What an output of D on a synthesis costs G.
    """

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    wish: Callable[[Tensor], Tensor]

    def discriminator(self, real: Judgements, fake: Judgements) -> Tensor:
        """Loss of D, mean over scales, from its judgements of images and of syntheses."""
        scales = [(r[-1].float(), f[-1].float()) for r, f in zip(real, fake, strict=True)]
        return torch.stack([self.real(r).mean() + self.fake(f).mean() for r, f in scales]).mean()

    def generator(self, fake: Judgements) -> Tensor:
        """Loss of G, mean over scales, from D's judgements of syntheses."""
        return torch.stack([self.wish(judgement[-1].float()).mean() for judgement in fake]).mean()


_FORMS = {
    "hinge": AdversarialLoss(real=lambda v: F.relu(1 - v), fake=lambda v: F.relu(1 + v), wish=lambda v: -v),
    "least_squares": AdversarialLoss(
        real=lambda v: (v - 1).square() / 2, fake=lambda v: v.square() / 2, wish=lambda v: (v - 1).square() / 2
    ),
}


def adversarial_loss(form: AdversarialForm) -> AdversarialLoss:
    """Return SPADE's loss (hinge) or pix2pixHD's (least squares; Mao et al., ICCV 2017).

    Raises:
        InputError: There is no such form.
    """
    if form not in _FORMS:
        raise InputError(f"adversarial loss {form!r} is unknown; choose one of {', '.join(_FORMS)}")
    return _FORMS[form]


def feature_matching(real: Judgements, fake: Judgements) -> Tensor:
    """L1 distance of D's features of synthesis and image, summed over layers, mean over scales (pix2pixHD)."""
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
