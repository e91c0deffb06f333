"""The protocol: tables of settings, seeds and policies, measured unit by unit, judged against what was required."""
