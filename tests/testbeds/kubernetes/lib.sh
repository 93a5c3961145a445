# The bed's names, and how one of its services is started, found and stopped. Sourced by build.sh, up.sh, down.sh and ctl.sh.
# shellcheck shell=bash
STATE=${CLUSTRIX_KUBERNETES_BED:-/var/lib/clustrix-testbeds/kubernetes}
BUILT=$STATE/built # what takes minutes to make, and is kept
DEBIAN=$BUILT/debian # unpacked packages
RUN=$STATE/run
API_PORT=16443
T0=$(date +%s%N)

say() { printf '%6d ms  %s\n' $((($(date +%s%N) - T0) / 1000000)) "$*"; }
die() { echo "Kubernetes bed: $*" >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "needs root"; }

# One script changes the bed at a time. Daemons must not inherit the lock: see detach.
lock_bed() {
  install -d -m 755 "$(dirname "$STATE")"
  exec 9>"$STATE.scripts.lock"
  flock -w 900 9 || die "another of the bed's scripts is still at work"
}

ETCD_PORT=12379
ETCD_PEER_PORT=12380
CONTROLLERS_PORT=16257
SCHEDULER_PORT=16259
NODES=(1 2) # node N has the address 127.0.0.(N+1), so that logs and exec stay on loopback
NAMESPACE=clustrix
SERVICES=10.88.0.1 # what tests serve to pods is reached there
USERS=(ada eve) # ada may what a user of Clustrix must; eve may nothing
CONTROL=(etcd kube-apiserver kube-controller-manager kube-scheduler)
PATH=$DEBIAN/usr/bin:$DEBIAN/usr/sbin:$PATH

address() { echo "127.0.0.$(($1 + 1))"; }
pidfile() { echo "$RUN/pids/$1"; }

wait_for() { # wait_for SECONDS WHAT COMMAND...
  local left=$(($1 * 20)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || die "$what did not happen in time; logs are in $RUN/logs"
    sleep 0.05
  done
}

# A pid file counts only while that pid is still this daemon: not a zombie (it has no cmdline), not a reused pid.
running() {
  local pid line
  pid=$(cat "$(pidfile "$1")" 2>/dev/null) && [ -n "$pid" ] || return 1
  line=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
  case $line in *"$STATE"*) return 0 ;; *) return 1 ;; esac
}

# Kubelet looks for a cloud's credentials.
detach() { # detach NAME COMMAND...
  local name=$1
  shift
  (cd / && exec setsid -f env -i PATH="$PATH" LANG=C.UTF-8 AWS_EC2_METADATA_DISABLED=true AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none \
    sh -c 'echo $$ >"$1"; shift; exec "$@"' sh "$(pidfile "$name")" "$@") </dev/null >>"$RUN/logs/$name.log" 2>&1 9>&-
  wait_for 10 "$name's pid file" test -s "$(pidfile "$name")"
}

