"""The works that `prouter bench` measures, each in a process of its own, by `measure_WORK(Setting) -> figures`."""

WORKS = {  # the module of each
    "start": "start",
    **dict.fromkeys(("full_pass", "default_network"), "training"),
    **dict.fromkeys(("pairs", "texts", "new_queries"), "scoring"),
    "epochs": "training",
    "processes": "processes",
    "collect": "collect",
    "reading": "reading",
    "logs": "reading",
    "off_policy": "off_policy",
    "new_llms": "new_llms",
}
