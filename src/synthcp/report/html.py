"""The report: one HTML file, built from an output folder alone, whose pictures lie beside it.

A run of any size gives a page that opens at once: the worst images have a card, the others a line with links.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from synthcp.errors import InputError, shown
from synthcp.evaluation.results import Results
from synthcp.records import Classes
from synthcp.report.annotate import read_choice
from synthcp.report.cards import VIEWS, Card, card_of, hex_color, line_of
from synthcp.report.figures import quality_scatter, to_svg
from synthcp.report.glance import CARDS, STEPS, Glances
from synthcp.report.metric_tables import headline, mean_name, mean_note, percent, tables
from synthcp.report.outputs import RunSettings, read_settings
from synthcp.report.pictures import IGNORED_COLOR, heat_colors
from synthcp.report.planes import PLANES, RULE
from synthcp.report.rows import ResultRow, mean, read_rows
from synthcp.report.tables import from_json
from synthcp.report.trust import trust_of
from synthcp.system.files import save_text
from synthcp.system.regular import MEBIBYTE, require_file

_TEMPLATES = Path(__file__).parent
_DEFAULT_THRESHOLD = 0.5
LINES = 5_000
"""How many more images the page names, with links to their maps, than it shows."""


@dataclass(frozen=True)
class Fact:
    """One number at the top of the report."""

    name: str
    value: str
    note: str = ""
    alarming: bool = False


def write_report(out: Path, limit: int = CARDS, glances: Glances | None = None) -> Path:
    """Writes report.html and returns its path.

    `limit` images have a card: those chosen for annotation, in the order of the choice, then the worst. The others have
    a line with links to their maps. Of an image whose maps were glanced at as they were written no file is read.

    Raises:
        InputError: A file of the folder is missing or broken, or the report cannot be written.
    """
    settings, rows, results = read_settings(out), read_rows(out), _read_results(out)
    scored, choice = sorted((row for row in rows if row.status == "ok"), key=_worst_first), read_choice(out)
    first = sorted(scored, key=lambda row: choice.get(row.id, math.inf))[:limit]
    seen = glances.by_id() if glances else {}
    worst = sorted(first, key=_worst_first)
    cards = [card_of(out, row, settings, choice.get(row.id), seen.get(row.id)) for row in worst]
    others = _others(scored, first)
    report = (
        environment()
        .get_template("report.html.j2")
        .render(
            settings=settings,
            summary=_summary(rows, "volumes" if settings.has_volumes else "images"),
            facts=_facts(rows, results, len(choice), "Volumes" if settings.has_volumes else "Images"),
            tables=tables(results) if results else (),
            scatter=_scatter(scored, results, settings),
            trust=trust_of(scored, settings.thresholds, settings.measure),
            cards=cards,
            lines=[line_of(out, row, settings, choice.get(row.id)) for row in others[:LINES]],
            left_out=len(others[LINES:]),
            views=[view for view in VIEWS if any(view in card.pictures for card in cards)],
            legend=_legend(settings.classes, cards),
            heat=", ".join(hex_color(tuple(color)) for color in heat_colors()[::15].tolist()),
            steps=STEPS,
            threshold=_threshold_step(settings),
            objects_hint=_objects_hint(settings),
            planes=PLANES,
            rule=RULE,
            failed=[row for row in rows if row.status == "error"],
            details=_details(settings, results),
        )
    )
    save_text(out / "report.html", report)
    return out / "report.html"


def environment() -> Environment:
    """The templates of this folder; everything that is put into them is shown and escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["place"] = lambda share: f"{share:.2f}%"
    environment.filters["quality"] = lambda value: "–" if math.isnan(value) else f"{value:.2f}"
    environment.filters["signed"] = lambda value: "–" if math.isnan(value) else f"{value:+.2f}".replace("-", "−")
    environment.filters["point"] = lambda point: ", ".join(f"{along:.1f}" for along in point).replace("-", "−")
    environment.filters["millilitres"] = lambda volume: f"{volume / 1000:.3g} ml"
    environment.tests["undefined_number"] = math.isnan
    return environment


