"""The formats that a data set can be built of, each with its reader of one path."""

import functools
import os

from prouter_jax.interactions import Interactions
from prouter_jax.readers import public
from prouter_jax.readers.tables import read_tables


def _read_public(name: str, path: str | os.PathLike) -> Interactions:
    return public.read_public(name, path).data


FORMATS = {"tables": read_tables} | {name: functools.partial(_read_public, name) for name in public.FORMATS}
