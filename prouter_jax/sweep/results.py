"""What a sweep found: results.json, results.md with its plot results.png, and the best trial as an experiment."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

from prouter_jax.config import ExperimentConfig
from prouter_jax.io import files, markdown
from prouter_jax.io.numbers import DASH
from prouter_jax.io.paths import is_remote
from prouter_jax.io.provenance import provenance
from prouter_jax.report.text import mean_text
from prouter_jax.report.write import jsonable
from prouter_jax.sweep.experiment_file import experiment_text
from prouter_jax.sweep.fields import Value, flag_text, with_values
from prouter_jax.sweep.plot import draw_results
from prouter_jax.sweep.ranking import not_clearly_worse, rank, reward_of
from prouter_jax.sweep.space import Dimension
from prouter_jax.sweep.trials import FAILED, PRUNED, Trial

RESULTS, BEST = "results.md", "best.py"
_JSON, _PLOT = "results.json", "results.png"
_HOW_TO_READ = "Points are trials, whiskers the standard deviation over seeds, grey lines the mean of a value's trials."


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """A sweep that has ended.

    Attributes:
      experiment: the experiment file as it was named.
      config: what trials have besides their values.
    """

    experiment: str
    config: ExperimentConfig
    search: str
    seed: int
    space: Sequence[Dimension]
    trials: Sequence[Trial]


def write_results(result: SweepResult, workdir: pathlib.Path) -> list[str]:
    """Writes table, plot and best experiment, each whole, into the sweep's workdir; what was found, in sentences."""
    ranked = rank(result.trials)
    contents: dict[str, str | bytes] = {_JSON: _to_json(result, ranked), RESULTS: _to_markdown(result, ranked)}
    if ranked:
        contents[_PLOT] = draw_results(result.space, ranked)
        contents[BEST] = _best_experiment(result, ranked, workdir / BEST)
    for name, content in contents.items():
        files.write_whole(workdir / name, content)
    return headline(result)


def headline(result: SweepResult) -> list[str]:
    """What was found, in plain sentences; the first is the result."""
    ranked = rank(result.trials)
    lines = _best_lines(ranked) if ranked else ["No trial ended with a validation reward."]
    counts = {state: [trial.name for trial in result.trials if trial.state == state] for state in (PRUNED, FAILED)}
    if counts[PRUNED]:
        lines.append(f"Given up because others did better: {_listed(counts[PRUNED])}.")
    if counts[FAILED]:
        lines.append(f"Failed twice: {_listed(counts[FAILED])}.")
    return lines


def _best_lines(ranked: Sequence[Trial]) -> list[str]:
    best = ranked[0]
    seeds = f" over {len(best.rewards)} seeds" if len(best.rewards) > 1 else ", one seed"
    lines = [f"Best of {len(ranked)}: trial {best.name}, validation reward {mean_text(reward_of(best))}{seeds}"
             f" ({_words(best.values)})."]  # fmt: skip
    close = [trial.name for trial in not_clearly_worse(ranked)]
    if close:
        lines.append(f"Behind it by no more than a standard error, paired by seed: {_listed(close)}.")
    lines.append("The best of many is so partly by chance: expect less of it on new data. No test score was read.")
    return lines


def _best_experiment(result: SweepResult, ranked: Sequence[Trial], path: pathlib.Path) -> str:
    best = ranked[0]
    # flags read an experiment file of this machine alone
    copied = f", once this file is copied from {path.parent}" if is_remote(path) else ""
    lines = [
        f"The best of {len(ranked)} trials of a sweep of {result.experiment}, on validation: trial {best.name}.",
        "",
        f"Validation reward: {reward_of(best).mean:.4f}, mean of {len(best.rewards)} (seeds).",
        f"Command{copied}: python -m launch.train --config={path.name if copied else path} --workdir=runs/best",
    ]
    return experiment_text(with_values(result.config, best.values), lines)


def _to_json(result: SweepResult, ranked: Sequence[Trial]) -> str:
    summaries = {trial.number: reward_of(trial) for trial in ranked}
    rows = []
    for trial in result.trials:
        found = summaries.get(trial.number)
        numbers = {"mean": found.mean, "spread": found.spread} if found else {}
        rows.append(dataclasses.asdict(trial) | numbers)
    tree = {
        "experiment": result.experiment,
        "search": result.search,
        "seed": result.seed,
        "space": [dataclasses.asdict(one) for one in result.space],
        "best": ranked[0].number if ranked else None,
        "trials": rows,
        "facts": provenance(),
        "config": dataclasses.asdict(result.config),
    }
    return json.dumps(jsonable(tree), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _to_markdown(result: SweepResult, ranked: Sequence[Trial]) -> str:
    fields = [one.path for one in result.space]
    others = sorted((one for one in result.trials if one not in ranked), key=lambda one: (one.state, one.number))
    rows = [
        [trial.name, *(_cell(trial.values[path]) for path in fields), *_outcome(trial)] for trial in [*ranked, *others]
    ]
    facts = {"experiment": result.experiment, "search": f"{result.search}, seed {result.seed}"} | provenance()
    parts = [
        f"# Sweep: {markdown.cell(result.config.name)}",
        "\n".join(f"- {markdown.cell(line)}" for line in headline(result)),
        *([f"![Validation reward by value]({_PLOT})", _HOW_TO_READ] if ranked else []),
        markdown.table(["trial", *fields, "validation reward", "seconds", "state"], rows),
        "## Facts",
        markdown.table(["fact", "value"], facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _outcome(trial: Trial) -> list[str]:
    reward = mean_text(reward_of(trial)) if trial.rewards else DASH
    return [reward, f"{trial.seconds:.1f}", f"{trial.state}: {trial.reason}" if trial.state == FAILED else trial.state]


def _words(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{path}={_cell(value)}" for path, value in values.items())


def _cell(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else flag_text(value) or '""'


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"trial{'s' if len(names) > 1 else ''} {', '.join(names[:most])}{more}"
