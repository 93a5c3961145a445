#!/usr/bin/env bash
# One service of a bed that is up: ctl.sh start|stop|kill|status SERVICE   (qmaster execd sshd)
# How late accounting is:          ctl.sh flush stock|fast
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/sge/lib.sh
source "$HERE/lib.sh"
[ $# = 2 ] || die "usage: ctl.sh start|stop|kill|status SERVICE, or ctl.sh flush stock|fast"
need_root
lock_bed
case $* in
  "flush stock") write_global 15 15 ;;
  "flush fast") write_global 01 00 ;;
  start\ *) start "$2" ;;
  stop\ *) stop "$2" TERM ;;
  kill\ *) stop "$2" KILL ;;
  status\ *) if running "$2"; then echo running; else echo stopped; exit 3; fi ;;
  *) die "usage: ctl.sh start|stop|kill|status SERVICE, or ctl.sh flush stock|fast" ;;
esac
