"""Takes a user out of a trained router and of tables; looks for the id in every file.

prouter forget --workdir=runs/embedded --user=u00 [--also=my_tables]

The same command again completes one that was killed. It ends with exit code 1 if a file still holds the id.
"""

import sys

from absl import flags

from prouter_jax.io.display import log_line, waiting

from . import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a trained router, of one seed or several.", required=True)
_USER = flags.DEFINE_string("user", None, "The user_id.", required=True)
_ALSO = flags.DEFINE_multi_string("also", [], "A folder of tables that loses the user as well; may be repeated.")
_MOST_FOUND = 20


def main() -> None:
    log_line(f"forget: reading the router in {_WORKDIR.value}")
    with waiting("writing the files without the user"):
        from prouter_jax.serving.forget import forget

        result = forget(_WORKDIR.value, _USER.value, _ALSO.value)
    if result.completed:
        print("what an earlier run had begun, and was killed, is complete")
    for removed in result.routers:
        _report(removed)
    for folder, rows in result.rows.items():
        print(f"{folder}: {rows} rows removed")
    if any(removed.decisions is not None for removed in result.routers):
        _report_trained(result)
    holding = f"{len(result.found)} hold it" if result.found else "none holds it"
    print(f"searched for the id in {result.files} files: {holding}")
    for place in result.found[:_MOST_FOUND]:
        print(f"still there: {place}")
    if result.found:
        sys.exit(1)


def _report(removed) -> None:
    trained = "" if removed.decisions is None else f"{removed.decisions} decisions of the training data; "
    updates = ", ".join(map(str, removed.updates)) or "none"
    print(f"{removed.workdir}: the user is removed: {trained}updates with rows of the user: {updates}")


def _report_trained(result) -> None:
    """What only a training can take out, and its command."""
    queries = max(removed.queries for removed in result.routers)
    print(
        "left: prior, scales and features of answers were fitted with these decisions as well; "
        f"texts of {queries} queries that nobody else decided on; the report is gone"
    )
    print(
        "to be rid of that, take the user out of the source of the data (--also does so in a folder of tables), then: "
        f"prouter train --config={_WORKDIR.value}/experiment.json --workdir=NEW_FOLDER, and delete {_WORKDIR.value}"
    )


if __name__ == "__main__":
    entry.start(main, saved=lambda: "the router is the old one or the new one; the same command goes on")
