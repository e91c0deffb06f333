"""Features of queries: text vectors, tasks, kernels and nearest neighbours."""

import numpy as np
from scipy import sparse

from prouter_jax.prepare import Prepared

_BLOCK = 2048


def query_features(prepared: Prepared, text_weight: float = 1.0) -> np.ndarray:
    """Weighted text vector and task (one column each, none for no task) of every query, float64 [queries, features]."""
    return np.concatenate([text_weight * prepared.vectors.query, task_columns(prepared)], axis=1).astype(np.float64)


def task_columns(prepared: Prepared) -> np.ndarray:
    """1 for the task of each query, float32 [queries, tasks]."""
    task = prepared.data.queries.task
    return (task[:, None] == np.arange(len(prepared.data.tasks.ids))).astype(np.float32)


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, float32; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def kernel_features(vectors: np.ndarray, seen: np.ndarray, width: float, landmarks: int, seed: int = 0) -> np.ndarray:
    """Features whose inner products are the kernel exp((cosine - 1) / width^2) of the texts (Nystroem).

    phi(x) = K(x, Z) K(Z, Z)^-1/2 with landmarks Z, at most so many of the seen queries: exact where
    they are all of them.

    Returns:
      float64 [queries, landmarks].
    """
    unit, rows = unit_vectors(vectors), np.flatnonzero(seen)
    if len(rows) > landmarks:
        rows = np.sort(np.random.default_rng(seed).choice(rows, landmarks, replace=False))
    kernel = np.exp((unit.astype(np.float64) @ unit[rows].T - 1) / width**2)
    spectrum, basis = np.linalg.eigh(kernel[rows])
    kept = spectrum > 1e-8 * max(spectrum.max(initial=0), 1e-300)
    return kernel @ (basis[:, kept] / np.sqrt(spectrum[kept]))


def principal_components(vectors: np.ndarray, seen: np.ndarray, number: int) -> np.ndarray:
    """Projections on the first principal components of the seen rows, each of standard deviation 1 there, float32."""
    centred = vectors.astype(np.float64) - vectors[seen].mean(0)
    spectrum, basis = np.linalg.eigh(centred[seen].T @ centred[seen] / max(seen.sum(), 1))
    kept = np.argsort(-spectrum)[:number]
    scale = np.sqrt(np.maximum(spectrum[kept], 1e-12))
    return (centred @ basis[:, kept] / scale).astype(np.float32)


def nearest(
    prepared: Prepared, asked: np.ndarray, seen: np.ndarray, number: int, sharpness: float, task_bonus: float
) -> sparse.csr_matrix:
    """Weights of each asked query's nearest seen ones other than itself, rows sum to 1; [asked, queries].

    weight = softmax(sharpness * (cosine + task_bonus where the task is the same)) over the `number` nearest.

    Args:
      asked, seen: rows of queries.
    """
    unit, task = unit_vectors(prepared.vectors.query), prepared.data.queries.task
    number = min(number, len(seen))
    columns, weights = [np.zeros((0, number), int)], [np.zeros((0, number))]
    for start in range(0, len(asked), _BLOCK):
        rows = asked[start : start + _BLOCK]
        near = unit[rows] @ unit[seen].T + task_bonus * (task[rows, None] == task[seen])
        near[rows[:, None] == seen] = -np.inf
        place = np.argpartition(near, -number, axis=1)[:, len(seen) - number :] if number < len(seen) else None
        place = np.broadcast_to(np.arange(number), near.shape) if place is None else place
        closeness = sharpness * np.take_along_axis(near, place, 1).astype(np.float64)
        closeness -= np.where(np.isfinite(closeness), closeness, -1e9).max(1, keepdims=True)
        weight = np.exp(closeness)
        columns.append(seen[place])
        weights.append(weight / np.maximum(weight.sum(1, keepdims=True), 1e-300))
    ends = np.arange(len(asked) + 1) * number
    shape = (len(asked), len(unit))
    return sparse.csr_matrix((np.concatenate(weights).ravel(), np.concatenate(columns).ravel(), ends), shape=shape)
