"""Back ends that run jobs: this machine, Slurm, TPU pods on GKE, TPU VMs; `job` has their interface."""
