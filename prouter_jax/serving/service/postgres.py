"""The state of the service in a PostgreSQL database, which several services may share (extra `postgres`)."""

from typing import Any

from prouter_jax.serving.service.store import SCHEMA

SCHEMES = ("postgresql://", "postgres://")
_TYPES = {"blob": "BYTEA", "serial": "BIGSERIAL PRIMARY KEY"}
_LOCK = 0x70726F75746572  # "prouter": of transactions, so that numbers rise in the order of commits


class Postgres:
    """A connection that understands the statements of `store`.

    Args:
      url: postgresql://USER:PASSWORD@HOST/DATABASE.

    Raises:
      ImportError: if psycopg is not installed.
      ValueError: if there is no such database; never with the password.
    """

    def __init__(self, url: str):
        try:
            import psycopg
        except ImportError:
            raise ImportError("--state: pip install 'prouter-jax[postgres]' for PostgreSQL") from None
        try:
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
        except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
            raise ValueError(f"--state: expected a PostgreSQL database, found none ({_reason(error)})") from None
        self.execute("BEGIN")  # two services that start at once would both make the tables
        for statement in SCHEMA:
            self.execute(statement.format(**_TYPES))
        self.execute("COMMIT")

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Runs a statement; BEGIN waits until other services have ended their transactions."""
        found = self._connection.execute(sql.replace("?", "%s").encode(), parameters)
        if sql == "BEGIN":
            self._connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})".encode())
        return found

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def _reason(error: Exception) -> str:
    """What an error says, without the connection's settings."""
    return str(error).splitlines()[-1].rpartition("failed: ")[2]
