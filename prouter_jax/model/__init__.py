"""The networks: answer features, posterior, prior, latent factors, query kernel, message passing, inference."""
