"""Converts a gateway's request logs to a folder of tables for train and off_policy.

prouter logs --input=day1.jsonl,day2.csv.gz --out=FOLDER [--preset=litellm --hash_key_variable=LOG_KEY --mask]

A row is a request: user, prompt or messages, model (the one served), and optionally candidates, input_tokens,
output_tokens, cost, latency, thumb (up, down) or rating, time, propensity (the probability with which that model was
picked) and task. --columns=user=request.user,model=deployment names columns, nested ones by their path. --dry_run shows
what each column was taken for and writes nothing. Rows that cannot be used are dropped and counted by reason.
"""

import sys

from absl import flags

from prouter_jax.io.display import on_progress

from . import entry

_INPUT = flags.DEFINE_list(
    "input",
    None,
    "Log files: .jsonl, .json, .csv (also with .gz) or .parquet; folders of them, and paths with *.",
    required=True,
)
_OUT = flags.DEFINE_string("out", None, "Folder of the tables.")
_PRESET = flags.DEFINE_string(
    "preset", None, "The gateway that wrote the log: litellm, langfuse, openai_batch, openrouter, ..."
)
_COLUMNS = flags.DEFINE_string("columns", None, "FIELD=COLUMN,... where a column has another name than usual.")
_THUMBS = flags.DEFINE_string("thumbs", None, "UP:DOWN or UP:DOWN:NONE, the values of thumbs if they are not found.")
_RATING_RANGE = flags.DEFINE_string("rating_range", None, "LOW:HIGH of the ratings, which become 0 and 1.")
_STRICT = flags.DEFINE_boolean("strict", False, "Stop at the first row that cannot be used.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Read the log and show what was found; write nothing.")
_HASH = flags.DEFINE_string("hash_key_variable", None, "Environment variable with the key that users are hashed with.")
_MASK = flags.DEFINE_boolean(
    "mask", False, "Mask secrets and e-mail addresses in all texts, see docs/logs.md (pip install 'prouter-jax[mask]')."
)
_MERGE_NEAR = flags.DEFINE_float(
    "merge_near", None, "Cosine of text vectors from which on two queries are one.", lower_bound=0.5, upper_bound=1.0
)

_SECONDS_ON_TERMINAL, _SECONDS_IN_LOG = 1.0, 30.0


def _files() -> list:
    """The files of --input: those of a folder, and those that fit a path with *."""
    from prouter_jax.data.tables.file_forms import data_files
    from prouter_jax.io.paths import make_path

    paths = [make_path(name) for name in _INPUT.value]
    return [file for path in paths for file in (data_files(path) if path.is_dir() or "*" in path.name else [path])]


def main() -> None:
    from prouter_jax.data.logs.convert import convert_log, examine_log
    from prouter_jax.data.logs.summary import summary_lines

    options = _options()
    pause = _SECONDS_ON_TERMINAL if sys.stderr.isatty() else _SECONDS_IN_LOG
    progress = on_progress("rows", pause)
    if _DRY_RUN.value:
        counts, examples = examine_log(_files(), options, progress)
        print(examples + "\n")
    elif _OUT.value:
        counts = convert_log(_files(), _OUT.value, options, progress)
    else:
        raise ValueError("--out: expected a folder for the tables, found none (or --dry_run)")
    print("\n".join(summary_lines(counts)))
    users = "hashed" if options.hash_key else "as they are in the log"
    users += ", addresses under a key that is gone" if options.mask and not options.hash_key else ""
    print(f"users: {users}; tables: {'none, a dry run' if _DRY_RUN.value else _OUT.value}")


def _options():
    from prouter_jax.data.logs.convert import Options
    from prouter_jax.data.logs.fields import FIELDS, named_columns, parse_columns
    from prouter_jax.data.logs.presets import find_preset
    from prouter_jax.data.logs.privacy import read_key
    from prouter_jax.data.logs.requests import parse_range
    from prouter_jax.data.logs.thumbs import parse_thumbs

    preset = find_preset(_PRESET.value) if _PRESET.value else None
    usual = preset.columns if preset else FIELDS
    return Options(
        columns=parse_columns(_COLUMNS.value or "", usual),
        named=tuple(named_columns(_COLUMNS.value or "")),
        preset=preset,
        thumbs=parse_thumbs(_THUMBS.value) if _THUMBS.value else None,
        rating_range=parse_range(_RATING_RANGE.value) if _RATING_RANGE.value else None,
        strict=_STRICT.value,
        hash_key=read_key(_HASH.value) if _HASH.value else None,
        mask=_MASK.value,
        merge_near=_MERGE_NEAR.value,
    )


if __name__ == "__main__":
    entry.start(main)
