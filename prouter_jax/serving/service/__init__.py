"""The HTTP service: decisions and feedback over the network, with a state that survives; needs the extra `serve`."""
