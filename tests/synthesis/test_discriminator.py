from __future__ import annotations

import pytest
import torch
from torch import Tensor

from synthcp.errors import ShapeError
from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import SpatialDims
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator


@pytest.mark.parametrize(("classes", "parameters"), [(19, 5_566_594), (13, 5_554_306)])
def test_spades_discriminator_has_its_parameters(classes: int, parameters: int) -> None:
    with torch.device("meta"):
        discriminator = MultiScaleDiscriminator(2, DiscriminatorConfig(classes))
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == parameters


@pytest.mark.parametrize(("spatial_dims", "size"), [(2, (64, 83)), (2, (33, 41)), (3, (17, 32, 50))])
def test_patches_halve_three_times_rounded_up(spatial_dims: SpatialDims, size: tuple[int, ...]) -> None:
    discriminator = MultiScaleDiscriminator(spatial_dims, DiscriminatorConfig(3, width=4))
    judgements = discriminator(torch.zeros(1, *size, dtype=torch.int64), torch.zeros(1, 3, *size))
    assert [[features.shape[1] for features in judgement] for judgement in judgements] == [[4, 8, 16, 32, 1]] * 2
    for scale, judgement in enumerate(judgements):
        halvings = [scale + times for times in (1, 2, 3, 3, 3)]
        expected = [tuple(-(-side // 2**times) for side in size) for times in halvings]
        assert [tuple(features.shape[2:]) for features in judgement] == expected


def test_the_default_judges_images_from_17_pixels() -> None:
    assert MultiScaleDiscriminator(2, DiscriminatorConfig(3, width=4)).smallest_side == 17


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize(("layers", "scales"), [(4, 2), (3, 3), (4, 1), (2, 2)])
def test_an_image_is_refused_only_where_the_last_scale_would_see_one_pixel(
    spatial_dims: SpatialDims, layers: int, scales: int
) -> None:
    config = DiscriminatorConfig(3, width=4, layers=layers, scales=scales)
    discriminator = MultiScaleDiscriminator(spatial_dims, config)
    side = discriminator.smallest_side
    enough, small = (side,) * spatial_dims, (side - 1,) * spatial_dims
    deepest = discriminator(torch.zeros(1, *enough, dtype=torch.int64), torch.rand(1, 3, *enough))[-1][-2]
    assert tuple(deepest.shape[2:]) == (2,) * spatial_dims
    with pytest.raises(ShapeError, match=rf"{scales} scales; use images of at least {side} pixels or fewer scales"):
        discriminator(torch.zeros(1, *small, dtype=torch.int64), torch.rand(1, 3, *small))


@pytest.mark.parametrize("size", [(1, 17), (17, 16)])
def test_one_side_of_17_pixels_is_enough(size: tuple[int, int]) -> None:
    discriminator = MultiScaleDiscriminator(2, DiscriminatorConfig(3, width=4))
    deepest = discriminator(torch.zeros(1, *size, dtype=torch.int64), torch.rand(1, 3, *size))[-1][-2]
    assert tuple(deepest.shape[2:]) == tuple(1 + (side == 17) for side in size)


def test_the_pair_is_layout_and_image_in_minus_one_to_one() -> None:
    discriminator = MultiScaleDiscriminator(2, DiscriminatorConfig(2, in_channels=1, width=4, scales=1))
    pairs: list[Tensor] = []
    discriminator.scales[0].register_forward_pre_hook(lambda _, inputs: pairs.append(inputs[0]))
    label_map = torch.randint(2, (1, 32, 40))
    image = torch.linspace(0, 1, 32 * 40).view(1, 1, 32, 40)
    discriminator(label_map, image)
    assert pairs[0][:, :2].equal(one_hot(label_map, 2))
    torch.testing.assert_close(pairs[0][:, 2:], torch.linspace(-1, 1, 32 * 40).view(1, 1, 32, 40))


def test_the_second_scale_sees_half_the_size() -> None:
    torch.manual_seed(0)
    discriminator = MultiScaleDiscriminator(2, DiscriminatorConfig(2, width=4)).eval()
    discriminator.scales[1].load_state_dict(discriminator.scales[0].state_dict())
    label_map, image = torch.zeros(1, 64, 64, dtype=torch.int64), torch.full((1, 3, 64, 64), 0.3)
    first, second = discriminator(label_map, image)
    alone = discriminator(label_map[:, :32, :32], image[:, :, :32, :32])[0]
    torch.testing.assert_close(second, alone)
    assert not torch.allclose(first[0][..., :16, :16], second[0])
