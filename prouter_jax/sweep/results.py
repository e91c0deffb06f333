"""Writes the results of a sweep (a hyperparameter search): results.json, results.md, results.png and best.py.

A trial is one configuration, trained with one or several seeds. best.py is an experiment file: Python source whose
`get_config()` returns the configuration of the best trial.

The best trial has the highest mean of its seeds' validation rewards.
"""

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from prouter_jax.config import ExperimentConfig, with_values
from prouter_jax.io import files
from prouter_jax.io.display import DASH, escape_markdown, markdown_table, provenance
from prouter_jax.io.paths import is_remote
from prouter_jax.report.plots import BLUE, GREY, ORANGE, draw_png, shorten
from prouter_jax.report.text import mean_text
from prouter_jax.report.types import SeedStatistics
from prouter_jax.search import Distribution, Space
from prouter_jax.sweep.space import Value, flag_text, to_json
from prouter_jax.sweep.trials import FAILED, PRUNED, SweepSpec, Trial

RESULTS, BEST = "results.md", "best.py"
_JSON, _PLOT = "results.json", "results.png"
_HOW_TO_READ = "Points are trials, whiskers the standard deviation over seeds, grey lines the mean of a value's trials."
_MAX_NAMES = 8  # trials named in a sentence

_COLUMNS = 3
_WIDTH, _HEIGHT = 3.7, 3.1  # inches of a panel
_JITTER = 0.22  # spread of the points of one list value, so that they do not hide each other
_LABEL_LENGTH = 16
_NARROW = 20  # a logarithmic axis that spans less may show no power of ten


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """A sweep that has ended.

    Attributes:
      experiment: the experiment file as given on the command line.
      spec: base configuration, space, kind of search and seed.
      trials: all trials by number.
    """

    experiment: str
    spec: SweepSpec
    trials: Sequence[Trial]


def write_results(result: SweepResult, workdir: pathlib.Path) -> list[str]:
    """Writes table, plot and best experiment into the sweep's workdir.

    Returns:
      The findings in sentences, the best trial first.
    """
    ranked = rank(result.trials)
    contents: dict[str, str | bytes] = {_JSON: _to_json(result, ranked), RESULTS: _to_markdown(result, ranked)}
    if ranked:
        contents[_PLOT] = draw_results(result.spec.space, ranked)
        contents[BEST] = _best_experiment(result, ranked, workdir / BEST)
    for name, content in contents.items():
        files.write_whole(workdir / name, content)
    return _findings(result, ranked)


def rank(trials: Iterable[Trial]) -> list[Trial]:
    """The finished trials, best mean validation reward first; equal ones by number."""
    found = [(reward, trial) for trial in trials if (reward := trial.reward) is not None]
    return [trial for _, trial in sorted(found, key=lambda one: (-one[0], one[1].number))]


def not_clearly_worse(ranked: Sequence[Trial]) -> list[Trial]:
    """Trials whose mean difference to the best, paired by seed, is at most its standard error; none for one seed."""
    return [trial for trial in ranked[1:] if _within_error(ranked[0].rewards, trial.rewards)]


def experiment_text(config: ExperimentConfig, docstring: str) -> str:
    """Python source in the style of experiments/ whose `get_config()` returns a configuration equal to `config`."""
    assignments = "".join(f"    config.{path} = {_literal(value)}\n" for path, value in _differences(config))
    lines = (line.encode("unicode_escape").decode("ascii").replace('"', r"\"") for line in docstring.split("\n"))
    text = "\n".join(lines)
    return (
        f'"""{text}\n"""\n\n'
        "from prouter_jax.config import ExperimentConfig\n\n\n"
        "def get_config() -> ExperimentConfig:\n"
        f"    config = ExperimentConfig()\n{assignments}    return config\n"
    )


