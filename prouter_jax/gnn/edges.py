"""Which edge sets the paper's network sends messages along, and what the ablation leaves out of them.

`graph.EDGE_SETS` and one more: `user_to_llm`, the history edges read backwards.
"""

from prouter_jax.graph import EDGE_ENDS

HISTORY, USER_TO_LLM = "history", "user_to_llm"
WORLD_EDGES = tuple(name for name in EDGE_ENDS if name != HISTORY)
OUTCOME_EDGES = ("query_to_llm", "llm_to_query")
ALL_EDGES = (*WORLD_EDGES, HISTORY, USER_TO_LLM)

# the edge sets of each of `config.PARTS`
_OF_PART = {
    "history": (HISTORY, USER_TO_LLM),
    "tasks": ("query_to_task", "task_to_query"),
    "outcomes": OUTCOME_EDGES,
    "families": ("family",),
    "backward": ("query_to_task", "llm_to_query", USER_TO_LLM),
}


def edges_without(parts: str) -> tuple[str, ...]:
    """The edge sets that are left without the comma-separated parts."""
    out = {name for part in parts.split(",") if part for name in _OF_PART[part]}
    return tuple(name for name in ALL_EDGES if name not in out)
