"""Exports a trained router as StableHLO and safetensors, with a model card.

prouter export --workdir=runs/mine --out=exported [--license=cc-by-4.0]
"""

from absl import flags

from prouter_jax.io.display import waiting

from . import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a trained router (of one seed).", required=True)
_OUT = flags.DEFINE_string("out", None, "New folder.", required=True)
_LICENSE = flags.DEFINE_string("license", "unknown", "Licence of the data, for the model card, as hubs abbreviate it.")


def main() -> None:
    with waiting("restoring the router"):
        from prouter_jax.io.paths import make_path
        from prouter_jax.serving.export import export_router
        from prouter_jax.serving.router import Router, read_config

        router = Router.load(_WORKDIR.value)
    with waiting("exporting"):
        workdir = make_path(_WORKDIR.value)
        export_router(router, _OUT.value, read_config(workdir), _LICENSE.value, workdir / "report" / "report.json")
    print(f"exported: {_OUT.value}")


if __name__ == "__main__":
    entry.start(main)
