# The bed's names, and how one of its services is started, found and stopped. Sourced by up.sh, down.sh and ctl.sh.
# shellcheck shell=bash
STATE=${CLUSTRIX_SGE_BED:-/var/lib/clustrix-testbeds/sge}
SSH_PORT=2242
MASTER_PORT=6444
EXECD_PORT=6445
SLOTS=24
SERVICES=(qmaster execd sshd)
USERS=(hpcsge hpcsge2)
HOST=$(hostname)
T0=$(date +%s%N)
export SGE_ROOT=$STATE/root SGE_CELL=default SGE_CLUSTER_NAME=testgrid
export SGE_QMASTER_PORT=$MASTER_PORT SGE_EXECD_PORT=$EXECD_PORT
export SGE_SINGLE_LINE=1 # else qconf folds long lines
COMMON=$SGE_ROOT/$SGE_CELL/common
SPOOL=$STATE/spool
WRAP=$SGE_ROOT/wrap
# As the package's own util/arch has it.
case $(uname -m) in x86_64) ARCH=lx-amd64 ;; aarch64) ARCH=lx-arm64 ;; *) ARCH=lx-$(uname -m) ;; esac
PATH=$SGE_ROOT/bin/$ARCH:$PATH

say() { printf '%6d ms  %s\n' $((($(date +%s%N) - T0) / 1000000)) "$*"; }
die() { echo "Grid Engine bed: $*" >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "needs root"; }

wait_for() { # wait_for SECONDS WHAT COMMAND...
  local left=$(($1 * 20)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || die "$what did not happen in time; logs are in $STATE/log and $SPOOL/*/messages"
    sleep 0.05
  done
}

# One script changes the bed at a time. Daemons must not inherit the lock: see detach.
lock_bed() {
  install -d -m 755 "$(dirname "$STATE")"
  exec 9>"$STATE.scripts.lock"
  flock -w 300 9 || die "another up.sh, down.sh or ctl.sh is still at work"
}

# Jobs inherit the environment of the daemon that starts them.
detach() {
  (cd / && exec setsid -f env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    SGE_ROOT="$SGE_ROOT" SGE_CELL=$SGE_CELL SGE_CLUSTER_NAME=$SGE_CLUSTER_NAME SGE_QMASTER_PORT=$MASTER_PORT \
    SGE_EXECD_PORT=$EXECD_PORT SGE_QMASTER_PIDFILE="$(pidfile qmaster)" SGE_EXECD_PIDFILE="$(pidfile execd)" "$@") \
    </dev/null >>"$STATE/log/stdio.log" 2>&1 9>&-
}

pidfile() {
  case $1 in
    qmaster | execd | sshd) echo "$STATE/run/$1.pid" ;;
    *) die "no service $1; there are ${SERVICES[*]}" ;;
  esac
}

# A pid file counts only while that pid is still this daemon: not a zombie (it has no cmdline), not a reused pid.
running() {
  local pid line
  pid=$(cat "$(pidfile "$1")" 2>/dev/null) && [ -n "$pid" ] || return 1
  line=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
  case $line in *"$STATE"*) return 0 ;; *) return 1 ;; esac
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
queue_ready() { qstat -f -q all.q | awk 'index($1, "all.q@") == 1 && NF == 5 && $4 != "-NA-" { ok = 1 } END { exit !ok }'; }

start() {
  running "$1" && return 0
  rm -f "$(pidfile "$1")"
  case $1 in
    qmaster)
      detach "$SGE_ROOT/bin/$ARCH/sge_qmaster"
      wait_for 30 "qmaster" qconf -sh
      wait_for 10 "qmaster's pid file" running qmaster ;;
    execd)
      detach "$SGE_ROOT/bin/$ARCH/sge_execd"
      wait_for 10 "execd's pid file" running execd
      wait_for 60 "the queue" queue_ready ;;
    sshd)
      install -d -m 755 /run/sshd
      detach /usr/sbin/sshd -f "$STATE/etc/sshd_config" -E "$STATE/log/sshd.log"
      wait_for 10 "sshd" listens "$SSH_PORT"
      wait_for 10 "sshd's pid file" running sshd ;;
  esac
  say "$1 started"
}

stop() { # stop SERVICE [SIGNAL]: it has ended when this returns
  local file pid
  file=$(pidfile "$1")
  if running "$1"; then
    pid=$(cat "$file")
    kill "-${2:-TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq 200); do running "$1" || break; sleep 0.05; done
    if running "$1"; then kill -KILL "$pid" 2>/dev/null || true; fi
    say "$1 stopped"
  fi
  rm -f "$file"
}

as_admin() {
  setpriv --reuid sgeadmin --regid sgeadmin --clear-groups --reset-env env SGE_ROOT="$SGE_ROOT" SGE_CELL=$SGE_CELL \
    SGE_QMASTER_PORT=$MASTER_PORT SGE_EXECD_PORT=$EXECD_PORT PATH="$PATH" "$@"
}

configure() { # configure OPTION FILE: what qconf is told it must take
  local said
  said=$(as_admin qconf "$1" "$2" 2>&1) || die "qconf $1 $2: $said"
}

# Grid Engine writes its accounting file every so many seconds: 15 by default, 1 for quick tests.
write_global() { # write_global FLUSH ACCOUNTING, in seconds
  qconf -sconf global | grep -v '^#' | sed -E \
    -e 's@^(mailer +).*@\1/bin/true@' \
    -e 's@^(shell_start_mode +).*@\1unix_behavior@' \
    -e 's@^(min_uid +).*@\1100@' -e 's@^(min_gid +).*@\1100@' \
    -e 's@^(load_report_time +).*@\100:00:02@' \
    -e "s@^(reporting_params +).*@\1accounting=true reporting=false flush_time=00:00:$1 accounting_flush_time=00:00:$2 joblog=false sharelog=00:00:00@" \
    -e 's@^(execd_params +).*@\1PDC_INTERVAL=1 ENABLE_ADDGRP_KILL=true@' \
    -e 's@^(administrator_mail +).*@\1none@' \
    -e 's@^(finished_jobs +).*@\1100@' \
    -e 's@^(max_aj_instances +).*@\12000@' -e 's@^(max_aj_tasks +).*@\175000@' >"$STATE/etc/global"
  configure -Mconf "$STATE/etc/global" # the configuration is called after the file
}

# sge_shepherd and its job outlive execd, so the jobs go first.
delete_jobs() {
  running qmaster || return 0
  [ -n "$(timeout 10 qstat -u '*' 2>/dev/null)" ] || return 0
  timeout 10 qdel -f -u '*' >/dev/null 2>&1 || true
  for _ in $(seq 100); do
    [ -n "$(timeout 5 qstat -u '*' 2>/dev/null)" ] || return 0
    sleep 0.05
  done
}

end_user_processes() { # what the bed's users left behind: detached jobs, ssh sessions
  local users pids signal
  users=$(IFS=,; echo "${USERS[*]}")
  for signal in TERM KILL; do
    pids=$(pgrep -u "$users" 2>/dev/null | xargs) || true
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086
    kill "-$signal" $pids 2>/dev/null || true
    sleep 0.2
  done
}
