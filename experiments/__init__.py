"""One file per experiment; `get_config()` returns it, the docstring says what to expect."""
