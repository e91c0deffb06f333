"""Production logs of gateways, converted to a folder of tables."""
