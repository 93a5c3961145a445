# The bed's names, and how one of its services is started, found and stopped. Sourced by up.sh, down.sh and ctl.sh.
# shellcheck shell=bash
STATE=${CLUSTRIX_SLURM_BED:-/var/lib/clustrix-testbeds/slurm}
SSH_PORT=2222
PASSWORD_PORT=2223
CTLD_PORT=16817
DBD_PORT=16819
SQL_PORT=16806
NODE_PORT=16820 # node i listens on NODE_PORT+i
NODES=(n1 n2 n3)
SERVICES=(munged mariadbd slurmdbd slurmctld "${NODES[@]}" sshd sshd-password)
USERS=(hpc hpc2)
T0=$(date +%s%N)
export MUNGE_SOCK=$STATE/run/munge/munge.sock
# The only name by which slurmdbd finds its configuration (it has no -f).
export SLURM_CONF=$STATE/etc/slurm.conf

say() { printf '%6d ms  %s\n' $((($(date +%s%N) - T0) / 1000000)) "$*"; }
die() { echo "slurm bed: $*" >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "needs root"; }

wait_for() { # wait_for SECONDS WHAT COMMAND...
  local left=$(($1 * 20)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || die "$what did not happen in time; logs are in $STATE/log"
    sleep 0.05
  done
}

# One script changes the bed at a time. Daemons must not inherit the lock: see detach.
lock_bed() {
  install -d -m 755 "$(dirname "$STATE")"
  exec 9>"$STATE.scripts.lock"
  flock -w 300 9 || die "another up.sh, down.sh or ctl.sh is still at work"
}

detach() { setsid -f "$@" </dev/null >>"$STATE/log/stdio.log" 2>&1 9>&-; }

pidfile() {
  case $1 in
    munged) echo "$STATE/run/munge/munged.pid" ;;
    mariadbd) echo "$STATE/run/mysql/mysql.pid" ;;
    slurmdbd | slurmctld) echo "$STATE/state/$1.pid" ;;
    n[0-9]*) echo "$STATE/run/slurmd-$1.pid" ;;
    sshd | sshd-password) echo "$STATE/run/$1.pid" ;;
    *) die "no service $1; there are ${SERVICES[*]}" ;;
  esac
}

# A pid file counts only while that pid is still this daemon: not a zombie (it has no cmdline), not a reused pid.
running() {
  local pid line
  pid=$(cat "$(pidfile "$1")" 2>/dev/null) && [ -n "$pid" ] || return 1
  line=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
  case $line in
    *"$STATE"*) return 0 ;;
    "slurmdbd "*) [ "$1" = slurmdbd ] ;;
    *) return 1 ;;
  esac
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
sql() { mariadb --no-defaults --socket="$STATE/run/mysql/mysql.sock" --user=root -e "$1"; }
node_usable() { sinfo -h -N -n "$1" -o '%t' | grep -qxE 'idle|mix|alloc|comp'; }

start() {
  running "$1" && return 0
  case $1 in
    munged)
      rm -f "$MUNGE_SOCK" "$MUNGE_SOCK.lock"
      detach setpriv --reuid=munge --regid=munge --clear-groups munged --socket="$MUNGE_SOCK" \
        --key-file="$STATE/etc/munge/munge.key" --pid-file="$(pidfile munged)" \
        --log-file="$STATE/log/munge/munged.log" --seed-file="$STATE/run/munge/munged.seed"
      wait_for 10 "munged" munge -n -S "$MUNGE_SOCK" ;;
    mariadbd)
      detach mariadbd --no-defaults --user=slurm --datadir="$STATE/mysql" --socket="$STATE/run/mysql/mysql.sock" \
        --pid-file="$(pidfile mariadbd)" --bind-address=127.0.0.1 --port="$SQL_PORT" --log-error="$STATE/run/mysql/error.log" \
        --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --innodb-flush-log-at-trx-commit=0 \
        --innodb-lock-wait-timeout=900 --skip-name-resolve --performance-schema=OFF
      wait_for 30 "mariadbd" sql 'select 1' ;;
    slurmdbd)
      detach setpriv --reuid=slurm --regid=slurm --clear-groups slurmdbd -D
      wait_for 60 "slurmdbd" listens "$DBD_PORT"
      wait_for 30 "sacctmgr" sacctmgr -n list cluster ;;
    slurmctld)
      detach slurmctld -D -f "$SLURM_CONF"
      wait_for 30 "slurmctld" scontrol ping ;;
    n[0-9]*)
      detach slurmd -D -N "$1" -f "$SLURM_CONF"
      wait_for 10 "slurmd $1" running "$1" ;;
    sshd)
      install -d -m 755 /run/sshd
      detach /usr/sbin/sshd -f "$STATE/etc/sshd_config" -E "$STATE/log/sshd.log"
      wait_for 10 "sshd" listens "$SSH_PORT"
      wait_for 10 "sshd's pid file" running sshd ;;
    sshd-password)
      install -d -m 755 /run/sshd
      detach "$STATE/run/clustrix-sshd" -f "$STATE/etc/sshd_config-password" -E "$STATE/log/sshd-password.log"
      wait_for 10 "the password sshd" listens "$PASSWORD_PORT"
      wait_for 10 "the password sshd's pid file" running sshd-password ;;
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

# A node that a test set down, drained or killed comes back.
heal() {
  node_usable "$1" || scontrol update "nodename=$1" state=resume 2>/dev/null || true
  node_usable "$1"
}

# slurmstepd and its job outlive the daemons, so the jobs go first.
cancel_jobs() {
  local user
  running slurmctld || return 0
  for user in "${USERS[@]}"; do timeout 10 scancel -u "$user" 2>/dev/null || true; done
  for _ in $(seq 100); do
    [ -n "$(timeout 5 squeue -h -u "$(IFS=,; echo "${USERS[*]}")" 2>/dev/null)" ] || return 0
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
