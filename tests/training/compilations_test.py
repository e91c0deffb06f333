"""Compilations of a whole run: few, and none twice."""

import collections
import sys

import processes

RUN = """
import logging, sys
import jax
from experiments import embedded
from prouter_jax.experiment import run_experiment
from prouter_jax.serving.router import Router

class Names(logging.Handler):
    def emit(self, record):
        text = record.getMessage()
        if text.startswith("Compiling "):
            print(text.split(". Argument mapping")[0])

logging.getLogger("jax").addHandler(Names())
logging.getLogger("jax").propagate = False
jax.config.update("jax_log_compiles", True)
config = embedded.get_config()
config.train.num_train_steps, config.train.eval_every_steps, config.train.refit = 6, 3, False
run_experiment(config, sys.argv[1])
print("loading")
Router.load(sys.argv[1]).score([f"user {number}" for number in range(3)], ["How do I sort a list?"] * 3)
"""


def test_a_run_compiles_few_programs_and_none_twice_and_loading_its_router_none_for_users(tmp_path):
    done = processes.run([sys.executable, "-c", RUN, str(tmp_path)], cwd=processes.ROOT)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    compiled, loaded = lines[: lines.index("loading")], lines[lines.index("loading") + 1 :]
    assert [line for line in compiled if "jit(step)" in line], compiled
    assert [line for line, times in collections.Counter(compiled).items() if times > 1] == []
    # expected answers and shares are computed for a request's few queries or users, and for many: two shapes each
    assert len(compiled) <= 16, compiled
    assert len(loaded) <= 4, loaded  # those whose inputs are on a device in a run and not yet after loading
    assert not [line for line in loaded if "read_users" in line]
