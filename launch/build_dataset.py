"""Builds the TFDS data set personal_routing from a known format; no TensorFlow.

prouter build_dataset --format=tables --input=FOLDER --out=DIR [--licence="CC BY 4.0"]

To train on it: --config.data.source=tfds --config.data.path=DIR.
"""

from absl import flags

from . import entry

_FORMAT = flags.DEFINE_string("format", None, "Format of the input: tables, personaroute, ...", required=True)
_INPUT = flags.DEFINE_string("input", None, "Input folder or file.", required=True)
_OUT = flags.DEFINE_string("out", None, "Output: DIR/personal_routing/FORMAT/VERSION.", required=True)
_LICENCE = flags.DEFINE_string("licence", "not stated", "Licence of the data, for its card.")


def main() -> None:
    from prouter_jax.data.tfds_builder import build_dataset

    print(f"built: {build_dataset(_FORMAT.value, _INPUT.value, _OUT.value, _LICENCE.value)}")


if __name__ == "__main__":
    entry.start(main)
