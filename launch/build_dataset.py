"""Builds the TFDS data set personal_routing of files in a known format; needs no TensorFlow.

python -m launch.build_dataset --format=tables --input=FOLDER --out=DIR [--licence="CC BY 4.0"]

Train on it with --config.data.source=tfds --config.data.path=DIR.
"""

from absl import flags

from launch import entry

_FORMAT = flags.DEFINE_string("format", None, "What the input is: tables, personaroute, ...", required=True)
_INPUT = flags.DEFINE_string("input", None, "The folder or file to be read.", required=True)
_OUT = flags.DEFINE_string("out", None, "Where the data set goes: DIR/personal_routing/FORMAT/VERSION.", required=True)
_LICENCE = flags.DEFINE_string("licence", "not stated", "The licence of the data, for its card.")


def main() -> None:
    from prouter_jax.data.tfds_builder import build_dataset

    print(f"built: {build_dataset(_FORMAT.value, _INPUT.value, _OUT.value, _LICENCE.value)}")


if __name__ == "__main__":
    entry.start(main)
