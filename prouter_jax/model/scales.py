"""Scales of the likelihood: the noise of ratings and the threshold of thumbs, from sums over users."""

import jax
import jax.numpy as jnp

# what `update_scales` needs of `likelihood.negative_log_likelihood`
SCALE_STATISTICS = ("rating", "ratings", "threshold_gradient", "threshold_curvature")

_MIN_NOISE = 1e-2  # keeps the precision of ratings finite where they are fitted exactly


def mean_losses(losses: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns a round's metrics: "loss", the sum of the mean losses of each kind of feedback, and "rating_error".

    Args:
      losses: sums by user, see `likelihood.negative_log_likelihood`.
    """
    means = {kind: _mean(losses, kind) for kind in ("choice", "rating", "thumb") if kind in losses}
    metrics = {"loss": sum(means.values(), jnp.zeros(()))}
    return metrics | ({"rating_error": jnp.sqrt(means["rating"])} if "rating" in means else {})


def scale_statistics(losses: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Sums the `SCALE_STATISTICS` over users; 0 for kinds of feedback that the data does not have."""
    return {name: losses[name].sum() if name in losses else jnp.zeros(()) for name in SCALE_STATISTICS}


def update_scales(params: dict, sums: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns the new noise of ratings, log of their root mean squared error, and threshold of thumbs.

    The threshold moves by gradient / (curvature + 1), a Newton step with an upper bound of the curvature.

    Args:
      sums: what `scale_statistics` returns.
    """
    log_noise = 0.5 * jnp.log(_mean(sums, "rating") + _MIN_NOISE**2)
    return {
        "log_noise": jnp.where(sums["ratings"] > 0, log_noise, params["log_noise"]),
        "threshold": params["threshold"] + sums["threshold_gradient"] / (sums["threshold_curvature"] + 1),
    }


def _mean(losses: dict[str, jax.Array], kind: str) -> jax.Array:
    return losses[kind].sum() / jnp.maximum(losses[f"{kind}s"].sum(), 1)
