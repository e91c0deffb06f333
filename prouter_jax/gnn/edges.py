"""Which edge sets the paper's network sends messages along, and what the ablation leaves out of them."""

from prouter_jax.graph import EDGE_SETS

HISTORY = "history"
OUTCOME_EDGES = ("query_to_llm", "llm_to_query")
WORLD_EDGES = tuple(name for name in EDGE_SETS if name != HISTORY)

# the edge sets of each of `config_limits.PARTS`
_OF_PART = {
    "history": (HISTORY,),
    "tasks": ("query_to_task", "task_to_query"),
    "outcomes": OUTCOME_EDGES,
    "families": ("family",),
    "backward": ("query_to_task", "llm_to_query"),
}


def edges_without(parts: str) -> tuple[str, ...]:
    """The edge sets that are left without the comma-separated parts."""
    out = {name for part in parts.split(",") if part for name in _OF_PART[part]}
    return tuple(name for name in EDGE_SETS if name not in out)
