"""Production logs of a gateway, a row a request, into a folder of tables."""
