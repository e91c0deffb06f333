"""The image and the compose file of the service, as texts: no Docker is at hand to run them."""

import json
import re

import yaml
from processes import ROOT, run_help

BACKENDS = ROOT / "launch" / "backends"
IMAGE = (BACKENDS / "serve.Dockerfile").read_text()
COMPOSE = yaml.safe_load((BACKENDS / "compose.yaml").read_text())["services"]


def _lists(word):
    return [json.loads(found) for found in re.findall(rf"^ *{word} (\[.*\])$", IMAGE, re.M)]


def test_the_image_runs_a_command_whose_flags_exist():
    (entry,), (_, command) = _lists("ENTRYPOINT"), _lists("CMD")
    assert entry[:2] == ["prouter", "serve"]
    known = run_help("launch.serve")
    for flag in [*entry[2:], *command, *COMPOSE["prouter"]["command"]]:
        assert f"\n  {flag.split('=')[0]}:" in known.replace("--[no]", "--"), flag


def test_the_health_check_asks_what_the_service_answers():
    check, _ = _lists("CMD")
    assert "/readyz" in check[-1]
    assert "port: 8080" in run_help("launch.serve") or "'8080'" in run_help("launch.serve")
    assert "EXPOSE 8080" in IMAGE
    assert COMPOSE["litellm"]["environment"]["PROUTER_URL"] == "http://prouter:8080"
    compile(check[-1], "check", "exec")


def test_the_state_is_in_postgres_and_no_secret_is_in_the_file():
    (state,) = [flag for flag in COMPOSE["prouter"]["command"] if flag.startswith("--state=")]
    settings = COMPOSE["postgres"]["environment"]
    name, password, host, database = re.fullmatch(r"--state=postgresql://(\w+):(.*)@(\w+)/(\w+)", state).groups()
    assert (name, host, database) == (settings["POSTGRES_USER"], "postgres", settings["POSTGRES_DB"])
    secrets = [password, settings["POSTGRES_PASSWORD"], *COMPOSE["litellm"]["environment"].values()][:4]
    assert all(re.fullmatch(r"\$\{\w+:\?\}|http://prouter:8080", secret) for secret in secrets)
    assert COMPOSE["prouter"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert COMPOSE["postgres"]["healthcheck"]


def test_the_files_that_are_built_from_exist():
    build = COMPOSE["prouter"]["build"]
    assert (BACKENDS / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    plugin = next(one for one in COMPOSE["litellm"]["volumes"] if "plugin" in one)
    assert (BACKENDS / plugin.split(":")[0]).resolve() == ROOT / "prouter_jax"
