"""The evaluation protocol: tables of settings, seeds and policies, measured and compared with requirements."""
