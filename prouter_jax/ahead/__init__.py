"""What the TPU compiler says of the real steps on a real topology, without a TPU."""
