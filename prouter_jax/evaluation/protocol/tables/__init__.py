"""The result tables of the protocol: which settings and seeds each one measures, and which numbers it requires."""

from prouter_jax.evaluation.protocol.definition import Definition, Size
from prouter_jax.evaluation.protocol.tables import choices, costs, gradients, new_llms, new_users, parts, votes


def definitions(size: Size) -> list[Definition]:
    """The definitions of all tables, in the order in which `--table=all` measures them."""
    modules = (choices, costs, votes, new_users, new_llms, parts, gradients)
    return [table for module in modules for table in module.tables(size)]
