"""The works that `prouter bench` measures, each in a process of its own, by `measure_WORK(Setting) -> figures`."""

WORKS = {  # in the order in which they are measured; the module of each
    "start": "commands",
    "full_pass": "training",
    "default_network": "training",
    "pairs": "scoring",
    "texts": "scoring",
    "new_queries": "scoring",
    "live": "live",
    "epochs": "training",
    "processes": "commands",
    "collect": "commands",
    "reading": "reading",
    "logs": "reading",
    "off_policy": "off_policy",
    "new_llms": "new_llms",
    "serve": "serving",
}
