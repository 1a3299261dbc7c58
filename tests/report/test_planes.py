"""Which planes of a volume are shown, and which side of the patient lies where in them."""

from __future__ import annotations

import pytest
import torch

from synthcp.report.planes import PANEL, Planes

SIZE = (10, 8, 5)


def test_the_planes_meet_in_the_middle_of_the_worst_voxels() -> None:
    error = torch.full(SIZE, 0.1)
    error[1, 1, 4] = 1.0  # alone, brighter than any of the many
    error[6:9, 2:5, 1:4] = 0.8
    planes = Planes.worst(error, (10.0, 8.0, 10.0))
    assert planes.at == pytest.approx((7.5 / 10, 3.5 / 8, 2.5 / 5))


def test_a_worst_voxel_at_the_border_counts_what_is_there() -> None:
    """The mean is over voxels of the volume: of the corner over 8 of them, not 27."""
    error = torch.zeros(SIZE)
    error[9, 0, 4] = 0.9
    assert Planes.worst(error, SIZE).at == pytest.approx((9.5 / 10, 0.5 / 8, 4.5 / 5))


def test_each_plane_shows_the_sides_that_it_says() -> None:
    """One voxel at the patient's right, front and head, in the corner where every plane passes through it."""
    volume = torch.zeros(SIZE)
    volume[-1, -1, -1] = 1.0
    picture = Planes((0.99, 0.99, 0.99), (10.0, 8.0, 10.0)).of(volume)
    assert picture.shape == (PANEL, 3 * PANEL)
    for number, (width, height) in enumerate([(10, 8), (10, 10), (8, 10)]):
        panel = picture[:, number * PANEL : (number + 1) * PANEL]
        side = round(PANEL * width / 10), round(PANEL * height / 10)
        left, top = (PANEL - side[0]) // 2, (PANEL - side[1]) // 2
        assert panel[top, left] == 1.0
        assert panel[top + side[1] - 1].max() == 0 and panel[:, left + side[0] - 1].max() == 0


def test_a_millimetre_is_as_long_in_every_plane() -> None:
    """A block of 3 x 2 x 1 voxels of 2, 3 and 4 mm is 6 mm, 6 mm and 4 mm."""
    volume = torch.zeros(20, 20, 20, dtype=torch.int64)
    volume[9:12, 9:11, 10] = 7
    picture = Planes((0.5, 0.5, 0.5), (40.0, 60.0, 80.0)).of(volume, fill=3)
    scale = PANEL / 80
    for number, sides in enumerate([(6, 6), (6, 4), (6, 4)]):
        panel = picture[:, number * PANEL : (number + 1) * PANEL]
        rows, columns = (panel == 7).nonzero(as_tuple=True)
        extent = int(columns.max() - columns.min()) + 1, int(rows.max() - rows.min()) + 1
        assert extent == pytest.approx([scale * side for side in sides], abs=2)
    axial = picture[:, :PANEL]
    assert axial[0, 0] == 3 and set(picture.unique().tolist()) == {0, 3, 7}


def test_a_coarser_volume_shows_the_same_place() -> None:
    fine, coarse = torch.zeros(20, 16, 12), torch.zeros(10, 8, 6)
    fine[14:16, 6:8, 4:6], coarse[7, 3, 2] = 1.0, 1.0
    planes = Planes((7.5 / 10, 3.5 / 8, 2.5 / 6), (20.0, 16.0, 12.0))
    spots = [(planes.of(volume)[:, :PANEL] > 0.5).nonzero().double() for volume in (fine, coarse)]
    assert spots[0].mean(dim=0).tolist() == pytest.approx(spots[1].mean(dim=0).tolist(), abs=1)


def test_the_channels_of_a_volume_stay() -> None:
    assert Planes((0.5, 0.5, 0.5), SIZE).of(torch.rand(3, *SIZE)).shape == (3, PANEL, 3 * PANEL)
