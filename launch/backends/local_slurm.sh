#!/usr/bin/env bash
# A Slurm of two nodes on this machine, for tests: local_slurm.sh start FOLDER | stop FOLDER.
# Needs Debian's slurm-wlm and munge, and root. Then: SLURM_CONF=FOLDER/slurm.conf sbatch ...
set -euo pipefail
command=$1 folder=$(realpath -m "$2")

start() {
  mkdir -p "$folder"/{run,state,log,spool}
  chmod -R 755 "$folder"
  dd if=/dev/urandom of="$folder/run/munge.key" bs=1024 count=1 status=none
  chmod 600 "$folder/run/munge.key"
  munged --force --key-file="$folder/run/munge.key" --socket="$folder/run/munge.socket" \
    --pid-file="$folder/run/munged.pid" --log-file="$folder/log/munged.log" --seed-file="$folder/run/munged.seed"
  configuration > "$folder/slurm.conf"
  slurmctld -i -f "$folder/slurm.conf"
  for node in n1 n2; do slurmd -N "$node" -f "$folder/slurm.conf"; done
  for _ in $(seq 100); do
    [ "$(SLURM_CONF="$folder/slurm.conf" sinfo -h -t idle -o %D 2> /dev/null || true)" = 2 ] && return
    sleep 0.2
  done
  echo "local_slurm.sh: the nodes did not become idle: $folder/log" >&2
  exit 1
}

stop() {
  for name in slurmd.n1 slurmd.n2 slurmctld munged; do
    if [ -f "$folder/run/$name.pid" ]; then kill "$(cat "$folder/run/$name.pid")" 2> /dev/null || true; fi
  done
}

# linuxproc: pgid took ended batch scripts for alive, and Slurm drained their nodes ("Kill task failed")
configuration() {
  local cores memory
  cores=$(nproc)
  memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 / 3))
  cat << EOF
ClusterName=local
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
StateSaveLocation=$folder/state
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.%n.pid
SlurmdSpoolDir=$folder/spool/%n
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
SwitchType=switch/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=30
MinJobAge=300
InactiveLimit=0
NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=16818-16819 CPUs=$cores RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
EOF
}

"$command"
