"""Reads a public data set and writes it as a folder of tables, which config.data.source=tables reads.

python -m launch.convert --format=prism --input=utterances.jsonl --out=data/prism

Formats: personaroute, prism, arena (Chatbot Arena, MT-Bench human), routerbench, llmrouterbench, embedllm, alpacaeval,
gmtrouter. OUT/conversion.json has the SHA-256 of what was read, and what was dropped and why.
"""

from absl import flags

from launch import entry
from launch.progress import on_progress
from prouter_jax.config import PUBLIC

_FORMAT = flags.DEFINE_enum("format", None, PUBLIC, "What the input is.", required=True)
_INPUT = flags.DEFINE_string("input", None, "The file or folder that the format is published as.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder for the tables.", required=True)
_LLMS = flags.DEFINE_string("llms", None, "Of personaroute, its JSON file of LLMs.")


def main() -> None:
    from prouter_jax.data.public.registry import convert

    summary = convert(_FORMAT.value, _INPUT.value, _OUT.value, _LLMS.value or "", on_progress("records", 2.0))
    written = ", ".join(f"{number:,} {what}" for what, number in summary["written"].items())
    print(f"read: {summary['records']:,} records of {len(summary['files'])} files")
    for what, times in summary["dropped"].items():
        print(f"dropped: {times:,} {what}")
    print(f"written: {written}; {_OUT.value}")


if __name__ == "__main__":
    entry.start(main)
