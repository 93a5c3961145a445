#!/usr/bin/env bash
# One service of a bed that is up: ctl.sh start|stop|kill|status SERVICE   (munged mariadbd slurmdbd slurmctld n1 n2 n3 sshd sshd-password)
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/slurm/lib.sh
source "$HERE/lib.sh"
[ $# = 2 ] || die "usage: ctl.sh start|stop|kill|status SERVICE"
need_root
lock_bed
pidfile "$2" >/dev/null
case $1 in
  start)
    start "$2"
    case $2 in n[0-9]*) wait_for 60 "node $2" heal "$2" ;; esac ;;
  stop) stop "$2" TERM ;;
  kill) stop "$2" KILL ;;
  status) if running "$2"; then echo running; else echo stopped; exit 3; fi ;;
  *) die "usage: ctl.sh start|stop|kill|status SERVICE" ;;
esac
