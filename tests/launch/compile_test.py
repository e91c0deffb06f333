"""launch.compile: help at once, wrong flags in one line, one topology and a scan from the command line."""

import importlib.util
import pathlib
import re
import sys

import processes
import pytest

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = "--config=experiments/embedded.py"
SMALL = ("--config.data.encoder=hash", "--config.model.factor_dim=0", "--config.data.embedded.num_users=12")

compiles = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="no TPU compiler: pip install 'prouter-jax[ahead]'"
)


def _run(*arguments):
    command = [sys.executable, "-m", "launch.compile", *arguments]
    return processes.run(command, cwd=ROOT)


def test_help_comes_at_once():
    assert "prouter compile --" in processes.run_help("launch.compile")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([CONFIG], "flag --topology: expected a kind and a shape as in v5p:4x4x4, found none"),
        ([CONFIG, "--topology=v7:1"], "flag --topology: expected one of v5e, v5p, v6e, tpu7x and"),
        ([CONFIG, "--topology=v5e:4x4", "--users=ten"], "flag --users: expected a number such as 500k"),
        ([CONFIG, "--topology=v5e:4x4", "--slices=0"], "--slices"),
        ([CONFIG, "--topology=v5e:4x4", "--config.model.nope=1"], "nope"),
        ([CONFIG, "--scan", "--topology=v5e:4x4"], "flag --topology: expected one of v5e, v5p, v6e, tpu7x with"),
        ([CONFIG, "--scan", "--users_per_chip=no"], "flag --users_per_chip: expected a number"),
        (["--topology=v5e:4x4"], "--config"),
    ],
)
def test_wrong_flags_are_one_line(arguments, found):
    done = _run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert found in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@compiles
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--topology=v5p:3x3x3"], "flag --topology: the compiler does not know v5p:3x3x3"),
        (["--topology=v6e:1x1"], "flag --topology: the compiler does not know v6e:1x1"),
        (["--topology=tpu7x:1x1x1"], "flag --topology: the compiler does not know tpu7x:1x1x1"),
        (["--topology=v5e:4x4", "--config.mesh.model=3"], "config.mesh.model: expected a divisor of v5e:4x4's chips"),
    ],
)
def test_what_only_the_compiler_knows_is_one_line(arguments, found):
    done = _run(CONFIG, *arguments)
    assert done.returncode == 1
    assert found in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@compiles
@pytest.mark.slow
def test_the_real_steps_compile_for_a_topology():
    done = _run(CONFIG, *SMALL, "--topology=v5e:4x4", "--users=2k")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert text.startswith("v5e:4x4: 16 chips, mesh data 16 x model 1")
    for name in ("train step", "score step"):
        assert f"\n{name}: 2,000 users a call" in text
    assert re.search(r"all-reduce over data, 16 chips by ICI: .* x 1", text)
    assert "counted once" not in text
    assert re.search(r"fits v5e:4x4: [\d,]+ users a second in training, [\d.e-]+ hours", text)


@compiles
@pytest.mark.slow
@pytest.mark.parametrize(
    ("topology", "found"),
    [
        ("v6e:2x2", "v6e:2x2: 4 chips, mesh data 4 x model 1"),
        ("tpu7x:2x2x1", "tpu7x:2x2x1: 4 chips of 2 devices, mesh data 8 x model 1"),
    ],
)
@pytest.mark.parametrize(("preset", "steps"), [("tuned", 3), ("paper", 2)])
def test_the_real_steps_compile_for_the_newer_kinds(preset, steps, topology, found):
    done = _run(CONFIG, *SMALL, f"--config.model.preset={preset}", f"--topology={topology}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("; compiled in") == steps
    assert done.stdout.startswith(found)
    rate = re.search(rf"fits {topology}: ([\d,]+) users a second in training", done.stdout)
    assert rate is not None
    assert 1e3 < float(rate[1].replace(",", "")) < 1e7
    assert "counted once" not in done.stdout


@compiles
@pytest.mark.slow
def test_a_scan_writes_a_table_and_a_plot(tmp_path):
    config = ("--config", CONFIG.removeprefix("--config="), *SMALL)
    done = _run(*config, "--scan", "--topology=v5e", "--users_per_chip=64", f"--output={tmp_path}/scan")
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "scan" / "scan.md").read_text()
    assert done.stdout.startswith(table)
    chips = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    assert chips == ["8", "16", "32", "64", "128", "256"]
    assert (tmp_path / "scan" / "scan.png").read_bytes().startswith(b"\x89PNG")
    assert "6 of 6, about" in done.stderr
