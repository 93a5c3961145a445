#!/usr/bin/env bash
# A real Slurm (slurmctld, three slurmd of 8 CPUs and 4096 MB, slurmdbd over MariaDB, munge) and two sshd on loopback, without systemd.
#
#   up.sh                    brings it up, or repairs it; does nothing when all is well
#   up.sh --no-accounting    the same without slurmdbd: sacct says that accounting is disabled
#
# State is under $CLUSTRIX_SLURM_BED (/var/lib/clustrix-testbeds/slurm). Outside of it are only the packages, the users hpc and
# hpc2, two links in /etc/slurm and /etc/pam.d/clustrix-sshd. Ports are fixed, so a machine has one such cluster at a time.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/slurm/lib.sh
source "$HERE/lib.sh"
accounting=yes
case ${1:-} in
  '') ;;
  --no-accounting) accounting=no ;;
  *) die "usage: up.sh [--no-accounting]" ;;
esac
need_root
[ -e /etc/debian_version ] || die "needs Debian"
HOST=$(hostname -s)

install_packages() {
  local packages=(slurm-wlm slurm-client slurmctld slurmd slurmdbd munge openssh-server openssh-client
    mariadb-server-core mariadb-client-core python3 procps) missing=() name policy=/usr/sbin/policy-rc.d made=
  for name in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  export DEBIAN_FRONTEND=noninteractive
  # Keeps the packages' own scripts from starting services.
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=yes
  fi
  if ! { apt-get -q -o DPkg::Lock::Timeout=600 update &&
    apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "${missing[@]}"; } \
    </dev/null >"$STATE.apt.log" 2>&1 9>&-; then
    [ -z "$made" ] || rm -f "$policy"
    tail -n 30 "$STATE.apt.log" >&2
    die "apt-get could not install ${missing[*]}"
  fi
  [ -z "$made" ] || rm -f "$policy"
  say "packages installed: ${missing[*]}"
}

make_directories() {
  local node
  install -d -m 755 "$STATE" "$STATE/etc" "$STATE/log" "$STATE/run" "$STATE/ssh"
  install -d -m 755 -o munge -g munge "$STATE/run/munge" "$STATE/log/munge"
  install -d -m 700 -o munge -g munge "$STATE/etc/munge"
  install -d -m 755 -o slurm -g slurm "$STATE/state" "$STATE/log/slurm" "$STATE/run/mysql"
  install -d -m 700 -o slurm -g slurm "$STATE/mysql"
  for node in "${NODES[@]}"; do install -d -m 755 "$STATE/spool/$node"; done
}

make_secret() { # make_secret FILE: once, readable by root alone
  if [ ! -s "$1" ]; then
    (umask 077 && head -c 18 /dev/urandom | base64 | tr '+/' 'xy' >"$1")
  fi
}

make_user() { # make_user NAME: an ordinary user who logs in with a key of their own
  local home
  id "$1" >/dev/null 2>&1 || useradd -m -s /bin/bash "$1"
  home=$(getent passwd "$1" | cut -d: -f6)
  [ -s "$STATE/ssh/id_$1" ] || ssh-keygen -q -t ed25519 -N '' -C "$1" -f "$STATE/ssh/id_$1"
  install -d -m 700 -o "$1" -g "$1" "$home/.ssh"
  # Appended, because another bed may share the user.
  grep -qsxFf "$STATE/ssh/id_$1.pub" "$home/.ssh/authorized_keys" || cat "$STATE/ssh/id_$1.pub" >>"$home/.ssh/authorized_keys"
  chown "$1:$1" "$home/.ssh/authorized_keys"
  chmod 600 "$home/.ssh/authorized_keys"
}

make_users() {
  make_user hpc
  make_user hpc2
  # useradd leaves "!", a locked account, and sshd without PAM refuses that even for keys.
  usermod -p '*' hpc
  make_secret "$STATE/ssh/password_hpc2"
  # Set once: each change rewrites /etc/shadow.
  if [ ! -e "$STATE/ssh/password_hpc2.set" ] || [ "$(passwd -S hpc2 | cut -d' ' -f2)" != P ]; then
    (printf 'hpc2:' && cat "$STATE/ssh/password_hpc2") | chpasswd
    touch "$STATE/ssh/password_hpc2.set"
  fi
}

