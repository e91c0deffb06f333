"""Matrix factorisation whose predictions reach unseen queries by kernel ridge regression on their texts."""

import numpy as np

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.factorisation import USER_PARAMS, Factorisation, Params
from prouter_jax.evaluation.baselines.features import kernel_task_features
from prouter_jax.evaluation.baselines.forecast import ridge_forecasts


class FactorisationKernel(Factorisation):
    """`Factorisation`, but with kernel ridge regression instead of means for queries without training decisions.

    The user's shares on an unseen query are the kernel ridge forecast from the user's predicted shares on the training
    queries, see `KernelRidge`. A history on unseen queries counts by the forecast of their answers' parameters.

    Args:
      user_penalty: see `Factorisation`.
      trust: the penalties of users' parameters are divided by it when a history is folded in. Predictions shrink by
        the penalties of both users and answers, so that with 1 a short history would say too little.
      kernel_penalty, text_weight, width: `penalty`, `text_weight` and `width` of `KernelRidge`.
      factors: other arguments of `Factorisation`.
    """

    name = "factorisation_kernel"

    def __init__(
        self,
        dataset: Dataset,
        user_penalty: float = 30.0,
        trust: float = 3.0,
        kernel_penalty: float = 3.0,
        text_weight: float = 1.0,
        width: float = 0.7,
        **factors,
    ):
        super().__init__(dataset, user_penalty=user_penalty, **factors)
        self._dataset, self._kernel_penalty, self._kernel = dataset, kernel_penalty, (text_weight, width)
        self._trusting = {name: self._penalties[name] / trust for name in USER_PARAMS}

    def fit(self, train: Labelled, validation: Labelled) -> None:
        super().fit(train, validation)
        self._mask = np.isin(np.arange(self._shape[1]), self._seen)
        self._features = kernel_task_features(self._dataset, self._mask, *self._kernel)
        for name in ("query_llm", "answer"):
            table = self._answers[name]
            seen = self._mask.reshape(1, -1, *[1] * (table.ndim - 2))
            self._answers[name] = np.where(seen, table, self._forecast(table[:, self._mask]))
        self._folded, self._fold_penalties = np.arange(self._shape[1]), self._penalties | self._trusting

    def _unseen_scores(self, params: Params, decisions: DecisionArrays) -> np.ndarray:
        users, row = np.unique(decisions.user, return_inverse=True)
        predictions = self._predictions(params, users).swapaxes(1, 2)
        return self._as_scores(self._forecast(predictions)[:, decisions.query, row].T)

    def _forecast(self, values: np.ndarray) -> np.ndarray:
        """Kernel ridge forecast of values [llms, seen queries, *more] on every query, [llms, queries, *more]."""
        targets = np.moveaxis(values, 1, 0)
        flat = targets.reshape(len(targets), -1)
        (found,) = ridge_forecasts(self._features, self._mask, flat, [self._kernel_penalty])
        return np.moveaxis(found.reshape(-1, *targets.shape[1:]), 0, 1).astype(values.dtype)
