#!/usr/bin/env bash
# A real Kubernetes (1.20) of two nodes on loopback: etcd, API server, controllers, scheduler, and per node containerd and a kubelet.
# No systemd, no registry. What it is made of is built once, by build.sh, in a few minutes.
#
#   up.sh        brings it up, or repairs it; does nothing when all is well
#
# State is under $CLUSTRIX_KUBERNETES_BED (/var/lib/clustrix-testbeds/kubernetes). Outside of it are only two bridges, control groups
# named clustrix-bed-N, empty directories in /var, and settings of the kernel, which down.sh puts back. Ports are fixed, so a machine has one
# such cluster at a time.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/kubernetes/lib.sh
source "$HERE/lib.sh"
[ $# = 0 ] || die "usage: up.sh"
need_root
umask 022

certificate() { # certificate NAME SUBJECT [SUBJECT_ALT_NAMES]
  [ ! -s "$1.crt" ] || return 0
  openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out "$1.crt" \
    -extfile <(echo "extendedKeyUsage=clientAuth,serverAuth"; [ -z "${3:-}" ] || echo "subjectAltName=$3") 2>/dev/null
}

kubeconfig() { # kubeconfig CERTIFICATE FILE [CONTEXT]
  cat >"$2" <<Y
apiVersion: v1
kind: Config
clusters: [{name: bed, cluster: {server: "https://127.0.0.1:$API_PORT", certificate-authority: "$RUN/pki/ca.crt"}}]
users: [{name: "$1", user: {client-certificate: "$RUN/pki/$1.crt", client-key: "$RUN/pki/$1.key"}}]
contexts: [{name: "${3:-bed}", context: {cluster: bed, user: "$1", namespace: $NAMESPACE}}]
current-context: "${3:-bed}"
Y
}

write_keys() {
  local n name
  install -d -m 755 "$RUN/pki"
  cd "$RUN/pki"
  if [ ! -s ca.crt ]; then
    openssl ecparam -genkey -name prime256v1 -noout -out ca.key
    openssl req -x509 -new -key ca.key -subj /CN=clustrix-bed -days 3650 -out ca.crt 2>/dev/null
    openssl genrsa -out sa.key 2048 2>/dev/null
    openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
  fi
  certificate apiserver /CN=kube-apiserver "IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc,IP:10.0.0.1"
  certificate admin /O=system:masters/CN=admin
  certificate controllers /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate kubelet-client /O=system:masters/CN=kubelet-client
  for n in "${NODES[@]}"; do certificate "node$n" "/O=system:nodes/CN=system:node:$(address "$n")" "IP:$(address "$n")"; done
  for name in "${USERS[@]}"; do
    certificate "$name" "/CN=$name"
    kubeconfig "$name" "$RUN/kubeconfig-$name"
  done
  kubeconfig admin "$RUN/kubeconfig"
  kubeconfig controllers "$RUN/pki/controllers.conf"
  kubeconfig scheduler "$RUN/pki/scheduler.conf"
  cd /
}

write_node() {
  local dir=$RUN/node$1 name
  install -d "$dir"/{cni.d,cni,pods,containers,cache,opt,volumes} /var/log/pods /var/log/containers /var/lib/cni
  kubeconfig "node$1" "$dir/kubeconfig"
  # Without masquerade no firewall is touched.
  cat >"$dir/cni.d/10-bridge.conflist" <<Y
{"cniVersion": "0.4.0", "name": "bed-$1", "plugins": [{"type": "bridge", "bridge": "clustrix-bed-$1", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.$1.0/24"}]], "routes": [{"dst": "$SERVICES/32"}], "dataDir": "$dir/cni"}}]}
Y
  # restrict_oom_score_adj: root may lack the right to lower the score.
  cat >"$dir/containerd.toml" <<Y
version = 2
root = "$dir/containerd"
state = "$dir/containers.run"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "testbed.local/pause:1"
  stream_server_address = "127.0.0.1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$DEBIAN/usr/lib/cni"
    conf_dir = "$dir/cni.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "$DEBIAN/usr/sbin/runc"
        SystemdCgroup = false
Y
  cat >"$dir/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(address "$1")
port: 10250
readOnlyPort: 0
healthzBindAddress: $(address "$1")
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: "$RUN/pki/ca.crt"}}
authorization: {mode: AlwaysAllow}
tlsCertFile: "$RUN/pki/node$1.crt"
tlsPrivateKeyFile: "$RUN/pki/node$1.key"
cgroupDriver: cgroupfs
cgroupRoot: /clustrix-bed-$1
failSwapOn: false
makeIPTablesUtilChains: false
resolvConf: /etc/resolv.conf
volumePluginDir: "$dir/volumes"
evictionHard: {memory.available: "100Mi", nodefs.available: "1%", nodefs.inodesFree: "1%", imagefs.available: "1%"}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 3s
nodeLeaseDurationSeconds: 12
syncFrequency: 5s
maxPods: 110
serializeImagePulls: false
Y
  for name in /sys/fs/cgroup/*/; do
    [ "$name" = /sys/fs/cgroup/unified/ ] || mkdir -p "${name}clustrix-bed-$1"
  done
  # In a new group of this controller nothing can run before it is told where.
  for name in cpuset.cpus cpuset.mems; do
    [ ! -s "/sys/fs/cgroup/cpuset/$name" ] || cat "/sys/fs/cgroup/cpuset/$name" >"/sys/fs/cgroup/cpuset/clustrix-bed-$1/$name"
  done
}

# Kubelet and the bridge change these.
remember_settings() {
  local name
  [ ! -s "$STATE/sysctl" ] || return 0
  for name in vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops net.ipv4.ip_forward; do echo "$name=$(sysctl -n $name)"; done >"$STATE/sysctl"
}

apply() { # apply COLLECTION NAME JSON: what is there stays as it is
  ask "$1/$2" -o /dev/null -f 2>/dev/null || ask "$1" -f -o /dev/null -X POST -H 'Content-Type: application/json' -d "$3" || die "cannot create $2"
}

# What the documentation says that a user needs, and no more.
write_namespace() {
  local roles=/apis/rbac.authorization.k8s.io/v1/namespaces/$NAMESPACE
  apply /api/v1/namespaces $NAMESPACE "{\"metadata\": {\"name\": \"$NAMESPACE\"}}"
  apply "$roles/roles" clustrix "$(cat "$HERE/role.json")"
  apply "$roles/rolebindings" clustrix "{\"metadata\": {\"name\": \"clustrix\"}, \"roleRef\": {\"apiGroup\": \"rbac.authorization.k8s.io\", \"kind\": \"Role\",
    \"name\": \"clustrix\"}, \"subjects\": [{\"kind\": \"User\", \"name\": \"${USERS[0]}\"}]}"
  wait_for 30 "the namespace's service account" ask "/api/v1/namespaces/$NAMESPACE/serviceaccounts/default" -f
}

# The image of Python, with what a login has besides: Debian has these programs on every machine, so they are this one's.
make_login_image() {
  local root layer
  [ ! -s "$BUILT/login.tar" ] || return 0
  root=$(mktemp -d "$STATE/login.XXXXXX")
  layer=$(tar -tvf "$BUILT/python.tar" | sort -n -k 3 | awk 'END { print $NF }')
  tar -xOf "$BUILT/python.tar" "$layer" | tar -x -C "$root"
  cp /usr/bin/{sed,grep,gzip,find,xargs} "$root/usr/bin/"
  ln -sf mawk "$root/usr/bin/awk"
  python3 "$HERE/image.py" "$root" testbed.local/login:1 "$BUILT/login.tar.new" /usr/bin/python3
  mv "$BUILT/login.tar.new" "$BUILT/login.tar"
  rm -rf "$root"
}

# Both nodes have the same directory, as they would have that of a file server.
write_volume() {
  local size='{"requests": {"storage": "1Gi"}}' modes='["ReadWriteMany"]' claims=/api/v1/namespaces/$NAMESPACE/persistentvolumeclaims
  install -d -m 1777 "$STATE/volume"
  apply /api/v1/persistentvolumes clustrix "{\"metadata\": {\"name\": \"clustrix\"}, \"spec\": {\"capacity\": {\"storage\": \"1Gi\"}, \"accessModes\": $modes,
    \"storageClassName\": \"\", \"hostPath\": {\"path\": \"$STATE/volume\"}, \"claimRef\": {\"namespace\": \"$NAMESPACE\", \"name\": \"shared\"}}}"
  apply "$claims" shared "{\"metadata\": {\"name\": \"shared\"}, \"spec\": {\"accessModes\": $modes, \"storageClassName\": \"\", \"volumeName\": \"clustrix\", \"resources\": $size}}"
  wait_for 30 "the claim's volume" bound "$claims/shared"
}
bound() { ask "$1" -f | grep -q '"phase": *"Bound"'; }

"$HERE/build.sh"
lock_bed
make_login_image
# Tests leave a bed up that was brought up by hand.
[ -n "${CLUSTRIX_BED_FOR_TESTS:-}" ] || touch "$STATE.by-hand"
install -d -m 755 "$RUN" "$RUN/pids" "$RUN/logs"
remember_settings
write_keys
for n in "${NODES[@]}"; do write_node "$n"; done
# For what tests serve to pods: an address of this machine that is on no network.
ip address replace "$SERVICES/32" dev lo
start etcd
for n in "${NODES[@]}"; do start "host$n"; done
# The runtimes come up while the API server does.
for n in "${NODES[@]}"; do start "containerd$n" & done
start kube-apiserver
start kube-controller-manager
start kube-scheduler
wait
for n in "${NODES[@]}"; do start "kubelet$n"; done
write_namespace
write_volume
for n in "${NODES[@]}"; do import_images "$n"; done
for n in "${NODES[@]}"; do wait_for 60 "node $n" node_ready "$n"; done
say "up; try: clustrix doctor, or kubectl, with KUBECONFIG=$RUN/kubeconfig-${USERS[0]}"
