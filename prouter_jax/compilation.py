"""How XLA compiles the programs of this package."""

import functools
import os

import jax

# For a CPU XLA's older emitters compile in two thirds of the time of the newer ones, and what they make is no slower:
# a round of the default network for 1,000 users took 0.83 s in place of 0.90 s. It changes nothing on other devices.
OPTIONS = {"xla_cpu_use_fusion_emitters": False}

# `jax.jit` of a whole program; one that is called in another takes that one's options and may have none of its own
jit_program = functools.partial(jax.jit, compiler_options=OPTIONS)


def prepare_for_requests() -> None:
    """Makes programs of less than a millisecond fast, as those of single requests; call it before the first program.

    They take longer if they are shared among threads or handed to one. The same holds for NumPy's products, whose
    threads the variable OPENBLAS_NUM_THREADS=1 ends before NumPy is imported.
    """
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    jax.config.update("jax_cpu_enable_async_dispatch", False)
