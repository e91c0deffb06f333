"""What the fields of a configuration may be: names to choose from, and ranges of numbers."""

PUBLIC = ("personaroute", "prism", "arena", "routerbench", "llmrouterbench", "embedllm", "alpacaeval", "gmtrouter")
QUERY_SETS = ("alpaca", "gsm8k", "squad", "multi_news", "columns")
SOURCES = ("embedded", "tables", "tfds", *PUBLIC)
USERS = ("recorded", "multi_cost_efficiency", "llm_as_judge")
JUDGES = ("style", "llm")
OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")
FEEDBACK = ("choice", "rating")
NEW_USERS = ("cold_user", "warm_user", "cold_user_llm")  # splits whose test users are new
NEW_LLMS = ("cold_llm", "cold_user_llm")  # splits that test LLMs which training knows by their description alone
PRESETS = ("bayes", "paper")
FORESIGHTS = ("share", "utility")
HEADS = ("dot", "bilinear")
PARTS = ("history", "tasks", "outcomes", "families", "backward")  # edges that `Model.without` may name
WARM = ("warm_query", "warm_user")  # splits whose test queries are known
TIME = "time"  # the split by when decisions were made
SPLITS = ("cold_query", *WARM, "cold_user", *NEW_LLMS, TIME)
USERS_AT_ONCE = 128  # histories of so many users stay in a processor's cache while they are read

_POSITIVE = (1, 10**9)
_SHARE = (0.0, 1.0)
CHOICES = {
    "data.source": SOURCES,
    "data.users": USERS,
    "data.feedback": FEEDBACK,
    "data.split": SPLITS,
    "model.preset": PRESETS,
    "model.foresight": FORESIGHTS,
    "model.head": HEADS,
    "data.judge.name": JUDGES,
    "data.judge.output_limit": OUTPUT_LIMITS,
}
RANGES = {
    "seed": (0, 2**31 - 1),
    "seeds": (0, 1000),
    "data.most_users": (0, 10**9),
    "data.num_users": _POSITIVE,
    "data.preference_min": _SHARE,
    "data.preference_max": _SHARE,
    "data.train_share": (0.01, 0.99),
    "data.validation_share": (0.01, 0.99),
    "data.decisions_per_user": (0, 10**9),
    "data.given": (0, 10**9),
    "data.embedded.num_tasks": (1, 50),
    "data.embedded.num_queries": _POSITIVE,
    "data.embedded.num_llms": (2, 1000),
    "data.embedded.num_users": _POSITIVE,
    "data.embedded.decisions_per_user": _POSITIVE,
    "data.embedded.more_users": (0, 10**9),
    "data.embedded.seed": (0, 2**31 - 1),
    "data.judge.noise": (0.0, 1000.0),
    "data.judge.seed": (0, 2**31 - 1),
    "data.judge.concurrency": (1, 1000),
    "data.judge.attempts": (1, 100),
    "data.judge.backoff": (0.0, 3600.0),
    "data.judge.timeout": (0.01, 86400.0),
    "data.judge.max_output_tokens": (1, 10**6),
    "data.judge.input_price": (0.0, 1e6),
    "data.judge.output_price": (0.0, 1e6),
    "data.judge.max_cost": (0.0, 1e9),
    "model.taste_dim": (0, 256),
    "model.taste_precision": (1e-6, 1e9),
    "model.population_strength": (1e-3, 1e6),
    "model.warmup_rounds": (0, 10**6),
    "model.near.text": (0.0, 1e6),
    "model.near.style": (0.0, 1e6),
    "model.near.task": (0.0, 1e6),
    "model.near.noise": (1e-6, 1e9),
    "model.near.most_queries": (1, 10**6),
    "model.hidden_dim": (1, 4096),
    "model.message_passing_steps": (1, 16),
    "optimizer.learning_rate": (1e-9, 10.0),
    "optimizer.weight_decay": (0.0, 10.0),
    "optimizer.warmup_steps": (0, 10**9),
    "optimizer.clip_norm": (1e-9, 1e9),
    "train.num_train_steps": _POSITIVE,
    "train.users_per_step": (0, 10**9),
    "train.history_length": (1, 10**6),
    "train.steps_per_round": (0, 10**9),
    "train.folds": (2, 100),
    "train.full_history_share": _SHARE,
    "train.no_task_share": _SHARE,
    "train.text_noise": (0.0, 100.0),
    "train.eval_every_steps": _POSITIVE,
    "train.patience": _POSITIVE,
    "mesh.data": (1, 2**20),
    "mesh.model": (1, 2**20),
}