def draw_results(space: Space, ranked: Sequence[Trial]) -> bytes:
    """A PNG file with a panel for each field; whiskers are the standard deviation over seeds, the best trial is orange.

    Args:
      ranked: trials that are done, best first.
    """
    columns = 2 if len(space) == 4 else min(_COLUMNS, len(space))
    rows = math.ceil(len(space) / columns)
    seeds = len(ranked[0].rewards)
    over = f", mean and standard deviation over {seeds} seeds" if seeds > 1 else ""

    def draw(figure) -> None:
        panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        for axes, (path, distribution) in zip(panels, space.items(), strict=False):
            axes.set_xlabel(shorten(path, 40))
            _draw_panel(axes, path, distribution, ranked)
        for axes in panels[len(space) :]:
            axes.remove()
        figure.suptitle(f"Validation reward of {len(ranked)} trials{over}; orange: the best, {ranked[0].name}", size=10)
        figure.supylabel("validation reward", size=10)

    return draw_png(draw, _WIDTH * max(columns, 2), _HEIGHT * rows + 0.3)  # two columns leave room for the title


def _differences(config: ExperimentConfig) -> Iterator[tuple[str, Any]]:
    """Path and value of each field that differs from its default."""

    def compare(found: Mapping, default: Mapping, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in found.items():
            if isinstance(value, dict):
                yield from compare(value, default[name], f"{prefix}{name}.")
            elif value != default[name]:
                yield f"{prefix}{name}", value

    return compare(dataclasses.asdict(config), dataclasses.asdict(ExperimentConfig()), "")


def _literal(value: Any) -> str:
    """The value in Python, in ASCII; a text in double quotes where that needs no escapes."""
    text = ascii(value)
    return f'"{value}"' if text == f"'{value}'" and '"' not in text else text


def _within_error(best: Sequence[float], other: Sequence[float]) -> bool:
    gaps = [one - two for one, two in zip(best, other, strict=True)]
    return len(gaps) > 1 and statistics.fmean(gaps) <= statistics.stdev(gaps) / math.sqrt(len(gaps))


def _findings(result: SweepResult, ranked: Sequence[Trial]) -> list[str]:
    lines = _best_lines(ranked) if ranked else ["No trial ended with a validation reward."]
    for state, text in ((PRUNED, "Given up because others did better"), (FAILED, "Failed twice")):
        names = [trial.name for trial in result.trials if trial.state == state]
        if names:
            lines.append(f"{text}: {_listed(names)}.")
    return lines


def _best_lines(ranked: Sequence[Trial]) -> list[str]:
    best = ranked[0]
    seeds = f" over {len(best.rewards)} seeds" if len(best.rewards) > 1 else ", one seed"
    values = ", ".join(f"{path}={_value_text(value)}" for path, value in best.values.items())
    reward = mean_text(SeedStatistics.of(best.rewards))
    lines = [f"Best of {len(ranked)}: trial {best.name}, validation reward {reward}{seeds} ({values})."]
    close = [trial.name for trial in not_clearly_worse(ranked)]
    if close:
        lines.append(f"Behind it by no more than a standard error, paired by seed: {_listed(close)}.")
    lines.append("The best of many trials is partly lucky: expect a lower reward on new data. No test score was read.")
    return lines


def _best_experiment(result: SweepResult, ranked: Sequence[Trial], path: pathlib.Path) -> str:
    best = ranked[0]
    # `--config` reads local files only, so a file in a bucket is copied first.
    copied = f", once this file is copied from {path.parent}" if is_remote(path) else ""
    docstring = (
        f"The best of {len(ranked)} trials of a sweep of {result.experiment}, on validation: trial {best.name}.\n\n"
        f"Validation reward: {best.reward:.4f}, mean of {len(best.rewards)} (seeds).\n"
        f"Command{copied}: prouter train --config={path.name if copied else path} --workdir=runs/best"
    )
    return experiment_text(with_values(result.spec.config, best.values), docstring)


def _to_json(result: SweepResult, ranked: Sequence[Trial]) -> str:
    rows = []
    for trial in result.trials:
        found = SeedStatistics.of(trial.rewards) if trial in ranked else None
        rows.append(dataclasses.asdict(trial) | ({"mean": found.mean, "spread": found.spread} if found else {}))
    tree = {
        "experiment": result.experiment,
        "search": result.spec.search,
        "seed": result.spec.seed,
        "space": to_json(result.spec.space),
        "best": ranked[0].number if ranked else None,
        "trials": rows,
        "facts": provenance(),
        "config": dataclasses.asdict(result.spec.config),
    }
    return json.dumps(files.jsonable(tree), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _to_markdown(result: SweepResult, ranked: Sequence[Trial]) -> str:
    paths, spec = list(result.spec.space), result.spec
    others = sorted((one for one in result.trials if one not in ranked), key=lambda one: (one.state, one.number))
    rows = [
        [trial.name, *(_value_text(trial.values[path]) for path in paths), *_outcome(trial)]
        for trial in [*ranked, *others]
    ]
    facts = {"experiment": result.experiment, "search": f"{spec.search}, seed {spec.seed}"} | provenance()
    parts = [
        f"# Sweep: {escape_markdown(spec.config.name)}",
        "\n".join(f"- {escape_markdown(line)}" for line in _findings(result, ranked)),
        *([f"![Validation reward by value]({_PLOT})", _HOW_TO_READ] if ranked else []),
        markdown_table(["trial", *paths, "validation reward", "seconds", "state"], rows),
        "## Facts",
        markdown_table(["fact", "value"], facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _outcome(trial: Trial) -> list[str]:
    reward = mean_text(SeedStatistics.of(trial.rewards)) if trial.rewards else DASH
    return [reward, f"{trial.seconds:.1f}", f"{trial.state}: {trial.reason}" if trial.state == FAILED else trial.state]


def _value_text(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else flag_text(value) or '""'


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"trial{'s' if len(names) > 1 else ''} {', '.join(names[:_MAX_NAMES])}{more}"


def _draw_panel(axes, path: str, distribution: Distribution, ranked: Sequence[Trial]) -> None:
    axes.grid(axis="y")
    if isinstance(distribution, CategoricalDistribution):
        x = _draw_list_axis(axes, path, distribution, ranked)
    else:
        x = _draw_range_axis(axes, path, distribution)
    for trial in reversed(ranked):
        deviation = statistics.stdev(trial.rewards) if len(trial.rewards) > 1 else None
        best = {"color": ORANGE, "zorder": 4, "markersize": 9, "alpha": 1.0}
        look = best if trial is ranked[0] else {"color": BLUE, "zorder": 3, "markersize": 5, "alpha": 0.7}
        axes.errorbar(x(trial), trial.reward, deviation, fmt="o", capsize=2, elinewidth=1, **look)


def _draw_range_axis(axes, path: str, distribution: FloatDistribution | IntDistribution) -> Callable[[Trial], float]:
    """Draws the axis; returns a trial's place on it."""
    if distribution.log:
        axes.set_xscale("log")
        narrow = distribution.high < _NARROW * distribution.low
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if narrow and f"{value:e}"[0] in "25" else "")
    axes.margins(x=0.06)
    return lambda trial: float(trial.values[path])


def _draw_list_axis(
    axes, path: str, distribution: CategoricalDistribution, ranked: Sequence[Trial]
) -> Callable[[Trial], float]:
    """Draws the axis, with a grey line at the mean of each value's trials; returns a trial's place on it."""
    values = list(distribution.choices)
    axes.set_xticks(range(len(values)), [shorten(flag_text(value) or '""', _LABEL_LENGTH) for value in values])
    axes.set_xlim(-0.6, len(values) - 0.4)
    for place, value in enumerate(values):
        rewards = [statistics.fmean(trial.rewards) for trial in ranked if trial.values[path] == value]
        if rewards:
            axes.hlines(statistics.fmean(rewards), place - 0.35, place + 0.35, color=GREY, linewidth=3, zorder=2)
    return lambda trial: values.index(trial.values[path]) + _JITTER * _jitter(trial.number)


def _jitter(number: int) -> float:
    """Between -1 and 1, different for numbers that are close."""
    return 2 * math.modf(number * 0.618034)[0] - 1
