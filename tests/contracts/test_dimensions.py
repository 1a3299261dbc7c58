"""Volumes take the very path of images: with 2D kernels in the centre slice, every slice is the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.network import ComparisonConfig
from synthcp.comparison.siamese import SiameseNetwork
from synthcp.nn.catalogue import TRUNKS, new_trunk
from synthcp.nn.resnet import ResNet, ResNetConfig
from synthcp.nn.spatial import SpatialDims
from synthcp.nn.trunk import TrunkShape
from synthcp.rivals.shape_vae import ShapeVae, ShapeVaeConfig
from synthcp.rivals.true_class_probability import ConfidenceConfig, ConfidenceNetwork
from synthcp.segmentation.base import SegmenterShape
from synthcp.segmentation.catalogue import SEGMENTERS, new_segmenter
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.pspnet import pspnet
from synthcp.synthesis.base import GeneratorShape
from synthcp.synthesis.catalogue import GENERATORS, new_generator
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from synthcp.synthesis.style_encoder import GRID

DEPTH, SIZE = 9, (32, 41)


def in_centre_slice(kernel: Tensor) -> Tensor:
    """Return a kernel (..., k, k) as (..., k, k, k); the centre is the slice that the padding lays on each pixel."""
    side = kernel.shape[-1]
    volume = kernel.new_zeros(*kernel.shape[:-2], side, side, side)
    volume[..., (side - 1) // 2, :, :] = kernel
    return volume


def in_both_slices(kernel: Tensor) -> Tensor:
    """Return the kernel of a doubling as a volume: its second slice makes the even slices, its third the odd ones."""
    return torch.stack([torch.zeros_like(kernel), kernel, kernel], dim=-3)


def reading_every_slice(weight: Tensor, size: tuple[int, ...], depth: int) -> Tensor:
    """Return the weight (K, C * h * w) of a linear layer as one that takes the mean over slices, (K, C * d * h * w)."""
    return stack(weight.view(len(weight), -1, *size), depth).flatten(1) / depth


def writing_every_slice(value: Tensor, size: tuple[int, ...], depth: int) -> Tensor:
    """Return the weight (C * h * w, K) or bias (C * h * w) of a linear layer as one that writes every slice."""
    columns = stack(value.view(-1, *size, value[0].numel()).movedim(-1, 0), depth)
    return columns.flatten(1).T if value.ndim == 2 else columns.flatten()


def inflate(images: nn.Module, volumes: nn.Module) -> None:
    """Give a network for volumes the weights of one for images."""
    state, wanted = images.state_dict(), volumes.state_dict()
    for key, value in list(state.items()):
        layer = images.get_submodule(key.rpartition(".")[0])
        if value.ndim == 4:
            state[key] = in_both_slices(value) if isinstance(layer, nn.ConvTranspose2d) else in_centre_slice(value)
        elif isinstance(layer, nn.Linear) and len(value) != len(wanted[key]):
            state[key] = writing_every_slice(value, (GRID, GRID), GRID)
        elif isinstance(layer, nn.Linear) and value.shape != wanted[key].shape:
            state[key] = reading_every_slice(value, (GRID, GRID), GRID)
        elif key.endswith("._v"):  # of a spectral norm: a singular vector, as long as a kernel
            kernel = images.state_dict()[key.replace("0._v", "original")]
            state[key] = in_centre_slice(value.view(kernel.shape[1:])).flatten()
    volumes.load_state_dict(state)


def enliven(network: nn.Module) -> None:
    """Spread the statistics of batch norms, so that a swap would show."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)


def random(*shape: int, seed: int) -> Tensor:
    return torch.rand(2, *shape, *SIZE, generator=torch.Generator().manual_seed(seed))


def labels() -> Tensor:
    return (3.99 * random(seed=0)).long()


def stack(tensor: Tensor, depth: int = DEPTH) -> Tensor:
    """Repeat (B, ..., H, W) along depth."""
    return tensor.unsqueeze(-3).expand(*tensor.shape[:-2], depth, *tensor.shape[-2:])


Make = Callable[[SpatialDims], nn.Module]
Use = Callable[[nn.Module, Callable[[Tensor], Tensor]], Sequence[Tensor]]


def confidence(dims: SpatialDims) -> nn.Module:
    m = DeepLab(dims, DeepLabConfig(4, width=4, rates=(1, 2)))
    return ConfidenceNetwork(m, torch.rand(1, 3, *[16] * dims), ConfidenceConfig(fused=4, widths=(5, 4)))


def siamese(**settings: object) -> Make:
    return lambda dims: SiameseNetwork(dims, ComparisonConfig(4, width=4, hidden=4, **settings))  # type: ignore[arg-type]


def generator(name: str, dims: SpatialDims) -> nn.Module:
    return new_generator(name, GeneratorShape(dims, 4, width=4, hidden=4, multipliers=(4, 2, 2, 1, 1)))


