#!/usr/bin/env bash
# Stops what up.sh started, by pid file, and ends what the bed's users left running. --purge removes the state too, not the packages.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/slurm/lib.sh
source "$HERE/lib.sh"
need_root
lock_bed
rm -f "$STATE.by-hand"
was_up=
for service in "${SERVICES[@]}"; do if running "$service"; then was_up=yes; fi; done
[ -z "$was_up" ] || cancel_jobs
for service in sshd sshd-password slurmctld "${NODES[@]}" slurmdbd mariadbd munged; do stop "$service"; done
[ -z "$was_up" ] || end_user_processes
if [ "${1:-}" = --purge ]; then
  rm -rf "$STATE" /etc/pam.d/clustrix-sshd
  for name in slurm.conf cgroup.conf; do
    [ ! -L "/etc/slurm/$name" ] || rm -f "/etc/slurm/$name"
  done
fi
say "down"
