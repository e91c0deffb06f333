"""Off-policy evaluation from logged decisions: propensities, estimators, intervals."""
