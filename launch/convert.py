"""Converts a public data set to a folder of tables, for config.data.source=tables.

prouter convert --format=prism --input=utterances.jsonl --out=data/prism

Formats: personaroute, prism, arena (Chatbot Arena's sets, MT-Bench human), routerbench, llmrouterbench, embedllm,
alpacaeval, gmtrouter, llmrouter (also xRouteBench), routeprofile, chosen_rejected (any set of preferences). --input is
a file, a folder of shards, or a path with * in it. OUT/conversion.json records the SHA-256 of the input files and the
number of dropped records by reason.
"""

from absl import flags

from prouter_jax.config import PUBLIC
from prouter_jax.io.display import on_progress, waiting

from . import entry

_FORMAT = flags.DEFINE_enum("format", None, PUBLIC, "Format of the input.", required=True)
_INPUT = flags.DEFINE_string("input", None, "The published file or folder.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder for the tables.", required=True)
_LLMS = flags.DEFINE_string(
    "llms",
    None,
    "JSON file of LLMs: {NAME: {feature, input_price, output_price}}, or xRouteBench's table llm_candidates.",
)


def main() -> None:
    with waiting(f"converting {_INPUT.value}"):
        from prouter_jax.data.public.registry import convert

        summary = convert(_FORMAT.value, _INPUT.value, _OUT.value, _LLMS.value or "", on_progress("records", 1.5))
    written = ", ".join(f"{number:,} {what}" for what, number in summary["written"].items())
    print(f"read: {summary['records']:,} records of {len(summary['files'])} files")
    for what, times in summary["dropped"].items():
        print(f"dropped: {times:,} {what}")
    print(f"written: {written}; {_OUT.value}")


if __name__ == "__main__":
    entry.start(main)
