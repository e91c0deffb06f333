"""Features of queries from text vectors and tasks, for linear and nearest-neighbour baselines."""

import numpy as np
from jaxtyping import Bool, Float

from prouter_jax.dataset import Dataset


def query_features(dataset: Dataset, text_weight: float = 1.0) -> Float[np.ndarray, "queries features"]:
    """Text vector times `text_weight`, then the one-hot task, of every query, float64."""
    return np.concatenate([text_weight * dataset.vectors.query, task_columns(dataset)], axis=1).astype(np.float64)


def task_columns(dataset: Dataset) -> Float[np.ndarray, "queries tasks"]:
    """One-hot task of every query, float32; all zeros for queries without a task."""
    task = dataset.data.queries.task
    return (task[:, None] == np.arange(len(dataset.data.tasks.ids))).astype(np.float32)


def unit_vectors(vectors: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """Vectors scaled to length 1, float32; zero vectors stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def kernel_features(
    vectors: Float[np.ndarray, "queries dim"],
    seen: Bool[np.ndarray, " queries"],
    width: float,
    landmarks: int,
    seed: int = 0,
) -> Float[np.ndarray, "queries features"]:
    """Nystroem features of the kernel k(x, y) = exp((cosine(x, y) - 1) / width^2).

    phi(x) = K(x, Z) K(Z, Z)^-1/2 with landmarks Z drawn from the seen queries (Williams & Seeger 2001). Inner products
    are exact where all seen queries are landmarks. sklearn's Nystroem has no cosine kernel and keeps directions of
    eigenvalues near zero.

    Args:
      vectors: text vectors.
      seen: queries that may be landmarks.
      width: kernel width.
      landmarks: maximum number of landmarks.
      seed: of the random landmarks.
    """
    unit, rows = unit_vectors(vectors), np.flatnonzero(seen)
    if len(rows) > landmarks:
        rows = np.sort(np.random.default_rng(seed).choice(rows, landmarks, replace=False))
    kernel = np.exp((unit.astype(np.float64) @ unit[rows].T - 1) / width**2)
    spectrum, basis = np.linalg.eigh(kernel[rows])
    kept = spectrum > 1e-8 * max(spectrum.max(initial=0), 1e-300)
    return kernel @ (basis[:, kept] / np.sqrt(spectrum[kept]))


def principal_components(
    vectors: Float[np.ndarray, "queries dim"], seen: Bool[np.ndarray, " queries"], number: int
) -> Float[np.ndarray, "queries components"]:
    """Projections on the first principal components of the seen rows, with standard deviation 1 there, float32."""
    centred = vectors.astype(np.float64) - vectors[seen].mean(0)
    spectrum, basis = np.linalg.eigh(centred[seen].T @ centred[seen] / max(seen.sum(), 1))
    kept = np.argsort(-spectrum)[:number]
    scale = np.sqrt(np.maximum(spectrum[kept], 1e-12))
    return (centred @ basis[:, kept] / scale).astype(np.float32)
