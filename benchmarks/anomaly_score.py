"""How our anomaly score was chosen: candidates on provoked failures, without one anomaly and without a test image.

For every fold M is fitted without some classes and without some images; on those images the pixels of these classes
are unknown to it. Each candidate is ranked against them, class by class. Give the folder of a `synthcp reproduce
table3`, whose M and G are taken:

    python benchmarks/anomaly_score.py --data 'heldout:camvid:data/camvid?classes=Fence' --out out/fence

Without --data, tiny networks are fitted on drawn streets; that shows that the script works, and no more.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
from provoked import Provoked, provoke
from torch import Tensor

from synthcp.comparison.anomaly_fusion import AnomalyFusion, cues_of, fit_fusion
from synthcp.comparison.evidence import Evidence
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.logit_scores import energy, entropy, negative_max_logit, one_minus_msp
from synthcp.data.specs import open_dataset
from synthcp.experiments.page import markdown
from synthcp.experiments.request import Request
from synthcp.experiments.runs import open_runs
from synthcp.experiments.table3 import TABLE3
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.heads import SYNTHCP, UNTRAINED
from synthcp.metrics.ranking import RankingScores, StreamingRanking
from synthcp.rivals.standardized_max_logits import fit_class_statistics
from synthcp.system.provenance import commit, hardware

TRAINED, FRESH = "trained G", "untrained G"
Looks = dict[str, Tensor]
"""Of one image: logits, ground truth, eq. 9 at every layer, and the cues with the synthesis of each G, on the CPU."""
Candidate = Callable[[Looks], Tensor]
DRAWN = "scenes:?count=24&size=48x64"
WEIGHTS = {
    "entropy and energy": (1.0, 1.0, 0.0, 0.0),
    "entropy and synthesis": (1.0, 0.0, 0.6, 0.0),
    "energy and synthesis": (0.0, 1.0, 0.6, 0.0),
    "entropy, energy, synthesis": (1.0, 1.0, 0.6, 0.0),
    "entropy, energy, objectness (ours, no synthesis)": (1.0, 1.0, 0.0, 1.0),
    "ours, synthesis 0.3": (1.0, 1.0, 0.3, 1.0),
    "ours, synthesis 1.2": (1.0, 1.0, 1.2, 1.0),
    "ours, objectness 0.6": (1.0, 1.0, 0.6, 0.6),
}
SMOOTHINGS = {"ours, not smoothed": 0.0, "ours, smoothed three times as wide": 1 / 48}


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
    (run,) = open_runs(TABLE3, request, open_dataset(request.data), seed).values()
    provoked = provoke(run.context)
    scores: defaultdict[str, dict[str, RankingScores]] = defaultdict(dict)
    names = run.context.settings.classes.names
    for fold in provoked:
        looks = [look(run, fold, index) for index in fold.aside]
        for name, candidate in candidates(looks, len(names)).items():
            for hidden in fold.hidden:
                scores[name][names[hidden]] = ranked(candidate, looks, fold, hidden, run)
    print(f"{len(run.context.dataset)} training images, seed {seed}, commit {commit()}, ", end="")
    print(f"{hardware(run.context.runtime.device)}\n\n{table(scores)}")


def look(run: FitData, fold: Provoked, index: int) -> Looks:
    """What there is to judge an image by."""
    sample, runtime = run.context.dataset[index], run.context.runtime
    assert sample.label_map is not None
    image, distance = runtime.send(sample.image[None]), FeatureDistance(fold.segmenter)
    with torch.no_grad(), runtime.autocast():
        prediction = fold.segmenter.predict("", image)
        objectness = distance.objectness(image, prediction)
        found = {"logits": prediction.logits, "truth": sample.label_map[None]}
        for name, generator in ((TRAINED, run.generators[SYNTHCP]), (FRESH, run.generators[UNTRAINED])):
            synthesis = generator(prediction.label_map, image)
            feature_distances = distance.feature_distances(image, synthesis, prediction)
            found[name] = cues_of(Evidence(image, synthesis, prediction.logits, feature_distances, objectness))
            found[f"eq. 9, {name}"] = feature_distances[:, 1:]
    return {name: part.cpu() for name, part in found.items()}


def candidates(looks: list[Looks], classes: int) -> dict[str, Candidate]:
    """Scores by name; what is usual is measured on the same images, whatever their pixels are."""
    fusions = {name: fit_fusion(one[name] for one in looks) for name in (TRAINED, FRESH)}
    maps = ((negative_max_logit(one["logits"]), one["logits"].argmax(1)) for one in looks)
    by_class, ours = fit_class_statistics(maps, classes), fusions[TRAINED]
    found: dict[str, Candidate] = {
        "msp": lambda one: one_minus_msp(one["logits"]),
        "entropy": lambda one: entropy(one["logits"]),
        "max-logit": lambda one: negative_max_logit(one["logits"]),
        "max-logit, standardized by class": lambda one: by_class.standardize(
            negative_max_logit(one["logits"]), one["logits"].argmax(1)
        ),
        "energy": lambda one: energy(one["logits"]),
    }
    for layer in range(looks[0][f"eq. 9, {TRAINED}"].shape[1]):
        found[f"eq. 9 at layer {layer + 1}"] = lambda one, layer=layer: one[f"eq. 9, {TRAINED}"][:, layer]
    for name, weights in WEIGHTS.items():
        found[name] = fused(replace(ours, weights=weights), TRAINED)
    for name, smoothing in SMOOTHINGS.items():
        found[name] = fused(replace(ours, smoothing=smoothing), TRAINED)
    found["ours, untrained G"] = fused(fusions[FRESH], FRESH)
    found["ours"] = fused(ours, TRAINED)
    return found


def fused(fusion: AnomalyFusion, generator: str) -> Candidate:
    return lambda one: fusion(one[generator])


def ranked(candidate: Candidate, looks: list[Looks], fold: Provoked, hidden: int, run: FitData) -> RankingScores:
    """How well a candidate ranks one hidden class above all known pixels, all images of the fold together."""
    ranking, ignore = StreamingRanking(), run.context.settings.classes.ignore_index
    others = torch.tensor([label for label in fold.hidden if label != hidden] + [ignore])
    for one in looks:
        judged = ~torch.isin(one["truth"], others)
        ranking.update(candidate(one).float()[judged], (one["truth"] == hidden)[judged])
    return ranking.compute()


def table(scores: dict[str, dict[str, RankingScores]]) -> str:
    """AUPR of every hidden class, its ratio to MSP's, and the geometric mean of the ratios."""
    classes, base = list(scores["msp"]), scores["msp"]
    rows = []
    for name, found in scores.items():
        ratios = {label: found[label].ap_error / base[label].ap_error for label in classes}
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        cells = [f"{100 * found[label].ap_error:.1f} ({ratio:.2f})" for label, ratio in ratios.items()]
        rows.append([name, f"{mean:.2f}", *cells])
    return markdown(["Score", "AUPR / msp, geometric mean", *(f"AUPR (/ msp), {label}" for label in classes)], rows)


if __name__ == "__main__":
    main()
