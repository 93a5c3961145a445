#!/usr/bin/env bash
# A real Grid Engine (Son of Grid Engine 8.1.9: qmaster, one execd of 24 slots) and an sshd on loopback, without systemd.
#
#   up.sh        brings it up, or repairs it; does nothing when all is well
#
# State is under $CLUSTRIX_SGE_BED (/var/lib/clustrix-testbeds/sge). Outside of it are only libraries, the users sgeadmin, hpcsge
# and hpcsge2, and one link in /usr/lib/gridengine. Ports are fixed, so a machine has one such cluster at a time.
#
# Debian's packages are unpacked under a prefix, not installed: gridengine-client and the wrappers that make Slurm look like Torque
# both own /usr/bin/qsub, and gridengine-common wants a mail server. The binaries look for their libraries beside themselves.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/sge/lib.sh
source "$HERE/lib.sh"
[ $# = 0 ] || die "usage: up.sh"
need_root
[ -e /etc/debian_version ] || die "needs Debian"
umask 022

apt() {
  apt-get -q -y -o DPkg::Lock::Timeout=600 -o APT::Sandbox::User=root "$@" </dev/null >>"$STATE.apt.log" 2>&1 9>&- || {
    tail -n 30 "$STATE.apt.log" >&2
    die "apt-get $* failed"
  }
}

install_libraries() {
  local packages=(libjemalloc2 libmunge2 libhwloc15 libtirpc3 libdb5.3 libssl3 openssh-server openssh-client python3 procps)
  local missing=() name policy=/usr/sbin/policy-rc.d made=
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
  (apt update && apt install --no-install-recommends "${missing[@]}") || { [ -z "$made" ] || rm -f "$policy"; exit 1; }
  [ -z "$made" ] || rm -f "$policy"
  say "packages installed: ${missing[*]}"
}

unpack() {
  local name bin=$SGE_ROOT/bin/$ARCH made=$STATE/unpacked
  [ ! -x "$bin/sge_qmaster" ] || return 0
  install -d "$STATE/packages"
  for name in common client exec master; do
    compgen -G "$STATE/packages/gridengine-${name}_*.deb" >/dev/null && continue
    apt-cache show "gridengine-$name" >/dev/null 2>&1 || apt update
    (cd "$STATE/packages" && apt download "gridengine-$name")
  done
  rm -rf "$made"
  for name in "$STATE"/packages/gridengine-*.deb; do dpkg-deb -x "$name" "$made"; done
  # spooldefaults and spooledit are wrappers that look into /usr/lib/gridengine.
  for name in spooldefaults spooledit; do mv "$made/usr/lib/gridengine/$name.bin" "$made/usr/lib/gridengine/$name"; done
  install -d "$SGE_ROOT/bin" "$SGE_ROOT/lib/$ARCH" "$SGE_ROOT/utilbin"
  cp -a "$made/usr/share/gridengine/." "$SGE_ROOT/"
  for name in libspoolb libspoolc; do ln -sfn "../../bin/$ARCH/$name.so" "$SGE_ROOT/lib/$ARCH/$name.so"; done
  ln -sfn "../bin/$ARCH" "$SGE_ROOT/utilbin/$ARCH"
  rm -rf "$bin"
  mv "$made/usr/lib/gridengine" "$bin" # last: it is what a second start looks for
  chmod -R go+rX "$SGE_ROOT"
  rm -rf "$made"
  say "unpacked"
}

make_user() { # make_user NAME: an ordinary user who logs in with a key of their own
  local home
  id "$1" >/dev/null 2>&1 || useradd -m -s /bin/bash "$1"
  home=$(getent passwd "$1" | cut -d: -f6)
  [ -s "$STATE/ssh/id_$1" ] || ssh-keygen -q -t ed25519 -N '' -C "$1" -f "$STATE/ssh/id_$1"
  install -d -m 700 -o "$1" -g "$1" "$home/.ssh"
  install -m 600 -o "$1" -g "$1" "$STATE/ssh/id_$1.pub" "$home/.ssh/authorized_keys"
  # useradd leaves "!", a locked account, and sshd without PAM refuses that even for keys.
  [ "$(getent shadow "$1" | cut -d: -f2)" = '*' ] || usermod -p '*' "$1"
}

make_users() {
  local name
  id sgeadmin >/dev/null 2>&1 || useradd -r -M -d "$SGE_ROOT" -s /bin/false sgeadmin
  for name in "${USERS[@]}"; do make_user "$name"; done
}

write_ssh() {
  local i alias=testgrid
  [ -s "$STATE/ssh/host" ] || ssh-keygen -q -t ed25519 -N '' -C testgrid -f "$STATE/ssh/host"
  echo "[127.0.0.1]:$SSH_PORT $(cut -d' ' -f1,2 "$STATE/ssh/host.pub")" >"$STATE/ssh/known_hosts"
  for i in "${USERS[@]}"; do
    printf 'Host %s\n  HostName 127.0.0.1\n  Port %s\n  User %s\n  UserKnownHostsFile %s\n  StrictHostKeyChecking yes\n' \
      "$alias" "$SSH_PORT" "$i" "$STATE/ssh/known_hosts"
    printf '  IdentityFile %s\n  IdentitiesOnly yes\n  BatchMode yes\n' "$STATE/ssh/id_$i"
    alias=testgrid2
  done >"$STATE/ssh/ssh_config"
  # A session of one command runs no profile: one user finds Grid Engine's programs all the same, the other has to ask.
  cat >"$STATE/etc/sshd_config.new" <<X
ListenAddress 127.0.0.1
Port $SSH_PORT
HostKey $STATE/ssh/host
PidFile $STATE/run/sshd.pid
AllowUsers ${USERS[*]}
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100
Subsystem sftp /usr/lib/openssh/sftp-server
Match User ${USERS[0]}
  SetEnv PATH=$WRAP:/usr/local/bin:/usr/bin:/bin
X
  cmp -s "$STATE/etc/sshd_config.new" "$STATE/etc/sshd_config" || stop sshd
  mv "$STATE/etc/sshd_config.new" "$STATE/etc/sshd_config"
}

write_cell() {
  local name
  install -d "$COMMON" "$SPOOL" "$SPOOL/qmaster/job_scripts" "$SPOOL/execd" "$SPOOL/db" "$WRAP"
  echo "$HOST" >"$COMMON/act_qmaster"
  echo testgrid >"$COMMON/cluster_name"
  # The host's name leads to 127.0.0.1, which leads to "localhost": they are one host.
  awk -v host="$HOST" 'BEGIN { line = host; seen[host] = 1 }
    $1 == "127.0.0.1" || $1 == "127.0.1.1" { for (i = 2; i <= NF; i++) if (!seen[$i]++) line = line " " $i }
    END { if (!seen["localhost"]) line = line " localhost"; print line }' /etc/hosts >"$COMMON/host_aliases"
  cat >"$COMMON/bootstrap" <<X
# Version: 6.2
admin_user              sgeadmin
default_domain          none
ignore_fqdn             true
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         $SPOOL/db
binary_path             $SGE_ROOT/bin
qmaster_spool_dir       $SPOOL/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
X
  # What users of other sites have in their profile.
  cat >"$COMMON/settings.sh" <<X
export SGE_ROOT=$SGE_ROOT SGE_CELL=$SGE_CELL SGE_CLUSTER_NAME=$SGE_CLUSTER_NAME
export SGE_QMASTER_PORT=$MASTER_PORT SGE_EXECD_PORT=$EXECD_PORT
PATH=$SGE_ROOT/bin/$ARCH:\$PATH
X
  # Programs that need no settings in the environment of who calls them.
  cat >"$WRAP/.wrapper" <<X
#!/bin/sh
. $COMMON/settings.sh
exec $SGE_ROOT/bin/$ARCH/\${0##*/} "\$@"
X
  chmod 755 "$WRAP/.wrapper"
  for name in qsub qstat qdel qacct qhost qconf qalter qhold qrls qmod qresub qrsh qselect qquota qping; do
    ln -sfn .wrapper "$WRAP/$name"
  done
  chown -R sgeadmin:sgeadmin "$SGE_ROOT/$SGE_CELL" "$SPOOL"
  # Debian's spooling library has this path written into the programs.
  install -d /usr/lib/gridengine
  [ -e /usr/lib/gridengine/libspoolb.so ] || ln -sfn "$SGE_ROOT/lib/$ARCH/libspoolb.so" /usr/lib/gridengine/libspoolb.so
  [ ! -e "$SPOOL/db/sge" ] || return 0
  local util=$SGE_ROOT/utilbin/$ARCH
  as_admin "$util/spoolinit" berkeleydb libspoolb "$SPOOL/db" init >/dev/null
  sed "s@^execd_spool_dir.*@execd_spool_dir        $SPOOL/execd@" "$SGE_ROOT/default-configuration" >"$STATE/etc/default"
  as_admin "$util/spooldefaults" configuration "$STATE/etc/default"
  as_admin "$util/spooldefaults" complexes "$SGE_ROOT/util/resources/centry"
  as_admin "$util/spooldefaults" usersets "$SGE_ROOT/util/resources/usersets"
  as_admin "$util/spooldefaults" managers root sgeadmin
  say "cell made"
}

configure_scheduler() { # looks every second, and heeds no load: a test machine is busy
  qconf -ssconf | sed -E \
    -e 's@^(schedule_interval +).*@\10:0:1@' \
    -e 's@^(flush_submit_sec +).*@\11@' -e 's@^(flush_finish_sec +).*@\11@' \
    -e 's@^(schedd_job_info +).*@\1true@' \
    -e 's@^(job_load_adjustments +).*@\1NONE@' -e 's@^(load_adjustment_decay_time +).*@\10:0:0@' >"$STATE/etc/scheduler"
  configure -Msconf "$STATE/etc/scheduler"
}

# Memory that is counted, as at most sites: without a default a job that asks for none may have none. GPUs that are no more than numbers; and one of a kind.
configure_resources() {
  qconf -sc | grep -v -e '^#' -e '^h_vmem ' -e '^gpu ' -e '^token ' >"$STATE/etc/complex"
  cat >>"$STATE/etc/complex" <<X
h_vmem  h_vmem  MEMORY  <=  YES  YES  2G 0
gpu     gpu     INT     <=  YES  JOB  0  0
token   token   INT     <=  YES  JOB  0  0
X
  configure -Mc "$STATE/etc/complex"
}

put() { # put KIND NAME FILE: qconf adds what is new, and changes what is there
  if qconf "-s$1" "$2" >/dev/null 2>&1; then configure "-M$1" "$3"; else configure "-A$1" "$3"; fi
}

configure_host() {
  printf '%s\n' "hostname $HOST" "load_scaling NONE" "complex_values h_vmem=64G,gpu=2,token=1" "user_lists NONE" \
    "xuser_lists NONE" "projects NONE" "xprojects NONE" "usage_scaling NONE" "report_variables NONE" >"$STATE/etc/host"
  put e "$HOST" "$STATE/etc/host"
  printf '%s\n' "group_name @allhosts" "hostlist $HOST" >"$STATE/etc/group"
  put hgrp @allhosts "$STATE/etc/group"
  qconf -ss 2>/dev/null | grep -qx "$HOST" || qconf -as "$HOST" >/dev/null
  printf '%s\n' "pe_name smp" "slots 999" "user_lists NONE" "xuser_lists NONE" "start_proc_args NONE" \
    "stop_proc_args NONE" "allocation_rule \$pe_slots" "control_slaves FALSE" "job_is_first_task TRUE" \
    "urgency_slots min" "accounting_summary FALSE" "qsort_args NONE" >"$STATE/etc/pe"
  put p smp "$STATE/etc/pe"
}

configure_queue() {
  local limit
  {
    printf '%s\n' "qname all.q" "hostlist @allhosts" "seq_no 0" "load_thresholds NONE" "suspend_thresholds NONE" \
      "nsuspend 1" "suspend_interval 00:05:00" "priority 0" "min_cpu_interval 00:05:00" "processors UNDEFINED" \
      "qtype BATCH INTERACTIVE" "ckpt_list NONE" "pe_list smp" "rerun FALSE" "slots $SLOTS" "tmpdir /tmp" \
      "shell /bin/bash" "prolog NONE" "epilog NONE" "shell_start_mode unix_behavior" "starter_method NONE" \
      "suspend_method NONE" "resume_method NONE" "terminate_method NONE" "notify 00:00:60" "owner_list NONE" \
      "user_lists NONE" "xuser_lists NONE" "subordinate_list NONE" "complex_values NONE" "projects NONE" \
      "xprojects NONE" "calendar NONE" "initial_state default"
    for limit in rt cpu fsize data stack core rss vmem; do printf '%s\n' "s_$limit INFINITY" "h_$limit INFINITY"; done
  } >"$STATE/etc/queue"
  put q all.q "$STATE/etc/queue"
}

lock_bed
# Tests leave a bed up that was brought up by hand.
[ -n "${CLUSTRIX_BED_FOR_TESTS:-}" ] || touch "$STATE.by-hand"
if [ -e "$COMMON/act_qmaster" ] && [ "$(cat "$COMMON/act_qmaster")" != "$HOST" ]; then
  for service in execd qmaster; do stop "$service"; done
  rm -rf "${SPOOL:?}" "$COMMON"
  say "the host is now called $HOST: begins afresh"
fi
install -d -m 755 "$STATE" "$STATE/etc" "$STATE/log" "$STATE/run" "$STATE/ssh"
install_libraries
unpack
make_users
write_ssh
write_cell
chown sgeadmin "$STATE/run" "$STATE/etc"
start qmaster
write_global 01 00
configure_scheduler
configure_resources
configure_host
configure_queue
start execd
wait_for 60 "the queue" queue_ready
start sshd
say "up; try: ssh -F $STATE/ssh/ssh_config testgrid qstat -f"