def segmenter(name: str, head: Literal["sum", "v3"], dims: SpatialDims) -> nn.Module:
    if name == "pspnet":
        return pspnet(SegmenterShape(dims, 4, width=4, hidden=10), pyramid=(1,))  # more regions would cut the depth
    network = new_segmenter(name, SegmenterShape(dims, 4, width=4, rates=(1, 2), hidden=10, deeplab_head=head))
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():  # of a skip, which starts at zero
            nn.init.normal_(parameter)
    return network


def judge(network: nn.Module, shape: Callable[[Tensor], Tensor]) -> Sequence[Tensor]:
    logits = 3 * random(4, seed=3)
    evidence = Evidence(*(shape(part) for part in (random(3, seed=1), random(3, seed=2), logits, random(5, seed=4))))
    error_log_odds, class_quality = network(evidence)
    return [error_log_odds, class_quality]


def draw(network: nn.Module, shape: Callable[[Tensor], Tensor]) -> Sequence[Tensor]:
    return [network(shape(labels()), shape(random(3, seed=1)))]


def look(network: nn.Module, shape: Callable[[Tensor], Tensor]) -> Sequence[Tensor]:
    return [network(shape(random(3, seed=1))).logits]


def see(network: nn.Module, shape: Callable[[Tensor], Tensor]) -> Sequence[Tensor]:
    maps: list[Tensor] = network(shape(random(3, seed=1)))
    return maps


OF_MONAI = {"unet", "ahnet"}
"""Segmenters that are MONAI's own, for images and for volumes."""
CASES: dict[str, tuple[Make, Use]] = {
    **{name: (partial(generator, name), draw) for name in GENERATORS},
    **{name: (partial(segmenter, name, "sum"), look) for name in SEGMENTERS if name not in OF_MONAI},
    **{f"{name}, trunk": (lambda dims, name=name: new_trunk(name, TrunkShape(dims, width=4)), see) for name in TRUNKS},
    "deeplab of the release": (partial(segmenter, "deeplab", "v3"), look),
    "dilated trunk": (lambda dims: ResNet(dims, ResNetConfig(depth=50, width=4, output_stride=8)), see),
    "discriminator": (
        lambda dims: MultiScaleDiscriminator(dims, DiscriminatorConfig(4, width=4)),
        lambda network, shape: sum(draw(network, shape)[0], []),
    ),
    "paper": (siamese(), judge),
    "official": (siamese(shared=False, label_input="squeezed"), judge),
    "ours": (siamese(label_input="softmax", uses_uncertainty=True), judge),
    "confidence": (confidence, lambda network, shape: network(shape(random(3, seed=1)))[:, None]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_slice_of_a_repeated_image_is_the_image(name: str) -> None:
    torch.manual_seed(0)
    make, use = CASES[name]
    images, volumes = make(2).eval().requires_grad_(False), make(3).eval().requires_grad_(False)
    enliven(images)
    inflate(images, volumes)
    flat, deep = use(images, lambda tensor: tensor), use(volumes, stack)
    for image, volume in zip(flat, deep, strict=True):
        repeated = image if image.ndim == 2 else image.unsqueeze(-3).expand_as(volume)  # class quality has no depth
        torch.testing.assert_close(volume, repeated, atol=2e-5, rtol=1e-4)
        assert image.std() > 0


def inflate_vae(images: ShapeVae, volumes: ShapeVae) -> None:
    """Give a shape VAE for volumes the weights of one for images.

    Kernels that halve look at the first of two slices, which are equal; kernels that double write both. A linear layer
    takes the mean over the slices, or writes every slice.
    """
    state, depth, smallest = images.state_dict(), volumes.config.smallest[0], images.config.smallest
    for key, value in images.state_dict().items():
        if key.startswith("decoder") and value.shape[-1] == 2:
            state[key] = stack(value, 2)
        elif value.ndim == 4:
            state[key] = in_centre_slice(value)
        elif key in ("to_mean.weight", "to_deviation.weight"):
            state[key] = reading_every_slice(value, smallest, depth)
        elif key.startswith("from_code"):
            state[key] = writing_every_slice(value, smallest, depth)
    volumes.load_state_dict(state)


def test_every_slice_of_a_repeated_mask_is_rebuilt_as_the_mask() -> None:
    """All slices, the outer ones too: no kernel leaves its slice, and equal slices have the statistics of one."""
    torch.manual_seed(0)
    depth, size = 8, (16, 20)
    nets = [ShapeVae(2, ShapeVaeConfig(4, size, (4, 6, 8), latent=5, convolutions=2))]
    nets.append(ShapeVae(3, ShapeVaeConfig(4, (depth, *size), (4, 6, 8), latent=5, convolutions=2)))
    images, volumes = (network.eval().requires_grad_(False) for network in nets)
    inflate_vae(images, volumes)
    masks = torch.rand(2, 4, *size)
    flat, *code = images(masks)
    deep, *deep_code = volumes(stack(masks, depth))
    torch.testing.assert_close(deep, stack(flat, depth), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(deep_code, code, atol=2e-5, rtol=1e-4)
    assert flat.std() > 0 and code[1].std() > 0
