"""Draws docs/picture.png: the LLM that each user of the embedded benchmark gets for each held-out query.

make picture    (or: python docs/picture.py runs/embedded docs/picture.png, after make run)

A row is a user, a column a query that no user asked in training, a colour an LLM. The benchmark plants what each user
likes, so the best LLM of every square is known. Left: the router's answers for a user without history, shown for every
user. Middle: its answers for each user. Right: the planted best LLM.
"""

import pathlib
import sys

import numpy as np

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#444444")  # Okabe and Ito
_QUERIES = 40  # of the held-out ones, evenly spaced


def choices(workdir: str) -> dict[str, np.ndarray]:
    """LLM numbers [users, queries] by title: one answer for all, the router's, the planted best."""
    from prouter_jax import Router
    from prouter_jax.data.splits import split_queries
    from prouter_jax.data.synthetic.benchmark import build_embedded, planted_utility
    from prouter_jax.serving.router import read_config

    config = read_config(pathlib.Path(workdir))
    router, shares = Router.load_trained(pathlib.Path(workdir)), config.data
    data = build_embedded(shares.embedded)
    best = planted_utility(shares.embedded)
    held_out = split_queries(data, shares.train_share, shares.validation_share, config.seed).test
    held_out = held_out[np.linspace(0, len(held_out) - 1, min(_QUERIES, len(held_out))).astype(int)]
    texts = [str(data.queries.texts[row]) for row in held_out]
    tasks = [str(data.tasks.ids[data.queries.task[row]]) for row in held_out]
    number = {llm: row for row, llm in enumerate(router.llms)}

    def picked(users: list[str]) -> np.ndarray:
        pairs = [(user, *query) for user in users for query in zip(texts, tasks, strict=True)]
        user, query, task = (list(column) for column in zip(*pairs, strict=True))
        scores = router.score(users=user, queries=query, task_ids=task)
        return np.array([number[llm] for llm in scores.llm]).reshape(len(users), len(texts))

    users = [str(user) for user in data.users.ids]
    one = np.repeat(picked(["a user without history"]), len(users), axis=0)
    return {
        "one router for all": one,
        "prouter_jax": picked(users),
        "what each user likes best": np.nanargmax(best[:, held_out], axis=2),
    }


def sort_alike(tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Puts users, and then queries, with the same planted LLMs beside each other, in all tables alike."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    best = tables["what each user likes best"]
    one_hot = np.eye(best.max() + 1)[best]
    users = leaves_list(linkage(one_hot.reshape(len(best), -1), "average"))
    queries = leaves_list(linkage(one_hot.swapaxes(0, 1).reshape(best.shape[1], -1), "average"))
    return {title: table[np.ix_(users, queries)] for title, table in tables.items()}


def draw(tables: dict[str, np.ndarray], path: str) -> None:
    """Writes the three tables as coloured squares, with the share of squares that hold the planted best LLM."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.7), layout="constrained", facecolor="white")
    best = tables["what each user likes best"]
    for axes, (title, table) in zip(figure.subplots(1, len(tables)), tables.items(), strict=True):
        share = "" if table is best else f": {(table == best).mean():.0%} right"
        axes.pcolormesh(table, cmap=ListedColormap(COLOURS), vmin=-0.5, vmax=7.5, edgecolors="white", linewidth=0.4)
        axes.set_title(title + share, fontsize=12)
        axes.set_xlabel("queries that no user asked in training", fontsize=9)
        axes.set_ylabel("users" if axes is figure.axes[0] else "", fontsize=9)
        axes.set_xticks([]), axes.set_yticks([])
        axes.spines[:].set_visible(False)
    figure.suptitle("Which LLM each user gets for each query (a colour is an LLM)", fontsize=12)
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    draw(sort_alike(choices(sys.argv[1])), sys.argv[2])
