"""Serves a trained router over HTTP: decisions, and feedback that counts at once.

prouter serve --workdir=runs/mine --keys=keys.txt [--port=8080]
prouter serve --workdir=runs/mine --export=FOLDER

Needs the extra serve: pip install 'prouter-jax[serve]'. docs/serving.md has the requests. Feedback and decisions are
kept in --state. SIGTERM ends it once what runs is answered. --export writes the decisions and feedback as tables, for
update, train and off_policy, and serves nothing; the service may run meanwhile.
"""

import os

from absl import flags

from prouter_jax.io.display import log_line

from . import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a trained router (of one seed).", required=True)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 for all.")
_PORT = flags.DEFINE_integer("port", 8080, "Port to listen on; 0 for any free one.", lower_bound=0, upper_bound=65535)
_STATE = flags.DEFINE_string(
    "state", None, "SQLite file, or URL of PostgreSQL, of the state; by default WORKDIR/serve.sqlite."
)
_KEYS = flags.DEFINE_string("keys", None, "File of API keys, hashed; else the variable PROUTER_KEYS has its lines.")
_USER_HEADER = flags.DEFINE_string("user_header", None, "Header in which a trusted gateway names the user.")
_TRUST_BODY = flags.DEFINE_boolean("trust_body", False, "Let trusted gateways name the user in the body and the path.")
_HASH_USERS = flags.DEFINE_string("hash_users", None, "Environment variable with the key that ids are hashed with.")
_RATE = flags.DEFINE_float("rate", None, "Requests a second of each key; no limit by default.", lower_bound=0.001)
_MAX_BODY = flags.DEFINE_integer("max_body", 1 << 20, "Largest body of a request in bytes.", lower_bound=1024)
_STORE_PROMPTS = flags.DEFINE_boolean("store_prompts", False, "Store the texts of requests; else their vectors alone.")
_SWITCH_GAIN = flags.DEFINE_float(
    "switch_gain", 0.1, "Gain in probability from which on a session changes its model.", 0.0, 1.0
)
_EXPLORE = flags.DEFINE_enum(
    "explore", "none", ("none", "thompson", "epsilon"), "How picks are drawn: the best, by the posterior, or at random."
)
_EXPLORE_SHARE = flags.DEFINE_float(
    "explore_share", 0.02, "Probability that exploring spreads evenly over the models on offer.", 0.0, 1.0
)
_GATE = flags.DEFINE_float(
    "gate", 0.0, "Log-odds above which a user's own pick replaces that of a user without history."
)
_RELOAD_SECONDS = flags.DEFINE_float(
    "reload_seconds", 5.0, "Seconds between looks for an updated router.", lower_bound=0.1
)
_EXPORT = flags.DEFINE_string("export", None, "Write the decisions and feedback to this folder as tables, and end.")


def main() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: threads of products so small wait for each other
    try:
        from prouter_jax.compilation import prepare_for_requests
        from prouter_jax.serving.exploration import Exploration
        from prouter_jax.serving.service import start
    except ImportError as error:
        raise ImportError(f"serve needs {error.name}: pip install 'prouter-jax[serve]'") from None
    if _EXPORT.value:
        print(start.export_state(_WORKDIR.value, _STATE.value, _EXPORT.value).summary())
        print(f"tables: {_EXPORT.value}")
        return
    variable = os.environ.get("PROUTER_KEYS")
    identity = start.make_identity(_KEYS.value, variable, _USER_HEADER.value, _TRUST_BODY.value, _HASH_USERS.value)
    settings = start.Settings(identity, _RATE.value, _MAX_BODY.value)
    explore = Exploration(_EXPLORE.value, _EXPLORE_SHARE.value, _GATE.value)
    options = start.Options(_STORE_PROMPTS.value, _SWITCH_GAIN.value, explore=explore)
    log_line(f"serve: reading the router in {_WORKDIR.value}")
    prepare_for_requests()
    start.serve(_WORKDIR.value, _STATE.value, options, settings, (_HOST.value, _PORT.value), _RELOAD_SECONDS.value)


if __name__ == "__main__":
    entry.start(main)
