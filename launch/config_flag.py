"""The flag --config: an experiment by its name or file, its fields by --config.section.field=value."""

import importlib.machinery
import pathlib
import sys
import types
from typing import Any

from absl import flags
from ml_collections.config_flags import config_flags

from prouter_jax.config import ExperimentConfig, check_sections, from_json, validate

flags.disclaim_key_flags()  # --help lists the flag among those of the command that defines it here

EXPERIMENTS = pathlib.Path(__file__).parent.parent / "experiments"  # beside this package, installed or not


def define_config() -> flags.FlagHolder:
    """Defines the flag --config.

    Returns:
      its holder, for `read_config`.
    """
    text = (
        "Experiment by name (embedded), Python file, which runs, or experiment.json of a workdir; "
        "fields by --config.section.field=value."
    )
    holder = config_flags.DEFINE_config_file("config", None, text)
    flags.FLAGS["config"].parser = _ExperimentParser()
    return holder


def read_config(holder: flags.FlagHolder) -> ExperimentConfig:
    """The experiment that the command line names, validated.

    Raises:
      ValueError: if --config is missing, or a field has a wrong value.
    """
    if holder.value is None:
        raise ValueError("--config: expected the name or the file of an experiment, found none")
    return validate(holder.value)


def config_source() -> tuple[str, dict[str, Any]]:
    """The value of --config, and the fields that the command line sets: {"train.num_train_steps": 10}."""
    flag = flags.FLAGS["config"]
    return config_flags.get_config_filename(flag), config_flags.get_override_values(flag)


def load_experiment(name: str) -> ExperimentConfig:
    """An experiment of the folder experiments/ by its name, with the fields as they stand there."""
    return _ExperimentParser().parse(name)


def find_experiment(value: str) -> pathlib.Path:
    """The file of an experiment; a name wins over a file of the current folder that is called the same.

    Raises:
      ValueError: if `value` is neither a name nor a file.
    """
    files = {path.stem: path for path in sorted(EXPERIMENTS.glob("[a-z]*.py"))}
    found = files.get(value.replace("-", "_"), pathlib.Path(value))
    if not found.is_file():
        raise ValueError(f"expected a file or one of {', '.join(files)}; found {value!r}")
    return found


class _ExperimentParser(flags.ArgumentParser):
    """Loads an experiment by name or file, JSON or Python; FILE:TEXT calls its get_config(TEXT)."""

    def parse(self, argument: str) -> Any:
        value, colon, text = argument.partition(":")
        path = find_experiment(value)
        if path.suffix == ".json":
            return from_json(path.read_text(encoding="utf-8"))
        config = _load(path).get_config(*([text] if colon else []))
        check_sections(config)
        return config


def _load(path: pathlib.Path) -> types.ModuleType:
    """The module of an experiment file, in which `from . import other` imports the file beside it."""
    folder = types.ModuleType("experiment_files")
    folder.__path__ = [str(path.parent)]
    sys.modules[folder.__name__] = folder
    name = f"{folder.__name__}.{path.stem}"
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    module = types.ModuleType(name)
    module.__package__ = folder.__name__
    loader.exec_module(module)
    return module
