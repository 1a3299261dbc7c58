from __future__ import annotations

import pytest
import torch
from torch import Tensor

from synthcp.errors import InputError
from synthcp.synthesis.losses import AdversarialForm, adversarial_loss, feature_matching, perceptual


def judgements(*scales: tuple[list[float], ...]) -> list[list[Tensor]]:
    return [[torch.tensor(layer) for layer in scale] for scale in scales]


REAL = judgements(([1.0, 3.0], [0.0], [2.0, 0.5]), ([4.0], [1.0], [-1.0]))
FAKE = judgements(([2.0, 5.0], [3.0], [-3.0, 0.25]), ([1.0], [1.5], [0.5]))


@pytest.mark.parametrize(
    ("form", "of_d", "of_g"),
    [
        # D, scale 1: mean(0, 0.5) + mean(0, 1.25); scale 2: 2 + 1.5
        ("hinge", (0.25 + 0.625 + 3.5) / 2, -(-1.375 + 0.5) / 2),
        # D, scale 1: (mean(1, 0.25) + mean(9, 0.0625)) / 2; scale 2: (4 + 0.25) / 2; G: mean(16, 0.5625) / 2; 0.25 / 2
        ("least_squares", (0.625 + 4.53125 + 4.25) / 4, (8.28125 + 0.25) / 4),
    ],
)
def test_the_forms_of_the_adversarial_loss(form: AdversarialForm, of_d: float, of_g: float) -> None:
    loss = adversarial_loss(form)
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(of_d)
    assert loss.generator(FAKE).item() == pytest.approx(of_g)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(InputError, match="adversarial loss 'wgan' is unknown; choose one of hinge, least_squares"):
        adversarial_loss("wgan")  # type: ignore[arg-type]


def test_feature_matching_leaves_the_verdict_out() -> None:
    # scale 1: mean(1, 2) + 3; scale 2: 3 + 0.5
    assert feature_matching(REAL, FAKE).item() == pytest.approx((4.5 + 3.5) / 2)


def test_feature_matching_moves_the_drawing_only() -> None:
    real, fake = torch.tensor([1.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    feature_matching([[real, real]], [[fake, fake]]).backward()
    assert real.grad is None and fake.grad is not None and fake.grad.tolist() == [1.0]


@pytest.mark.parametrize(
    ("layers", "weights"), [(5, [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]), (4, [1 / 16, 1 / 8, 1 / 4, 1]), (1, [1])]
)
def test_perceptual_weights_are_spades(layers: int, weights: list[float]) -> None:
    def network(image: Tensor) -> list[Tensor]:
        return [image * 10**layer for layer in range(layers)]

    distance = perceptual(network, torch.tensor([0.5, 0.5]), torch.tensor([0.25, 1.0]))
    expected = sum(weight * 0.375 * 10**layer for layer, weight in enumerate(weights))
    assert distance.item() == pytest.approx(expected)


def test_perceptual_moves_the_drawing_only() -> None:
    real, fake = torch.tensor([0.5], requires_grad=True), torch.tensor([0.25], requires_grad=True)
    perceptual(lambda image: [3 * image], real, fake).backward()
    assert real.grad is None and fake.grad is not None and fake.grad.tolist() == [-3.0]
