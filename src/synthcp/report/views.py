"""The pictures of one image that a person looks at, read back from an output folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from synthcp.report.outputs import map_path
from synthcp.report.pictures import read_picture, true_error_picture


@dataclass(frozen=True)
class View:
    """One way to look at an image.

    Attributes:
        key: The kind of map, or "true_errors", which is drawn from prediction and truth.
        label: Name on a button.
        caption: What it shows.
        flat: Whether the colours stand for labels, and must not be mixed.
    """

    key: str
    label: str
    caption: str
    flat: bool = False


VIEWS = (
    View("image", "Image", "marked: probability of error above the threshold"),
    View("prediction", "Prediction", "the class of each pixel as the segmenter says", flat=True),
    View("synthesis", "Drawing", "how the image would look if the prediction were right"),
    View("error", "Error map", "probability that the prediction is wrong"),
    View("anomaly", "Anomaly map", "how unknown the object looks"),
    View("truth", "Ground truth", "the true class of each pixel", flat=True),
    View("true_errors", "True errors", "bright where the prediction is wrong", flat=True),
    View("unknown", "True unknowns", "white on objects of no known class", flat=True),
)


def open_view(out: Path, image_id: str, view: View, width: int) -> Image.Image | None:
    """The picture, at most `width` wide, in RGB; None when the folder does not have it.

    Raises:
        InputError: The id leads out of the folder, or a file is not a picture.
    """
    picture = _true_errors(out, image_id) if view.key == "true_errors" else open_map(out, image_id, view.key)
    if picture is None:
        return None
    return shrink(picture.convert("RGB"), width, Image.Resampling.NEAREST if view.flat else Image.Resampling.LANCZOS)


def open_map(out: Path, image_id: str, kind: str) -> Image.Image | None:
    """The picture as it lies in maps/, or None; errors as in `open_view`."""
    path = map_path(out, image_id, kind)
    return read_picture(path) if path.is_file() else None


def shrink(picture: Image.Image, width: int, resampling: Image.Resampling) -> Image.Image:
    """The picture, made smaller if it is wider than `width`."""
    if picture.width <= width:
        return picture
    return picture.resize((width, max(1, round(picture.height * width / picture.width))), resampling)


def _true_errors(out: Path, image_id: str) -> Image.Image | None:
    prediction, truth = open_map(out, image_id, "prediction"), open_map(out, image_id, "truth")
    return true_error_picture(prediction, truth) if prediction and truth else None
