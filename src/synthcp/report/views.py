"""The pictures of one image that a person looks at, read back from an output folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from synthcp.report.outputs import map_path
from synthcp.report.pictures import overlay, read_picture, true_error_picture


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


def open_view(out: Path, image_id: str, view: View, width: int, background: int | None = None) -> Image.Image | None:
    """The picture, at most `width` wide, in RGB; None when the folder does not have it.

    Args:
        out: The output folder.
        image_id: Of the image.
        view: What is shown of it.
        width: In pixels.
        background: Class of which the image shows, in place of a colour, and behind the colours of the others.

    Raises:
        InputError: The id leads out of the folder, or a file is not a picture.
    """
    picture = _true_errors(out, image_id) if view.key == "true_errors" else open_map(out, image_id, view.key)
    if picture is None:
        return None
    image = open_map(out, image_id, "image") if overlaid(view, background) else None
    if image is not None and background is not None:
        picture = overlay(image, picture, background)
    return shrink(picture.convert("RGB"), width, Image.Resampling.NEAREST if view.flat else Image.Resampling.LANCZOS)


def overlaid(view: View, background: int | None) -> bool:
    """Whether a view shows labels over the image: those of classes of which one is the background."""
    return view.key in ("prediction", "truth") and background is not None


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
