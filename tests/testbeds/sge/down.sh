#!/usr/bin/env bash
# Stops what up.sh started, by pid file, and ends what the bed's users left running. --purge removes the state too, not the downloaded packages.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/sge/lib.sh
source "$HERE/lib.sh"
need_root
lock_bed
rm -f "$STATE.by-hand"
was_up=
for service in "${SERVICES[@]}"; do if running "$service"; then was_up=yes; fi; done
[ -z "$was_up" ] || delete_jobs
for service in sshd execd qmaster; do stop "$service"; done
[ -z "$was_up" ] || end_user_processes
if [ "${1:-}" = --purge ]; then
  find "$STATE" -mindepth 1 -maxdepth 1 ! -name packages -exec rm -rf {} + 2>/dev/null || true
  [ ! -L /usr/lib/gridengine/libspoolb.so ] || rm -f /usr/lib/gridengine/libspoolb.so
fi
say "down"
