"""Tables in words and cells, as the Markdown, the page and README show them; unknown numbers are a dash."""

import math
from collections.abc import Iterable, Sequence

from prouter_jax.metrics import Interval
from prouter_jax.protocol.definition import ABLATION, Finding
from prouter_jax.protocol.table import ORACLE, WORTH, Cell, Table, baselines, brings, sign
from prouter_jax.report.types import ROUTER, PairedDifference, Spread
from prouter_jax.report.words import DASH, number, percent, spread

MET, NOT_MEASURED = "met", "not measured"
HOW_TO_READ = (
    "Gains are the router minus a policy on the same seeds and the same test decisions, with a 95 % interval; above 0 "
    "the router is better, also where less of the metric is better. The best tuned baseline is chosen on validation. "
    "Brings: how much better the fully trained score is than the blind one; above blind: how much better the router is "
    "than that. Share recovered: 0 % is the blind score, 100 % the fully trained one, where more than "
    f"{WORTH} is brought."
)
Rows = list[list[str]]
_NAMES = {"reward": "reward", "accuracy": "accuracy", "top2": "top 2", "log_loss": "log loss"}


def missed(by: float) -> str:
    """`missed by 0.0012`."""
    return f"missed by {number(by)}" if by >= 0.00005 else "missed by less than 0.0001"


def finding_words(found: Finding) -> str:
    """`0.9510 in choices, k = 30`."""
    return f"{number(found.value)} in {found.where}"


def metric_name(metric: str) -> str:
    """A metric as readers know it."""
    return _NAMES.get(metric, metric)


def gain_words(found: PairedDifference | None) -> str:
    """`+0.0012 (+0.0004 to +0.0020)`, the mean alone where there is no interval."""
    if found is None or not math.isfinite(found.mean):
        return DASH
    return number(found.mean, sign=True) + _limits(found, lambda x: number(x, sign=True))


def share_words(found: Interval) -> str:
    """`81.0 % (75.0 % to 87.0 %)`."""
    return percent(found.mean) + _limits(found, percent)


def duration(seconds: float) -> str:
    """`48 s`, `12 min`, `1 h 40 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def cell_name(cell: Cell) -> str:
    """The setting, with its k."""
    return cell.setting if cell.k is None else f"{cell.setting}, k = {cell.k}"


def ranked(cell: Cell) -> list[str]:
    """All policies, best first by the cell's metric, unknown last."""
    mean = {name: sign(cell.metric) * value(cell, name).mean for name in cell.rows}
    return sorted(mean, key=lambda name: (-mean[name] if math.isfinite(mean[name]) else math.inf, name))


def value(cell: Cell, policy: str) -> Spread:
    """The cell's metric of a policy, NaN where it was not measured."""
    row = cell.rows.get(policy)
    return row.metrics[cell.metric] if row and cell.metric in row.metrics else Spread(math.nan, 0.0, [])


def policy_table(cell: Cell, most: int | None = None) -> tuple[list[str], Rows]:
    """Columns and rows of the policies of a cell, best first.

    Args:
      most: so many rows; the router, the best baseline and the oracle are always among them.
    """
    others = dict.fromkeys(m for row in cell.rows.values() for m in row.metrics if m != cell.metric)
    names = ranked(cell)
    always = {ROUTER, ORACLE, cell.best_baseline}
    room = math.inf if most is None else most - sum(name in always for name in names)
    free = [name for name in names if name not in always]
    shown = [name for name in names if name in always or free.index(name) < room]
    columns = ["policy", metric_name(cell.metric), "router's gain", "share recovered", *map(metric_name, others)]
    return _without_empty(columns, [_policy_row(cell, name, others) for name in shown])


def summary_table(table: Table) -> tuple[list[str], Rows]:
    """Columns and rows of a table, a row for each cell; of an ablation, one for each part of the router."""
    if table.kind == ABLATION:
        columns = ["setting", "k", "router", "changed", "score", "router's gain", "verdict", "metric", "seeds"]
        return _without_empty(columns, [_part_row(cell, name) for cell in table.cells for name in baselines(cell)])
    columns = ["setting", "k", "router", "best tuned baseline", "router's gain", "verdict", "brings",
               "above blind", "share recovered", "oracle", "metric", "seeds"]  # fmt: skip
    return _without_empty(columns, [_cell_row(cell) for cell in table.cells])


def useless_parts(table: Table) -> Rows:
    """What an ablation shows not to help: setting, policy and gain of parts whose gain may be chance, or is none."""
    found = [(cell, name, cell.rows[name].gains.get(cell.metric)) for cell in table.cells for name in baselines(cell)]
    return [
        [cell_name(cell), name, gain_words(gain)]
        for cell, name, gain in found
        if table.kind == ABLATION and gain is not None and math.isfinite(gain.mean) and not gain.low > 0
    ]


def _cell_row(cell: Cell) -> list[str]:
    best = cell.rows.get(cell.best_baseline)
    found = best.gains.get(cell.metric) if best else None
    named = f"{number(value(cell, cell.best_baseline).mean)} {cell.best_baseline}" if best else DASH
    return [*_place(cell), number(value(cell, ROUTER).mean), named, gain_words(found), _chance(found),
            *_recovered(cell), number(value(cell, ORACLE).mean), *_what(cell)]  # fmt: skip


def _recovered(cell: Cell) -> list[str]:
    """What there is to be learnt, how much the router has learnt of it, and as a share."""
    learnt = sign(cell.metric) * (value(cell, ROUTER).mean - cell.blind.mean)
    return [number(brings(cell), sign=True), number(learnt, sign=True), _share(cell, ROUTER)]


def _share(cell: Cell, policy: str) -> str:
    return share_words(cell.rows[policy].share) if brings(cell) > WORTH else DASH


def _part_row(cell: Cell, name: str) -> list[str]:
    found = cell.rows[name].gains.get(cell.metric)
    scores = [number(value(cell, policy).mean) for policy in (ROUTER, name)]
    return [*_place(cell), scores[0], name, scores[1], gain_words(found), _chance(found), *_what(cell)]


def _place(cell: Cell) -> list[str]:
    return [cell.setting, DASH if cell.k is None else str(cell.k)]


def _what(cell: Cell) -> list[str]:
    return [metric_name(cell.metric), str(len(cell.seeds))]


def _policy_row(cell: Cell, name: str, others: Iterable[str]) -> list[str]:
    row = cell.rows[name]
    rest = [_other(metric, row.metrics[metric]) if metric in row.metrics else DASH for metric in others]
    gain = gain_words(row.gains.get(cell.metric)) if name != ORACLE else DASH
    return [name, spread(value(cell, name)), gain, _share(cell, name), *rest]


def _other(metric: str, measured: Spread) -> str:
    return f"{measured.mean:.1f}" if metric == "seconds" and math.isfinite(measured.mean) else number(measured.mean)


def _chance(found: PairedDifference | None) -> str:
    """Whether a gain is beyond chance, in a word or two."""
    if found is None or not math.isfinite(found.high - found.low):
        return DASH
    return "unclear" if found.low <= 0 <= found.high else "gain" if found.low > 0 else "loss"


def _limits(found: PairedDifference | Interval, form) -> str:
    return f" ({form(found.low)} to {form(found.high)})" if math.isfinite(found.high - found.low) else ""


def _without_empty(columns: Sequence[str], rows: Rows) -> tuple[list[str], Rows]:
    """Columns that say nothing in any row are left out."""
    kept = [place for place in range(len(columns)) if any(row[place] != DASH for row in rows)]
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]
