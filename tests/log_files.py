"""Small logs, for the tests of reading and judging them."""

import json

import numpy as np

ROW = {"user": "u", "prompt": "Hi", "model": "a", "candidates": ["a", "b"]}


def write_log(path, rows):
    """JSONL of rows; a row that is a text is written as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def made_up_rows(number, seed=0, propensity=True, users=40):
    """Requests to three LLMs, picked by chance with probabilities that depend on the task; thumbs depend on the LLM."""
    rng = np.random.default_rng(seed)
    chances = {"math": [0.6, 0.3, 0.1], "art": [0.2, 0.3, 0.5]}
    rows = []
    for count in range(number):
        task = str(rng.choice(["math", "art"]))
        llm = int(rng.choice(3, p=chances[task]))
        row = {
            "user_id": f"user{rng.integers(users)}",
            "messages": [{"role": "user", "content": f"{task} question {rng.integers(60)}"}],
            "task": task,
            "candidates": ["a", "b", "c"],
            "model": "abc"[llm],
            "cost": 0.01 * (llm + 1),
            "time": 1000.0 + count,
            "thumb": "up" if rng.random() < (0.3, 0.5, 0.8)[llm] else "down",
        }
        rows.append(row | ({"propensity": chances[task][llm]} if propensity else {}))
    return rows