host_entry() { # host_entry ALIAS PORT USER [LINE...]
  printf 'Host %s\n  HostName 127.0.0.1\n  Port %s\n  User %s\n' "$1" "$2" "$3"
  printf '  UserKnownHostsFile %s\n  StrictHostKeyChecking yes\n' "$STATE/ssh/known_hosts"
  shift 3
  printf '  %s\n' "$@"
}

write_ssh() {
  local name
  for name in sshd sshd-password; do
    [ -s "$STATE/ssh/host_$name" ] || ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$STATE/ssh/host_$name"
  done
  {
    echo "[127.0.0.1]:$SSH_PORT $(cut -d' ' -f1,2 "$STATE/ssh/host_sshd.pub")"
    echo "[127.0.0.1]:$PASSWORD_PORT $(cut -d' ' -f1,2 "$STATE/ssh/host_sshd-password.pub")"
  } >"$STATE/ssh/known_hosts"
  {
    host_entry testcluster "$SSH_PORT" hpc "IdentityFile $STATE/ssh/id_hpc" "IdentitiesOnly yes" "BatchMode yes"
    host_entry testcluster2 "$SSH_PORT" hpc2 "IdentityFile $STATE/ssh/id_hpc2" "IdentitiesOnly yes" "BatchMode yes"
    host_entry testjump "$PASSWORD_PORT" hpc2 "IdentityFile $STATE/ssh/id_hpc2" "IdentitiesOnly yes" "BatchMode yes" \
      "ProxyJump testcluster"
    host_entry testpassword "$PASSWORD_PORT" hpc2 "PubkeyAuthentication no"
  } >"$STATE/ssh/ssh_config"
  cat >"$STATE/etc/sshd_config" <<X
ListenAddress 127.0.0.1
Port $SSH_PORT
HostKey $STATE/ssh/host_sshd
PidFile $STATE/run/sshd.pid
AllowUsers hpc hpc2
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
Subsystem sftp /usr/lib/openssh/sftp-server
X
  # Keyboard-interactive is PAM's. The service is named after the program, and Debian's own "sshd" service asks for more than a
  # container may have (pam_loginuid), hence the link.
  cat >"$STATE/etc/sshd_config-password" <<X
ListenAddress 127.0.0.1
Port $PASSWORD_PORT
HostKey $STATE/ssh/host_sshd-password
PidFile $STATE/run/sshd-password.pid
AllowUsers hpc2
PermitRootLogin no
PubkeyAuthentication yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
UsePAM yes
UseDNS no
PrintMotd no
PrintLastLog no
Subsystem sftp /usr/lib/openssh/sftp-server
X
  ln -sfn /usr/sbin/sshd "$STATE/run/clustrix-sshd"
  cat >/etc/pam.d/clustrix-sshd <<X
auth    required pam_unix.so nodelay
account required pam_unix.so
session required pam_permit.so
X
}

write_slurmdbd_conf() {
  make_secret "$STATE/etc/sql_password"
  install -m 600 -o slurm -g slurm /dev/null "$STATE/etc/slurmdbd.conf" # slurmdbd refuses any other mode
  cat >"$STATE/etc/slurmdbd.conf" <<X
AuthType=auth/munge
AuthInfo=socket=$MUNGE_SOCK
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
SlurmUser=slurm
LogFile=$STATE/log/slurm/slurmdbd.log
PidFile=$(pidfile slurmdbd)
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$SQL_PORT
StorageUser=slurm
StoragePass=$(cat "$STATE/etc/sql_password")
StorageLoc=slurm_acct_db
CommitDelay=0
X
}

# OUT_OF_MEMORY is seen by cgroups alone; linuxproc shows a plain FAILED instead.
have_cgroups() { [ -d /sys/fs/cgroup/memory ] && [ -d /sys/fs/cgroup/freezer ]; }

