#!/usr/bin/env bash
# Makes what the bed is made of, once: Kubernetes 1.20 from Debian's source package, Debian's etcd, containerd and runc, and an image
# with Python made of this machine's own Debian packages. No registry is asked. Made anew only where this script or its sources change.
#
#   build.sh      the result is in $CLUSTRIX_KUBERNETES_BED/built; what only building needs is removed again
#
# Nothing is installed on the machine: packages are unpacked under a prefix, none of their scripts runs.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbeds/kubernetes/lib.sh
source "$HERE/lib.sh"
need_root
[ -e /etc/debian_version ] || die "needs Debian"
umask 022
VERSION=v1.20.2
WORK=$STATE/work
LOG=$STATE.build.log
KEY=$(cat "$HERE"/{build.sh,image.py,cluster.go,pause.go} | sha256sum | cut -c1-16)

made() { [ "$(cat "$BUILT/key" 2>/dev/null)" = "$KEY" ]; }

quietly() {
  "$@" </dev/null >>"$LOG" 2>&1 9>&- || {
    tail -n 30 "$LOG" >&2
    die "$* failed; all it said is in $LOG"
  }
}

# A private apt: the machine's own sources with source packages switched on, and nothing of the machine's state is touched.
prepare_apt() {
  local name
  install -d "$WORK"/apt/{parts,lists/partial,cache/archives/partial} "$WORK"/{source,download}
  for name in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -f "$name" ] || sed -n 's/^deb /&/p; s/^deb /deb-src /p' "$name" >"$WORK/apt/parts/$(basename "$name" .list).list"
  done
  for name in /etc/apt/sources.list.d/*.sources; do
    [ ! -f "$name" ] || sed 's/^Types:.*/Types: deb deb-src/' "$name" >"$WORK/apt/parts/$(basename "$name")"
  done
  printf '%s\n' 'Dir::Etc::sourcelist "/dev/null";' "Dir::Etc::sourceparts \"$WORK/apt/parts\";" "Dir::State::Lists \"$WORK/apt/lists\";" \
    "Dir::Cache \"$WORK/apt/cache\";" 'APT::Sandbox::User "root";' >"$WORK/apt/conf"
  export APT_CONFIG=$WORK/apt/conf
  quietly apt-get -q update
}

unpack() { # unpack DIRECTORY PACKAGE...
  local to=$1 name
  shift
  (cd "$WORK/download" && quietly apt-get -q download "$@")
  for name in "$@"; do quietly dpkg -x "$WORK/download/${name}"_*.deb "$to"; done
}

get_sources() {
  unpack "$WORK/go" golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev golang-github-json-iterator-go-dev
  # Debian's newest source package that still holds all it needs.
  (cd "$WORK/source" && quietly apt-get -q source --download-only kubernetes)
  install -d "$TREE"
  tar -xzf "$WORK"/source/kubernetes_1.20*.orig.tar.gz -C "$TREE" --strip-components=1
  # Those that it brings along crash when they are built with this Go.
  for name in modern-go/reflect2 json-iterator/go; do
    rm -rf "$TREE/vendor/github.com/$name"
    cp -r "$WORK/go/usr/share/gocode/src/github.com/$name" "$TREE/vendor/github.com/$name"
  done
  say "sources are here"
}

go_here() { (cd "$TREE" && quietly env GOROOT="$WORK/go/usr/lib/go-1.19" GOPATH="$WORK/gopath" GOCACHE="$WORK/cache" GO111MODULE=off \
  GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS= HOME="$WORK" nice -n 5 "$WORK/go/usr/lib/go-1.19/bin/go" "$@"); }

# The one generated file that the source package lacks: the types that the API server describes.
generate_openapi() {
  local packages
  go_here build -o "$WORK/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
  packages=$(cd "$TREE" && grep -Rl --include='*.go' --exclude-dir=testdata '+k8s:openapi-gen=' pkg vendor/k8s.io |
    grep -vE '^vendor/k8s.io/(code-generator|sample-apiserver|kube-openapi|gengo)/' | xargs -n1 dirname | sort -u | sed 's#^#k8s.io/kubernetes/#' | paste -sd,)
  (cd "$TREE" && quietly env GOROOT="$WORK/go/usr/lib/go-1.19" GOPATH="$WORK/gopath" GO111MODULE=off HOME="$WORK" \
    PATH="$WORK/go/usr/lib/go-1.19/bin:$PATH" "$WORK/openapi-gen" --logtostderr -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi \
    -O zz_generated.openapi -h hack/boilerplate/boilerplate.generatego.txt -r /dev/null)
  say "described its types"
}

compile() {
  local name flags="-s -w"
  for name in k8s.io/kubernetes/vendor/k8s.io/component-base/version k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version; do
    flags+=" -X $name.gitVersion=$VERSION -X $name.gitMajor=1 -X $name.gitMinor=20 -X $name.gitTreeState=clean"
    flags+=" -X $name.gitCommit=debian -X $name.buildDate=2021-01-13T13:20:00Z"
  done
  install -d "$TREE/cmd/cluster"
  cp "$HERE/cluster.go" "$TREE/cmd/cluster/"
  # Without the SDKs of clouds, which are half of the work; nobody will debug it.
  go_here build -tags providerless -gcflags='k8s.io/...=-dwarf=false' -ldflags "$flags" -o "$BUILT/bin/cluster" ./cmd/cluster
  go_here build -ldflags "-s -w" -o "$BUILT/bin/pause" "$HERE/pause.go"
  say "compiled: $(du -m "$BUILT/bin/cluster" | cut -f1) MB"
}

make_images() {
  local root=$WORK/rootfs name
  install -d "$WORK/image/partial" "$root"/usr/{bin,sbin,lib,lib64} "$root"/{proc,sys,dev,etc,run,root,home,tmp,var/tmp} "$WORK/pause"
  chmod 1777 "$root/tmp" "$root/var/tmp"
  quietly apt-get -q -y -o Dir::State::status=/dev/null -o Dir::Cache::archives="$WORK/image" -o Debug::NoLocking=1 \
    --no-install-recommends --download-only install python3 dash coreutils base-files base-passwd
  for name in bin sbin lib lib64; do ln -sfn "usr/$name" "$root/$name"; done
  for name in "$WORK"/image/*.deb; do dpkg-deb --fsys-tarfile "$name" | tar -x --keep-directory-symlink -C "$root"; done
  ln -sf dash "$root/usr/bin/sh"
  rm -rf "$root"/usr/share/{doc,man,locale,info,perl5} "$root"/usr/lib/*-linux-gnu/{perl,gconv}*
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  cp "$BUILT/bin/pause" "$WORK/pause/"
  python3 "$HERE/image.py" "$root" testbed.local/python:1 "$BUILT/python.tar" /usr/bin/python3
  python3 "$HERE/image.py" "$WORK/pause" testbed.local/pause:1 "$BUILT/pause.tar" /pause
  say "images made"
}

lock_bed
! made || exit 0
TREE=$WORK/gopath/src/k8s.io/kubernetes
rm -rf "$WORK" "$BUILT"
install -d -m 755 "$STATE" "$WORK" "$BUILT/bin"
: >"$LOG"
prepare_apt
unpack "$DEBIAN" etcd-server containerd runc containernetworking-plugins
get_sources
generate_openapi
compile
make_images
echo "$KEY" >"$BUILT/key"
[ -n "${KEEP_WORK:-}" ] || rm -rf "$WORK"
say "built"
