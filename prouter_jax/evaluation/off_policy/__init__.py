"""Off-policy evaluation: the value of a router, estimated from logged decisions of another policy."""
