"""Where jobs run: this machine, Slurm, TPU pods on GKE, TPU VMs; one interface, in `job`."""
