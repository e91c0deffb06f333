"""Lists the fields of an experiment: type, range, value and meaning.

prouter config --experiment=embedded [--find=seed]

Each line is a field as train and sweep take it: --config.FIELD=VALUE. A value that differs from the default of all
experiments is marked with *.
"""

from absl import flags

from . import entry
from .config_flag import load_experiment

_EXPERIMENT = flags.DEFINE_string("experiment", None, "Experiment by name (embedded) or Python file.", required=True)
_FIND = flags.DEFINE_string("find", None, "Only fields whose path or meaning has this text.")


def main() -> None:
    from prouter_jax.config import validate
    from prouter_jax.config_fields import list_fields

    defaults = {field.path: field.value for field in list_fields()}
    wanted = (_FIND.value or "").lower()
    fields = list_fields(validate(load_experiment(_EXPERIMENT.value)))
    shown = [field for field in fields if wanted in f"{field.path} {field.meaning}".lower()]
    if not shown:
        raise ValueError(f"flag --find: expected a text of some field, found {_FIND.value!r} in none")
    for field in shown:
        mark = "" if field.value == defaults[field.path] else "*"
        limits = f", {field.limits}" if field.limits else ""
        print(f"{field.example}{mark}  ({field.kind}{limits})")
        print(f"    {field.meaning or 'no description'}")


if __name__ == "__main__":
    entry.start(main)
