"""The works that `prouter bench` measures: a module each, with measure(Setting) -> figures, in a process of its own."""

WORKS = (
    *("start", "full_pass", "default_network", "pairs", "texts", "new_queries", "epochs", "processes"),
    *("collect", "reading", "logs", "off_policy", "new_llms"),
)