def _shown(value: object) -> object:
    """A text as a page may show it; what is markup stays."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _read_results(out: Path) -> Results | None:
    path = out / "metrics.json"
    if not path.exists():
        return None
    require_file(path, 512 * MEBIBYTE)
    try:
        return from_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); run synthcp eval again") from error


def _others(scored: Sequence[ResultRow], first: Sequence[ResultRow]) -> list[ResultRow]:
    """Those without a card, worst first."""
    carded = set(map(id, first))
    return [row for row in scored if id(row) not in carded]


def _worst_first(row: ResultRow) -> float:
    return math.inf if math.isnan(row.error_share) else -row.error_share


def _summary(rows: Sequence[ResultRow], images: str) -> str:
    """The one line to read."""
    scored = [row for row in rows if row.status == "ok"]
    alarmed, failed = sum(bool(row.alarms) for row in scored), len(rows) - len(scored)
    verb = "raises" if alarmed == 1 else "raise"
    alarms = (
        f"{alarmed} of {len(scored)} {images} {verb} an alarm" if alarmed else f"No alarm in {len(scored)} {images}"
    )
    decided = [f"{_reviewed(scored)} to review"] if any(row.decision for row in scored) else []
    return "; ".join([alarms, *decided, *([f"{failed} could not be scored"] if failed else [])]) + "."


def _facts(rows: Sequence[ResultRow], results: Results | None, chosen: int, images: str) -> list[Fact]:
    alarmed, failed = sum(bool(row.alarms) for row in rows), sum(row.status == "error" for row in rows)
    true_share = mean(row.true_error_share for row in rows)
    facts = [
        Fact(images, str(len(rows))),
        Fact("With alarms", str(alarmed), alarming=alarmed > 0),
        *([Fact("To review", str(_reviewed(rows)))] if any(row.decision for row in rows) else []),
        Fact("Failed", str(failed), alarming=failed > 0),
        Fact("Mean expected error", f"{percent(mean(row.error_share for row in rows))} %", _true_note(true_share)),
    ]
    facts += [Fact("To annotate", str(chosen), "bad, and different from each other")] if chosen else []
    return facts + (_evaluation_facts(results) if results else [])


def _reviewed(rows: Sequence[ResultRow]) -> int:
    return sum(row.decision == "review" for row in rows)


def _true_note(share: float) -> str:
    return "" if math.isnan(share) else f"true error {percent(share)} %"


def _evaluation_facts(results: Results) -> list[Fact]:
    name, value = f"{mean_name(results.measure)} of the segmenter", f"{percent(results.mean_quality)} %"
    facts = [Fact(name, value, mean_note(results))]
    shipped = headline(results)
    if shipped is not None and shipped.error_pooled is not None:
        chance = f"chance {percent(shipped.error_pooled.prevalence)} %, {shipped.name}"
        facts.append(Fact("AP-Error, pooled", f"{percent(shipped.error_pooled.ap_error)} %", chance))
    return facts


def _scatter(rows: Sequence[ResultRow], results: Results | None, settings: RunSettings) -> Markup:
    """An <svg> of matplotlib, which escapes its texts; empty without ground truth."""
    pairs = results.class_quality if results else _class_quality(rows, settings.classes)
    return Markup(to_svg(quality_scatter(pairs, settings.measure))) if any(pairs.values()) else Markup("")


def _class_quality(rows: Sequence[ResultRow], classes: Classes) -> Mapping[str, list[tuple[float, float]]]:
    """(true, predicted) quality per class but the background, of the images where both are known."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name in classes.structures:
            true, predicted = (part.get(name, math.nan) for part in (row.true_class_quality, row.class_quality))
            if not math.isnan(true + predicted):
                pairs.setdefault(name, []).append((true, predicted))
    return pairs


def _legend(classes: Classes, cards: Sequence[Card]) -> list[tuple[str, str]]:
    """Name and colour of every class but the background, which shows the image, and of the pixels that have none."""
    named = zip(classes.names, classes.colors, strict=True)
    legend = [(name, hex_color(color)) for name, color in named if name in classes.structures]
    has_truth = any(view.key == "truth" for card in cards for view in card.pictures)
    return [*legend, ("not judged", hex_color(IGNORED_COLOR))] if has_truth else legend


def _threshold_step(settings: RunSettings) -> int:
    return round(min(max(settings.thresholds.get("error", _DEFAULT_THRESHOLD), 0.0), 1.0) * STEPS)


def _objects_hint(settings: RunSettings) -> str:
    threshold = settings.thresholds.get("anomaly")
    told = "" if threshold is None else f", {threshold:.3g}"
    return (
        f"Connected pixels whose anomaly score is above the threshold of the monitor{told}; the error threshold does "
        "not move them"
    )


def _details(settings: RunSettings, results: Results | None) -> list[tuple[str, str]]:
    """Everything about the run that is known, name and value."""
    facts = {name: str(getattr(settings, name)) for name in ("command", "data", "monitor", "variant", "scale", "seed")}
    facts["created"] = settings.created
    facts |= {f"promise, {subject}": sentence for subject, sentence in settings.promise.items()}
    facts |= {f"threshold, {name}": f"{value:.4g}" for name, value in settings.thresholds.items()}
    facts |= {name: str(value) for name, value in results.settings.items()} if results else {}
    facts |= {f"version of {name}": version for name, version in settings.versions.items()}
    return [(name, value) for name, value in facts.items() if value]
