from __future__ import annotations

import torch

from synthcp.data.base import Dataset
from synthcp.records import Classes, Sample
from synthcp.training.batches import draw_window, image_batch, labelled_batch

PATCH = (8, 6, 7)


class Volume(Dataset):
    """One volume of 5 x 9 x 4 voxels."""

    def __init__(self) -> None:
        self.classes = Classes(("a", "b"), ((0, 0, 0), (1, 1, 1)), ignore_index=255)
        self.ids = ["v"]
        self.patch = PATCH

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        image = torch.rand(1, 5, 9, 4, generator=generator)
        return Sample("v", image, torch.randint(2, (5, 9, 4), generator=generator))


def test_a_volume_smaller_than_a_patch_is_padded_with_nothing_to_learn() -> None:
    whole = Volume()[0]
    images, label_maps = labelled_batch(Volume(), 6, (1.0, 1.0), 0.0, torch.Generator().manual_seed(0))
    assert images.shape == (6, 1, *PATCH) and label_maps.shape == (6, *PATCH)
    assert whole.label_map is not None
    seen = set()
    for image, label_map in zip(images, label_maps, strict=True):
        inside = label_map != 255
        assert int(inside.sum()) == 5 * 6 * 4
        starts = [
            (start, flip)
            for flip in (False, True)
            for start in range(4)
            if _window(whole.label_map, start, flip).equal(label_map[_place(flip)])
            and _window(whole.image[0], start, flip).equal(image[0][_place(flip)])
        ]
        assert len(starts) == 1
        seen.add(starts[0])
    assert len(seen) > 2  # windows are drawn anew


def _window(volume: torch.Tensor, start: int, flip: bool) -> torch.Tensor:
    window = volume[:, start : start + 6]
    return window.flip(0) if flip else window


def _place(flip: bool) -> tuple[slice, slice, slice]:
    """Where the volume lies in a patch: three rows are missing, one before it and two behind."""
    return (slice(2, 7) if flip else slice(1, 6), slice(None), slice(1, 5))


def test_images_without_labels_are_padded_by_their_border() -> None:
    (image,) = image_batch(Volume(), 1, (1.0, 1.0), torch.Generator().manual_seed(1))
    assert image.shape == (1, *PATCH)
    assert image[0, :, :, 0].equal(image[0, :, :, 1]) and image[0, :, :, 5].equal(image[0, :, :, 4])


def test_a_window_has_the_size_of_the_patch() -> None:
    window = draw_window(Volume(), torch.zeros(1, 8, 9, 7), (1.0, 1.0), torch.Generator().manual_seed(0))
    assert window.size == PATCH
