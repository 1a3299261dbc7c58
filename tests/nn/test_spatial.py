from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synthcp.nn.spatial import DensePool, SpatialDims, average_pool, conv, resize, resize_nearest


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 5), (7, 1), (7, 2)])
def test_convolution_keeps_the_size_and_its_centre_sees_the_pixel(
    spatial_dims: SpatialDims, kernel: int, dilation: int
) -> None:
    convolution = conv(spatial_dims, 1, 1, kernel=kernel, dilation=dilation, bias=False)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[(0, 0, *[kernel // 2] * spatial_dims)] = 3.0
    features = torch.arange(5.0 * 6 * 7).view(1, 1, 5, 6, 7) if spatial_dims == 3 else torch.rand(1, 1, 6, 7)
    assert convolution(features).equal(3 * features)


def test_average_pool_leaves_the_padding_out() -> None:
    pool = average_pool(2, kernel=3, stride=2, padding=1)
    image = torch.tensor([[[[1.0, 2.0, 6.0], [4.0, 5.0, 9.0]]]])
    assert pool(image)[0, 0].tolist() == [[3.0, 5.5]]  # of four pixels each


def test_linear_resize_is_centred_on_pixels() -> None:
    row = torch.tensor([[[[0.0, 1.0]]]])
    assert resize(row, (1, 4)).flatten().tolist() == [0.0, 0.25, 0.75, 1.0]
    assert resize(row[..., None], (1, 4, 1)).flatten().tolist() == [0.0, 0.25, 0.75, 1.0]


def test_nearest_resize_takes_values_only() -> None:
    row = torch.tensor([[[[3.0, 7.0, 9.0]]]])
    assert resize_nearest(row, (2, 6))[0, 0].tolist() == [[3, 3, 7, 7, 9, 9]] * 2
    assert resize_nearest(row, (1, 1)).item() == 3.0


def test_the_same_size_is_no_work() -> None:
    image = torch.rand(1, 2, 3, 4)
    assert resize(image, (3, 4)) is image and resize_nearest(image, image.shape[2:]) is image


def test_small_volumes_are_convolved_in_float32_and_large_ones_as_asked() -> None:
    torch.manual_seed(0)
    layer = conv(3, 2, 3)
    volumes = torch.randn(1, 2, 2, 5, 6), torch.randn(1, 2, 3, 5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        small, large = (layer(volume) for volume in volumes)
    assert (small.dtype, large.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(small, F.conv3d(volumes[0], layer.weight, layer.bias, padding=1))


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_dense_pool_keeps_the_size_and_holds_what_a_strided_one_holds(kernel: int, dilation: int) -> None:
    features = torch.rand(1, 2, 13, 18)
    dense = DensePool(kernel, dilation)(features)
    assert dense.shape == features.shape
    for row in range(dilation):  # each grid of pixels so far apart is pooled by itself
        grid, padding = features[:, :, row::dilation, ::dilation], (kernel - 1) // 2
        strided = F.max_pool2d(grid, kernel, 2, padding, ceil_mode=kernel == 2)
        torch.testing.assert_close(dense[:, :, row::dilation, ::dilation][:, :, ::2, ::2], strided)