ask() { # ask PATH [CURL OPTION...]: as the cluster's administrator
  local path=$1
  shift
  curl -sS --max-time 5 --cacert "$RUN/pki/ca.crt" --cert "$RUN/pki/admin.crt" --key "$RUN/pki/admin.key" "$@" "https://127.0.0.1:$API_PORT$path"
}
answers() { [ "$(ask /readyz)" = ok ]; }
node_ready() { ask "/api/v1/nodes/$(address "$1")" | python3 -c 'import json, sys
sys.exit(not any(c["type"] == "Ready" and c["status"] == "True" for c in json.load(sys.stdin)["status"]["conditions"]))'; }

start() {
  running "$1" && return 0
  rm -f "$(pidfile "$1")"
  # TTLs of finished jobs are behind a gate in this version.
  local gates=--feature-gates=TTLAfterFinished=true program=$BUILT/bin/cluster
  case $1 in
    etcd)
      detach etcd "$DEBIAN/usr/bin/etcd" --name bed --data-dir "$RUN/etcd" --listen-client-urls "http://127.0.0.1:$ETCD_PORT" \
        --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
        --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-cluster "bed=http://127.0.0.1:$ETCD_PEER_PORT" \
        --auto-compaction-retention=1 --unsafe-no-fsync ;;
    kube-apiserver)
      detach kube-apiserver "$program" kube-apiserver --etcd-servers="http://127.0.0.1:$ETCD_PORT" --bind-address=127.0.0.1 \
        --secure-port=$API_PORT --advertise-address=127.0.0.1 --endpoint-reconciler-type=none --client-ca-file="$RUN/pki/ca.crt" \
        --tls-cert-file="$RUN/pki/apiserver.crt" --tls-private-key-file="$RUN/pki/apiserver.key" \
        --kubelet-client-certificate="$RUN/pki/kubelet-client.crt" --kubelet-client-key="$RUN/pki/kubelet-client.key" \
        --kubelet-preferred-address-types=InternalIP --service-account-issuer="https://127.0.0.1:$API_PORT" \
        --service-account-key-file="$RUN/pki/sa.pub" --service-account-signing-key-file="$RUN/pki/sa.key" \
        --service-cluster-ip-range=10.0.0.0/24 --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --default-not-ready-toleration-seconds=5 --default-unreachable-toleration-seconds=5 --cert-dir="$RUN/pki/apiserver" \
        --profiling=false $gates
      wait_for 60 "the API server's answer" answers ;;
    kube-controller-manager)
      # Without credentials of its own for each controller the garbage collector may not delete pods.
      detach kube-controller-manager "$program" kube-controller-manager --kubeconfig="$RUN/pki/controllers.conf" --leader-elect=false \
        --use-service-account-credentials=true --bind-address=127.0.0.1 --secure-port=$CONTROLLERS_PORT --port=0 \
        --cert-dir="$RUN/pki/controllers" --service-account-private-key-file="$RUN/pki/sa.key" --root-ca-file="$RUN/pki/ca.crt" \
        --node-monitor-period=2s --node-monitor-grace-period=12s $gates ;;
    kube-scheduler)
      detach kube-scheduler "$program" kube-scheduler --kubeconfig="$RUN/pki/scheduler.conf" --leader-elect=false \
        --bind-address=127.0.0.1 --secure-port=$SCHEDULER_PORT --port=0 --cert-dir="$RUN/pki/scheduler" ;;
    host*) start_host "${1#host}" ;;
    containerd*) start_containerd "${1#containerd}" ;;
    kubelet*) start_kubelet "${1#kubelet}" ;;
    *) die "no service $1" ;;
  esac
  say "started $1"
}

inside() { nsenter -t "$(cat "$(pidfile "host$1")")" -m "${@:2}"; }
containers() { ctr -a "$RUN/node$1/containerd.sock" -n k8s.io "${@:2}"; }

# A node is a mount namespace, held open by a process: kubelets that share /var/log/pods delete each other's logs.
start_host() {
  local dir=$RUN/node$1
  detach "host$1" unshare -m --propagation slave sh -ec 'mount --bind "$1/pods" /var/log/pods; mount --bind "$1/containers" /var/log/containers
    mount --bind "$1/cache" /var/lib/cni; exec "$2" "$1"' sh "$dir" "$BUILT/bin/pause"
  wait_for 10 "node $1's namespace" inside "$1" mountpoint -q /var/lib/cni
}

start_containerd() {
  local dir=$RUN/node$1
  detach "containerd$1" nsenter -t "$(cat "$(pidfile "host$1")")" -m "$DEBIAN/usr/bin/containerd" --config "$dir/containerd.toml" --log-level warn
  wait_for 20 "containerd of node $1" containers "$1" version
  import_images "$1"
}

import_images() {
  local name
  for name in pause python login; do
    containers "$1" images ls -q | grep -q "testbed.local/$name:" || containers "$1" images import "$BUILT/$name.tar" >/dev/null
  done
}

start_kubelet() {
  local dir=$RUN/node$1
  detach "kubelet$1" nsenter -t "$(cat "$(pidfile "host$1")")" -m "$BUILT/bin/cluster" kubelet --config="$dir/kubelet.yaml" --kubeconfig="$dir/kubeconfig" \
    --hostname-override="$(address "$1")" --root-dir="$dir/kubelet" --cert-dir="$dir/pki" --container-runtime=remote \
    --container-runtime-endpoint="unix://$dir/containerd.sock"
}

stop() { # stop NAME [SIGNAL]
  local pid left=100
  running "$1" || { rm -f "$(pidfile "$1")"; return 0; }
  pid=$(cat "$(pidfile "$1")")
  kill "-${2:-TERM}" "$pid" 2>/dev/null || true
  while running "$1"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { kill -KILL "$pid" 2>/dev/null || true; }
    [ "$left" -gt -40 ] || die "$1 does not end"
    sleep 0.05
  done
  rm -f "$(pidfile "$1")"
}
