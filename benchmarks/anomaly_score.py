"""How our anomaly score was chosen: candidates on provoked failures, without one anomaly and without a test image.

For every fold M is fitted without some classes and without some images; on those images the pixels of these classes
are unknown to it. Each candidate is ranked against them, fold by fold. Give the folder of a `synthcp reproduce table3`,
whose M and G are taken:

    python benchmarks/anomaly_score.py --data 'heldout:camvid:data/camvid?classes=Fence' --out out/fence

Without --data, tiny networks are fitted on drawn streets; that shows that the script works, and no more.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
from torch import Tensor

from synthcp.data.specs import open_dataset
from synthcp.detection.anomaly_fusion import AnomalyFusion, fit_fusion
from synthcp.detection.class_statistics import fit_class_statistics
from synthcp.detection.feature_distance import FeatureDistance
from synthcp.detection.logit_scores import energy, entropy, negative_max_logit, one_minus_msp
from synthcp.experiments.anomaly_run import AnomalyRun, open_run
from synthcp.experiments.provoked import Provoked, provoke
from synthcp.experiments.request import Request
from synthcp.experiments.spread import markdown
from synthcp.metrics.ranking import RankingScores, StreamingRanking
from synthcp.provenance import commit, hardware

TRAINED, UNTRAINED = "trained G", "untrained G"
Looks = dict[str, Tensor]
"""Of one image: logits, ground truth, and the disagreement with each generator's drawing, on the CPU."""
Candidate = Callable[[Looks], Tensor]
DRAWN = "scenes:?count=24&size=48x64"
WEIGHTS = (0.3, 0.6, 1.0)
SMOOTHINGS = (0.0, 1 / 144, 1 / 48)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="", help="SPEC of the training images")
    parser.add_argument("--out", type=Path, default=Path("out/anomaly"), help="folder of the runs")
    parser.add_argument("--model", default="pspnet")
    parser.add_argument("--scale", default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    request = Request(arguments.data, arguments.out, model=arguments.model, scale=arguments.scale)
    if request.data:
        measure(request, arguments.seed)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure(replace(request, data=DRAWN, out=Path(folder), scale="tiny"), arguments.seed)


def measure(request: Request, seed: int) -> None:
    run = open_run(request, open_dataset(request.data), seed)
    provoked = provoke(run.context)
    scores: defaultdict[str, list[RankingScores]] = defaultdict(list)
    for fold in provoked:
        looks = [look(run, fold, index) for index in fold.aside]
        for name, candidate in candidates(looks, fold, len(run.context.settings.classes)).items():
            scores[name].append(ranked(candidate, looks, fold, run))
    print(f"{len(run.context.dataset)} training images, seed {seed}, commit {commit()}, ", end="")
    print(f"{hardware(run.context.runtime.device)}; hidden classes by fold: {hidden_names(run, provoked)}\n")
    print(table(scores))


def look(run: AnomalyRun, fold: Provoked, index: int) -> Looks:
    """What there is to judge an image by."""
    sample, runtime = run.context.dataset[index], run.context.runtime
    assert sample.label_map is not None
    image, distance = runtime.send(sample.image[None]), FeatureDistance(fold.segmenter)
    with torch.no_grad(), runtime.autocast():
        prediction = fold.segmenter.predict("", image)
        drawn = {TRAINED: run.generator, UNTRAINED: run.untrained_generator}
        disagreements = {
            name: distance.disagreement(image, generator(prediction.label_map), prediction).float().cpu()
            for name, generator in drawn.items()
        }
    return {"logits": prediction.logits.float().cpu(), "truth": sample.label_map[None], **disagreements}


def candidates(looks: list[Looks], fold: Provoked, classes: int) -> dict[str, Candidate]:
    """Scores by name; what is usual is measured on the same images, whatever their pixels are."""
    fusions = {name: fit_fusion((one["logits"], one[name]) for one in looks) for name in (TRAINED, UNTRAINED)}
    maps = ((negative_max_logit(one["logits"]), one["logits"].argmax(1)) for one in looks)
    by_class = fit_class_statistics(maps, classes)
    ours = fusions[TRAINED]
    found: dict[str, Candidate] = {
        "msp": lambda one: one_minus_msp(one["logits"]),
        "entropy": lambda one: entropy(one["logits"]),
        "max-logit": lambda one: negative_max_logit(one["logits"]),
        "max-logit, standardized by class": lambda one: by_class.standardize(
            negative_max_logit(one["logits"]), one["logits"].argmax(1)
        ),
        "energy": lambda one: energy(one["logits"]),
    }
    for layer in range(looks[0][TRAINED].shape[1]):
        name = "recognition" if layer == 0 else f"eq. 9 at layer {layer}"
        found[name] = lambda one, layer=layer: one[TRAINED][:, layer]
    for weight in WEIGHTS:
        found[f"energy + {weight} log distance"] = fused(replace(ours, drawing=weight), TRAINED)
    for smoothing in SMOOTHINGS:
        found[f"ours, smoothed by {smoothing:.4f}"] = fused(replace(ours, smoothing=smoothing), TRAINED)
    found["ours, no drawing"] = fused(replace(ours, drawing=0.0), TRAINED)
    found["ours, untrained G"] = fused(fusions[UNTRAINED], UNTRAINED)
    found["ours"] = fused(ours, TRAINED)
    return found


def fused(fusion: AnomalyFusion, drawing: str) -> Candidate:
    return lambda one: fusion(one["logits"], one[drawing])


def ranked(candidate: Candidate, looks: list[Looks], fold: Provoked, run: AnomalyRun) -> RankingScores:
    """How well a candidate ranks the hidden classes first, all images of the fold together."""
    ranking, ignore = StreamingRanking(), run.context.settings.classes.ignore_index
    for one in looks:
        known = one["truth"] != ignore
        ranking.update(candidate(one)[known], torch.isin(one["truth"], torch.tensor(fold.hidden))[known])
    return ranking.compute()


def table(scores: dict[str, list[RankingScores]]) -> str:
    rows = []
    for name, folds in scores.items():
        means = [sum(getattr(fold, score) for fold in folds) / len(folds) for score in ("auroc", "ap_error", "fpr95")]
        reference = scores["msp"]
        ratios = [f"{fold.ap_error / base.ap_error:.2f}" for fold, base in zip(folds, reference, strict=True)]
        rows.append([name, *(f"{100 * mean:.1f}" for mean in means), " ".join(ratios)])
    return markdown(["Score", "AUROC", "AUPR", "FPR95", "AUPR / msp, by fold"], rows)


def hidden_names(run: AnomalyRun, provoked: list[Provoked]) -> str:
    names = run.context.settings.classes.names
    return "; ".join(", ".join(names[label] for label in fold.hidden) for fold in provoked)


if __name__ == "__main__":
    main()
