"""What `launch.bench` measures: a module for each work, with measure(Setting) -> figures, in a process of its own."""

WORKS = (
    *("start", "full_pass", "pairs", "texts", "epochs", "processes"),
    *("collect", "reading", "logs", "off_policy"),
)
