"""`python -m launch train ...`: the command `prouter` in a checkout that is not installed."""

from .cli import main

main()
