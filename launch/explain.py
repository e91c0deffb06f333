"""Explains a user's pick for a text by past decisions and properties of the answers.

prouter explain --workdir=runs/embedded --user=u00 --text="What is 2 + 2?" [--task=math]
"""

from absl import flags

from prouter_jax.io.display import log_line, waiting

from . import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a trained router (of one seed).", required=True)
_USER = flags.DEFINE_string("user", None, "Id of a user with history.", required=True)
_TEXT = flags.DEFINE_string("text", None, "Text of the query.", required=True)
_TASK = flags.DEFINE_string("task", None, "Id of the query's task, if any.")
_MOST = flags.DEFINE_integer("most", 5, "Number of decisions, and of properties, to show.")
_HISTORY = flags.DEFINE_string("history", None, "Choices or ratings of users outside the training data.")


def main() -> None:
    log_line(f"explain: reading the router in {_WORKDIR.value}")
    with waiting("restoring the router"):
        from prouter_jax.serving.router import Router

        router = Router.load(_WORKDIR.value)
    if _HISTORY.value:
        with waiting("reading the histories"):
            router = router.with_history(_HISTORY.value)
    with waiting("leaving out past decisions"):
        explanation = router.explain(_USER.value, _TEXT.value, _TASK.value or "", _MOST.value)
    print(explanation.to_text())


if __name__ == "__main__":
    entry.start(main)
