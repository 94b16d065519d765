#!/bin/bash
# A SLURM of one node on this machine, with two pretend GPUs, for tests. As root, with Debian's slurm-wlm and munge:
#   tests/slurm/cluster.sh start DIR    prints the SLURM_CONF to export
#   tests/slurm/cluster.sh stop DIR
# Everything it writes is in DIR, which the user munge must be able to reach, but for a link at /etc/slurm/slurm.conf,
# since jobs do not inherit SLURM_CONF. Where a SLURM is configured already, it refuses to start.
set -Eeuo pipefail

action=$1
dir=$(realpath -m "$2")
export SLURM_CONF=$dir/slurm.conf
link=/etc/slurm/slurm.conf

stop() {
    for daemon in slurmd slurmctld munge/munged; do
        [ -f "$dir/$daemon.pid" ] && kill "$(cat "$dir/$daemon.pid")" 2>/dev/null || true
    done
    if [ "$(readlink "$link")" = "$SLURM_CONF" ]; then rm "$link"; fi
}

start() {
    local host memory
    if [ -e "$link" ]; then
        echo "$link exists: this machine's SLURM is left alone" >&2
        return 1
    fi
    mkdir -p "$(dirname "$link")"
    ln -sfn "$SLURM_CONF" "$link"
    trap 'stop; find "$dir" -type f \( -name "*log" -o -name "*start" \) -exec tail -n 5 {} + >&2' ERR
    host=$(hostname)
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    mkdir -p "$dir"/{munge,state,spool,log}
    chmod 755 "$dir"
    dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
    chmod 400 "$dir/munge/key"
    chmod 755 "$dir/munge"
    chown -R munge: "$dir/munge"
    cat > "$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=2
MinJobAge=300
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory Gres=gpu:2
PartitionName=main Nodes=$host Default=YES State=UP MaxTime=INFINITE
END
    # Files that are surely there; nobody computes on them.
    printf 'NodeName=%s Name=gpu File=%s\n' "$host" /dev/null "$host" /dev/zero > "$dir/gres.conf"
    setpriv --reuid munge --regid munge --clear-groups munged --force --key-file "$dir/munge/key" \
        --socket "$dir/munge/socket" --pid-file "$dir/munge/munged.pid" --log-file "$dir/munge/log" \
        --seed-file "$dir/munge/seed" 2> "$dir/log/munged.start"
    slurmctld > "$dir/log/start" 2>&1
    slurmd >> "$dir/log/start" 2>&1
    for _ in $(seq 60); do
        if sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then
            echo "$SLURM_CONF"
            return
        fi
        sleep 0.5
    done
    false
}

case $action in
    start | stop) "$action" ;;
    *) echo "usage: $0 start|stop DIR" >&2; exit 2 ;;
esac