slurm_conf() {
  local tracker=cgroup i
  if ! have_cgroups; then tracker=linuxproc; fi
  cat <<X
ClusterName=testcluster
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$CTLD_PORT
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for cred_expire.
AuthInfo=socket=$MUNGE_SOCK,cred_expire=10
StateSaveLocation=$STATE/state
SlurmctldPidFile=$(pidfile slurmctld)
SlurmctldLogFile=$STATE/log/slurm/slurmctld.log
SlurmdSpoolDir=$STATE/spool/%n
SlurmdPidFile=$STATE/run/slurmd-%n.pid
SlurmdLogFile=$STATE/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
# Lets a small machine pose as three nodes of eight CPUs.
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
ProctrackType=proctrack/$tracker
TaskPlugin=task/${tracker/linuxproc/none}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
SchedulerType=sched/backfill
# batch_sched_delay is what makes a lone job start at once.
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,bf_max_job_test=2000,default_queue_depth=1000,partition_job_depth=1000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MaxArraySize=10001
MaxJobCount=20000
# squeue forgets quickly.
MinJobAge=5
KillWait=2
OverTimeLimit=0
InactiveLimit=0
SlurmdTimeout=10
SlurmctldTimeout=10
MessageTimeout=30
CompleteWait=0
DefMemPerCPU=64
X
  if [ "$accounting" = yes ]; then
    cat <<X
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
AccountingStoragePass=$MUNGE_SOCK
AccountingStoreFlags=job_comment
X
  else
    echo AccountingStorageType=accounting_storage/none
  fi
  for i in "${!NODES[@]}"; do
    echo "NodeName=${NODES[i]} NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((NODE_PORT + i + 1)) CPUs=8 Boards=1" \
      "SocketsPerBoard=1 CoresPerSocket=8 ThreadsPerCore=1 RealMemory=4096 Feature=any,${NODES[i]} State=UNKNOWN"
  done
  cat <<X
PartitionName=debug   Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=short   Nodes=ALL MaxTime=1  DefaultTime=1  PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=scav    Nodes=ALL MaxTime=60 DefaultTime=10 PriorityTier=1  PreemptMode=CANCEL State=UP
PartitionName=requeue Nodes=ALL MaxTime=60 DefaultTime=10 PriorityTier=1  PreemptMode=REQUEUE State=UP
PartitionName=urgent  Nodes=ALL MaxTime=60 DefaultTime=10 PriorityTier=100 PreemptMode=OFF State=UP
X
}

write_slurm_conf() { # true when what it wrote is new
  local name
  cat >"$STATE/etc/cgroup.conf" <<X
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainCores=no
ConstrainDevices=no
ConstrainRAMSpace=yes
AllowedRAMSpace=100
ConstrainSwapSpace=no
X
  install -d -m 755 /etc/slurm
  for name in slurm.conf cgroup.conf; do ln -sfn "$STATE/etc/$name" "/etc/slurm/$name"; done
  slurm_conf >"$STATE/etc/slurm.conf.new"
  if cmp -s "$STATE/etc/slurm.conf.new" "$STATE/etc/slurm.conf"; then
    rm "$STATE/etc/slurm.conf.new"
    return 1
  fi
  mv "$STATE/etc/slurm.conf.new" "$STATE/etc/slurm.conf"
}

make_munge_key() {
  local key=$STATE/etc/munge/munge.key
  [ -s "$key" ] || {
    install -m 400 -o munge -g munge /dev/null "$key"
    dd if=/dev/urandom of="$key" bs=128 count=1 status=none
  }
}

start_accounting() {
  if [ ! -d "$STATE/mysql/mysql" ]; then
    mariadb-install-db --no-defaults --user=slurm --datadir="$STATE/mysql" --skip-test-db \
      --auth-root-authentication-method=socket --auth-root-socket-user=root >"$STATE/log/mysql-install.log" 2>&1
    say "database made"
  fi
  running slurmdbd && running mariadbd && return 0
  start mariadbd
  sql "create database if not exists slurm_acct_db;
    create user if not exists slurm@'127.0.0.1';
    alter user slurm@'127.0.0.1' identified by '$(cat "$STATE/etc/sql_password")';
    grant all on slurm_acct_db.* to slurm@'127.0.0.1';"
  start slurmdbd
  sacctmgr -nP list cluster format=cluster | grep -qx testcluster || sacctmgr -i add cluster testcluster >/dev/null
}

start_slurm() {
  local node
  if [ "$accounting" = yes ]; then start_accounting; else stop slurmdbd; fi
  start slurmctld
  for node in "${NODES[@]}"; do start "$node"; done
  for node in "${NODES[@]}"; do wait_for 60 "node $node" heal "$node"; done
}

lock_bed
# Tests leave a bed up that was brought up by hand.
[ -n "${CLUSTRIX_BED_FOR_TESTS:-}" ] || touch "$STATE.by-hand"
install_packages
make_directories
make_users
write_ssh
write_slurmdbd_conf
make_munge_key
if write_slurm_conf; then
  # Which accounting there is, is read at the start alone.
  for service in slurmctld "${NODES[@]}"; do stop "$service"; done
fi
start munged
start_slurm
start sshd
start sshd-password
say "up (accounting: $accounting); try: ssh -F $STATE/ssh/ssh_config testcluster sinfo"
