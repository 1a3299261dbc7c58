"""Changes of F tried on a drive that nobody has seen: M, G and F are fitted without one group of the training images.

Each change is one of how F is trained, or of the predictions that it learns from; M and G stay. Direct prediction and
an untrained G get the same change. The group kept out is of the training split: no test image is opened.

    python benchmarks/failure_changes.py --data camvid:data/camvid --group 0006R0 --out out/changes

Every F is kept under --out, and a second call fits only what is missing; --changes tries some of them, --heads 3 fits
each F from three seeds. Without --data, tiny networks are fitted on drawn streets; that shows that the script works,
and no more.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch

from synthcp.comparison.logit_scores import LOGIT_SCORES, LogitDetector
from synthcp.config.variants import VARIANTS, Variant
from synthcp.data.base import Dataset
from synthcp.data.specs import open_dataset
from synthcp.data.subset import Subset
from synthcp.errors import InputError
from synthcp.evaluation.judging import judge
from synthcp.evaluation.results import RAW, DetectorResult
from synthcp.experiments.page import Spread, markdown
from synthcp.experiments.request import Request
from synthcp.experiments.runs import open_runs
from synthcp.experiments.table1 import TABLE1
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.gathering import Gathered, gather
from synthcp.fitting.heads import CONTROL_HEADS, SHIPPED, Head
from synthcp.fitting.stages import Stages
from synthcp.metrics.ranking import RankingScores
from synthcp.report.tables import from_json, to_json
from synthcp.rivals.synthcp import failure_detector
from synthcp.system.files import save_text
from synthcp.system.provenance import commit, hardware
from synthcp.training.comparator import DIRECT

OURS = VARIANTS["ours"]
HEADS = (*CONTROL_HEADS, SHIPPED)
Judged = dict[str, DetectorResult]
"""What one F of each kind says, and MSP, by the name of the row."""
DRAWN = "scenes:?count=24&size=48x64"


@dataclass(frozen=True)
class Change:
    """One way of fitting F, in place of ours.

    Attributes:
        variant: What is computed.
        scale: Values of the scale by which M's folds predict, in place of its own.
    """

    variant: Variant = OURS
    scale: Mapping[str, Any] = field(default_factory=dict)


SCRATCH = replace(OURS, starts_from_segmenter=False)
CHANGES = {
    "ours": Change(),
    "encoder from scratch": Change(SCRATCH),
    "from scratch, one-hot labels": Change(replace(SCRATCH, label_input="one_hot")),
    "from scratch, without M's uncertainty": Change(replace(SCRATCH, uses_uncertainty=False)),
    "IoU's loss a tenth": Change(replace(OURS, loss=replace(OURS.loss, quality=0.1))),
    "images neither zoomed nor recoloured": Change(replace(OURS, augmented=False)),
    "folds' M as long as M": Change(scale={"fold_steps": 1.0}),
    "degraded images as well": Change(scale={"degraded_views": 1}),
    "paper": Change(VARIANTS["paper"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="", help="SPEC of the training images")
    parser.add_argument("--group", default="", help="of the images that are kept out; the first group if not given")
    parser.add_argument("--out", type=Path, default=Path("out/changes"), help="folder of the runs")
    parser.add_argument("--model", default=TABLE1.models[0], choices=TABLE1.models)
    parser.add_argument("--changes", nargs="*", default=list(CHANGES), choices=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--heads", type=int, default=1, help="how often each F is fitted")
    parser.add_argument("--scale", default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    request = Request(arguments.data, arguments.out, model=arguments.model, scale=arguments.scale)
    if request.data:
        print(measure(request, arguments.group, arguments.changes, arguments.seed, arguments.heads))
    else:
        with tempfile.TemporaryDirectory() as folder:
            request = replace(request, data=DRAWN, out=Path(folder), scale="tiny")
            print(measure(request, "", arguments.changes, arguments.seed, arguments.heads))


def measure(request: Request, group: str, changes: Sequence[str], seed: int, heads: int) -> str:
    seen, aside = without(open_dataset(request.data), group)
    run = open_runs(TABLE1, request, seen, seed)[request.model]
    tried = {name: changed(run, name) for name in changes}
    rows = {name: [judged(run, *tried[name], aside, number) for number in range(1, heads + 1)] for name in changes}
    facts = f"{len(seen)} training images, {len(aside)} kept out, {request.model}, seed {seed}, commit {commit()}, "
    return f"{facts}{hardware(run.context.runtime.device)}\n\n{table(rows)}"


def without(dataset: Dataset, group: str) -> tuple[Subset, Subset]:
    """The images outside and inside a group; half and half, in order, where there are no groups."""
    groups = dataset.groups
    if len(set(groups)) == 1:
        groups = [str(2 * index // len(dataset)) for index in range(len(dataset))]
    kept_out = group or groups[0]
    if kept_out not in groups:
        raise InputError(f"no image is of the group {kept_out!r}; choose one of {', '.join(sorted(set(groups)))}")
    seen, aside = ([index for index, name in enumerate(groups) if (name == kept_out) == out] for out in (False, True))
    return Subset(dataset, seen), Subset(dataset, aside)


def changed(run: FitData, name: str) -> tuple[Stages, Gathered]:
    """The stages of F with other settings, in a folder of their own, and what F learns from."""
    change, context = CHANGES[name], run.context
    settings = replace(context.settings, variant=change.variant, scale=replace(context.settings.scale, **change.scale))
    context = replace(context, settings=settings, out=context.out / "changes" / name)
    context.out.mkdir(parents=True, exist_ok=True)
    gathered = gather(context, run.segmenter, dict(run.generators)) if change.scale else run.gathered
    return Stages(context, None), gathered


def judged(run: FitData, stages: Stages, gathered: Gathered, aside: Dataset, number: int) -> Judged:
    """The number-th F of each kind on the images kept out, beside MSP; read from disk if it was judged before."""
    path = stages.out / f"judged-{number}.json"
    if not path.exists():
        heads = {
            head.name: failure_detector(
                run, head, stages.comparator(again(head, number), gathered, run.live, run.auxiliary)
            )
            for head in HEADS
        }
        detectors = {"MSP": LogitDetector(LOGIT_SCORES["msp"]), **heads}
        side, classes = run.context.settings.scale.side, run.context.settings.classes
        results = judge(detectors, run.segmenter, aside, runtime=run.context.runtime, side=side, classes=classes)
        save_text(path, to_json(results))
    return {result.name: result for result in from_json(path.read_text(encoding="utf-8")).detectors}


def again(head: Head, number: int) -> Head:
    return head if number == 1 else replace(head, name=f"{head.name}-{number}", seed=1000 + number)


def table(rows: dict[str, list[Judged]]) -> str:
    """Of each change the three error maps by themselves, then the score in use and the IoU of SynthCP; in percent."""
    header = ["Change", *(f"AP-Err raw, {head.name}" for head in HEADS), "gain over direct"]
    header += ["AP-Err", "AUC", "FPR95", "MAE", "P.C.", "MAE, direct", "P.C., direct"]
    msp = next(iter(rows.values()))[0]["MSP"].error_pooled
    assert msp is not None
    alone = ["MSP", *4 * ["-"], *(f"{100 * score:.1f}" for score in (msp.ap_error, msp.auroc, msp.fpr95)), *4 * ["-"]]
    return markdown(header, [alone, *(line(name, found) for name, found in rows.items())])


def line(name: str, found: list[Judged]) -> list[str]:
    *raw, gain, ap, auc, fpr95, mae, pearson, direct_mae, direct_pearson = map(
        Spread, zip(*map(numbers, found), strict=True)
    )
    shown = [ap, auc, fpr95, mae, pearson, direct_mae, direct_pearson]
    return [name, *map(str, raw), f"{100 * gain.mean:+.1f}", *map(str, shown)]


def numbers(found: Judged) -> list[float]:
    """The numbers of one row, for one F of each kind."""
    raw = [error_scores(found.get(head.name + RAW, found[head.name])).ap_error for head in HEADS]
    own, quality, direct = error_scores(found[SHIPPED.name]), found[SHIPPED.name].quality, found[DIRECT].quality
    assert quality is not None and direct is not None
    of_classes = [quality.mae, quality.pearson, direct.mae, direct.pearson]
    return [*raw, raw[-1] - raw[0], own.ap_error, own.auroc, own.fpr95, *of_classes]


def error_scores(result: DetectorResult) -> RankingScores:
    assert result.error_pooled is not None
    return result.error_pooled


if __name__ == "__main__":
    main()
