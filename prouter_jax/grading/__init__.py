"""How good an answer is, from 0 to 1, by the metric of its task."""
