"""The result tables of the protocol: which settings and seeds each one measures, and which numbers it requires."""

from prouter_jax.evaluation.protocol.definition import Definition, Size
from prouter_jax.evaluation.protocol.tables.ablations import gradient_tables, part_tables
from prouter_jax.evaluation.protocol.tables.claims import claim_tables
from prouter_jax.evaluation.protocol.tables.cold_start import new_llm_tables, new_user_tables
from prouter_jax.evaluation.protocol.tables.feedback import choice_tables, cost_tables, vote_tables
from prouter_jax.evaluation.protocol.tables.never_worse import never_worse_tables
from prouter_jax.evaluation.protocol.tables.regret import regret_tables


def definitions(size: Size) -> list[Definition]:
    """The definitions of all tables, in the order in which `--table=all` measures them."""
    users = [*claim_tables(size), *choice_tables(size), *cost_tables(size), *vote_tables(size), *new_user_tables(size)]
    new_llms = new_llm_tables(size)
    return [*users, *new_llms, *never_worse_tables(size), *regret_tables(size), *part_tables(size),
            *gradient_tables(size)]  # fmt: skip
