#!/usr/bin/env bash
# Stops what up.sh started, by pid file, and what containers left behind. The cluster is forgotten, what it is made of stays;
# --purge removes that too, and the next up.sh takes minutes.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/kubernetes/lib.sh
source "$HERE/lib.sh"
need_root
lock_bed
rm -f "$STATE.by-hand"
for n in "${NODES[@]}"; do stop "kubelet$n"; done
for name in kube-scheduler kube-controller-manager kube-apiserver etcd; do stop "$name"; done
for n in "${NODES[@]}"; do
  for group in /sys/fs/cgroup/pids/clustrix-bed-$n; do # all containers of the node
    [ ! -d "$group" ] || find "$group" -name cgroup.procs -exec cat {} + | xargs -r kill -KILL 2>/dev/null || true
  done
  stop "containerd$n"
  for process in /proc/[0-9]*; do
    line=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline") || continue
    case $line in *containerd-shim*" -address $RUN/node$n/"*) kill -KILL "${process#/proc/}" 2>/dev/null || true ;; esac
  done
  stop "host$n"
done
awk -v run="$RUN/" 'index($2, run) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
for space in /run/netns/cni-*; do
  [ ! -e "$space" ] || ! grep -qs "$(basename "$space")" "$RUN"/node*/cache/results/* || ip netns del "$(basename "$space")" || true
done
sleep 0.2
ip address del "$SERVICES/32" dev lo 2>/dev/null || true
for n in "${NODES[@]}"; do
  ip link del "clustrix-bed-$n" 2>/dev/null || true
  for group in /sys/fs/cgroup/*/clustrix-bed-$n; do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
done
if [ -s "$STATE/sysctl" ]; then
  sysctl -qp "$STATE/sysctl"
  rm -f "$STATE/sysctl"
fi
rm -rf "$RUN" "$STATE/volume"
[ "${1:-}" != --purge ] || rm -rf "$STATE"
say "down"
