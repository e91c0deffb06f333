"""A trained router: loading, scoring, explanations, updates, drift."""
