from __future__ import annotations

import torch

from synthcp.comparison.logit_scores import LogitDetector, entropy
from synthcp.rivals.second_look import SecondLook
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig


def test_it_judges_what_the_other_segmenter_says_of_the_image() -> None:
    torch.manual_seed(0)
    first, second = (DeepLab(2, DeepLabConfig(3, width=4, rates=(1,))).eval().requires_grad_(False) for _ in range(2))
    image = torch.rand(2, 3, 32, 40)
    found = SecondLook(second, LogitDetector(entropy))(image, first(image))
    assert found.error_map is not None and found.error_map.equal(entropy(second(image).logits))
