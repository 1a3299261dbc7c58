r"""Trains a small SegFormer from random weights on labelled images and saves it as Hugging Face models are saved.

    python examples/train_segformer.py --data camvid:ROOT --out segformer --steps 800

One block of frames in four is kept out of the training, for F to learn from M's honest mistakes:

    synthcp fit --data "camvid:ROOT?ids=segformer/train.txt" --model "hf:segformer?input=short:192" \
        --imperfect "heldout:camvid:ROOT?split=train&ids=segformer/held_out.txt" --out runs/segformer
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from synthcp import open_dataset
from synthcp.data.base import Dataset
from synthcp.data.subset import Subset
from synthcp.data.working_size import Prepared
from synthcp.system.runtime import generator_of
from synthcp.training.batches import labelled_batch
from synthcp.training.imperfect_predictions import assign_folds
from synthcp.training.loop import polynomial_decay

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="SPEC of the labelled images")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model and of the two lists of ids")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=192, help="shorter side of the images")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    images = Prepared(open_dataset(arguments.data), arguments.side)
    model = segformer(images)
    train(model, divided(images, arguments.out), arguments.steps, arguments.batch, arguments.seed)
    save(model, arguments.out)


def divided(images: Prepared, out: Path) -> Dataset:
    """Write the lists of the images to train on and of those to keep out, and return the former."""
    fold_of = assign_folds(images.groups, 4, "dealt")
    out.mkdir(parents=True, exist_ok=True)
    for name, kept in (("train", range(3)), ("held_out", (3,))):
        ids = [sample_id for sample_id, fold in zip(images.ids, fold_of, strict=True) if fold in kept]
        (out / f"{name}.txt").write_text("\n".join(ids) + "\n")
    return Subset(images, [index for index, fold in enumerate(fold_of) if fold != 3])


def segformer(images: Dataset) -> SegformerForSemanticSegmentation:
    """A SegFormer a third as wide as the smallest published one, with the classes of the data."""
    return SegformerForSemanticSegmentation(
        SegformerConfig(
            num_channels=images[0].image.shape[0],
            id2label=dict(enumerate(images.classes.names)),
            hidden_sizes=[24, 48, 96, 160],
            depths=[1, 1, 2, 1],
            num_attention_heads=[1, 2, 4, 5],
            decoder_hidden_size=96,
        )
    )


def train(model: SegformerForSemanticSegmentation, images: Dataset, steps: int, batch: int, seed: int) -> None:
    """Cross-entropy on zoomed and recoloured windows, AdamW with a falling rate."""
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    model.train()
    for step in range(steps):
        pictures, labels = labelled_batch(images, batch, (1.0, 1.5), 0.15, generator_of(seed, "segformer", step))
        logits = model((pictures - mean) / std).logits
        logits = F.interpolate(logits, labels.shape[1:], mode="bilinear")
        loss = F.cross_entropy(logits, labels, ignore_index=images.classes.ignore_index)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 50) * polynomial_decay(step, steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}/{steps}: loss {loss.item():.3f}", flush=True)


def save(model: SegformerForSemanticSegmentation, out: Path) -> None:
    """Save weights, configuration, and how images are normalised."""
    model.eval().save_pretrained(out)
    (out / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": True, "image_mean": MEAN, "image_std": STD}, indent=2)
    )
    print(f"saved to {out}")


if __name__ == "__main__":
    main()
