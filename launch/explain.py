"""Tells why a user gets an LLM for a text: by which past decisions, and by which properties of the answers.

python -m launch.explain --workdir=runs/embedded --user=u00 --text="What is 2 + 2?" [--task=math]
"""

from absl import flags

from launch import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of launch.train (of one seed).", required=True)
_USER = flags.DEFINE_string("user", None, "Id of a user that the router knows.", required=True)
_TEXT = flags.DEFINE_string("text", None, "What the user asks.", required=True)
_TASK = flags.DEFINE_string("task", None, "Id of the text's task, if it has one.")
_MOST = flags.DEFINE_integer("most", 5, "How many decisions, and properties, are told.")
_HISTORY = flags.DEFINE_string("history", None, "Choices or ratings of users that training never saw.")


def main() -> None:
    from prouter_jax.serving.router import Router

    router = Router.load(_WORKDIR.value)
    if _HISTORY.value:
        router = router.with_history(_HISTORY.value)
    print(router.explain(_USER.value, _TEXT.value, _TASK.value or "", _MOST.value).to_text())


if __name__ == "__main__":
    entry.start(main)
