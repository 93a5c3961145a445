#!/usr/bin/env bash
# One service of a bed that is up: ctl.sh start|stop|kill|status SERVICE
# SERVICE is one of etcd kube-apiserver kube-controller-manager kube-scheduler containerd1 containerd2 kubelet1 kubelet2
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/kubernetes/lib.sh
source "$HERE/lib.sh"
[ $# = 2 ] || die "usage: ctl.sh start|stop|kill|status SERVICE"
need_root
lock_bed
case $1 in
  start) start "$2" ;;
  stop) stop "$2" TERM ;;
  kill) stop "$2" KILL ;;
  status) if running "$2"; then echo running; else echo stopped; exit 3; fi ;;
  *) die "usage: ctl.sh start|stop|kill|status SERVICE" ;;
esac
