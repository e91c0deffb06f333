"""The packages of an installation: launch/ and experiments/ become prouter_jax.launch and prouter_jax.experiments.

So there is one top-level package, and a folder launch/ of the current directory hides nothing. Everything else is in
pyproject.toml, which can find packages but not rename them.
"""

from setuptools import find_packages, setup

renamed = [f"prouter_jax.{name}" for name in find_packages(include=["launch*", "experiments*"])]
setup(packages=[*find_packages(include=["prouter_jax*"]), *renamed])
