"""The formats that a data set can be built of, each with its reader."""

from prouter_jax.readers.personaroute import read_personaroute
from prouter_jax.readers.tables import read_tables

FORMATS = {"tables": read_tables, "personaroute": read_personaroute}
