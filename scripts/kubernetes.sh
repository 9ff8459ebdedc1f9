#!/usr/bin/env bash
# Builds a real Kubernetes from the Go module proxy, pinned by tools/kubernetes/*/go.sum: a node, its control plane and
# what every cluster carries (DNS, metrics, network policies), for tests and rehearsals on machines that reach package
# registries only. Safe to repeat: a part that is there is kept, a build that was broken off goes on where it was.
#
# Usage: scripts/kubernetes.sh [--if-built] [--api-server]
#   --if-built    only say whether it is there; build and install nothing
#   --api-server  only etcd, kubectl, kube-apiserver and what deletes (kube-controller-manager): enough to have objects
#                 checked, and needs no root
#
# Where: .tools/kubernetes/bin (and bin/cni). A stamp per program lies in .tools/kubernetes/stamps.
# Environment: KUBERNETES_JOBS  processors the compiler may use (default: all); it is niced in any case
# Exit:  0 it is there; 1 a build failed; 3 this machine cannot build or run it, or (--if-built) it was never built.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly HOME_DIRECTORY=.tools/kubernetes SOURCES=tools/kubernetes
root=$PWD
if_built=false node=true
for argument in "$@"; do
  case $argument in
    --if-built) if_built=true ;;
    --api-server) node=false ;;
    *)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2
      exit 1
      ;;
  esac
done

cannot() {
  echo "kubernetes: $1" >&2
  exit 3
}

# --- what this machine can do

[ "$(uname -sm)" = "Linux x86_64" ] || cannot "tried on Linux x86_64 only, and this is $(uname -sm)"

# command and Debian package of what the node calls (and of what pods of the tests run), then headers and compiler of
# what runc is built with
readonly NEEDED=(nft:nftables ipset:ipset iptables:iptables ip:iproute2 sysctl:procps /bin/busybox:busybox-static)
readonly NEEDED_TO_BUILD=(gcc:gcc /usr/include/seccomp.h:libseccomp-dev)

missing_packages() { # NAME:PACKAGE... -> the packages whose command or file is not there
  local pair
  for pair in "$@"; do
    if [ ! -e "${pair%%:*}" ] && ! PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null; then
      echo "${pair##*:}"
    fi
  done | sort -u
}

if $node; then
  [ "$(id -u)" = 0 ] || cannot "a node needs root: namespaces, mounts and cgroups"
  unshare --mount --net --uts --pid --ipc --fork true 2>/dev/null ||
    cannot "this machine allows no namespaces of one's own (unshare failed)"
  { [ -w /sys/fs/cgroup/cgroup.procs ] || [ -w /sys/fs/cgroup/memory/cgroup.procs ]; } ||
    cannot "the cgroups of this machine cannot be written, and the kubelet puts every pod into one"
fi

# --- the programs: name, module, package, then arguments of `go build`

readonly KUBERNETES=k8s.io/kubernetes/cmd CONTAINERD=github.com/containerd/containerd/v2/cmd
readonly CNI=github.com/containernetworking/plugins/plugins
version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$SOURCES/control/go.mod")
readonly version
readonly COMPONENT=k8s.io/component-base/version
minor=${version#v*.}
readonly RELEASE="-X $COMPONENT.gitVersion=$version -X $COMPONENT.gitMajor=1 -X $COMPONENT.gitMinor=${minor%%.*}"
readonly FEW_SNAPSHOTTERS=no_btrfs,no_devmapper,no_zfs

programs() { # calls its argument once per program; those an API server needs come first
  "$1" etcd control go.etcd.io/etcd/server/v3
  "$1" kubectl control "$KUBERNETES/kubectl" "$RELEASE"
  "$1" kube-apiserver control "$KUBERNETES/kube-apiserver" "$RELEASE"
  "$1" kube-controller-manager control "$KUBERNETES/kube-controller-manager" "$RELEASE"
  $node || return 0
  local plugin
  "$1" pause pause .
  "$1" fetch fetch .
  for plugin in ipam/host-local main/loopback main/ptp meta/portmap; do
    "$1" "cni/${plugin#*/}" cni "$CNI/$plugin"
  done
  "$1" runc runc github.com/opencontainers/runc "" -tags seccomp
  "$1" containerd containerd "$CONTAINERD/containerd" "" -tags "$FEW_SNAPSHOTTERS"
  "$1" containerd-shim-runc-v2 containerd "$CONTAINERD/containerd-shim-runc-v2"
  "$1" ctr containerd "$CONTAINERD/ctr" "" -tags "$FEW_SNAPSHOTTERS"
  "$1" kubelet control "$KUBERNETES/kubelet" "$RELEASE"
  "$1" kube-scheduler control "$KUBERNETES/kube-scheduler" "$RELEASE"
  "$1" kube-proxy control "$KUBERNETES/kube-proxy" "$RELEASE"
  "$1" coredns coredns .
  "$1" metrics-server metrics sigs.k8s.io/metrics-server/cmd/metrics-server
  "$1" kube-router policy github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
}

digest() { # the arguments of a program, and all its module pins
  { printf '%s\n' "$@" && cat "$SOURCES/$2"/*; } | sha256sum | cut -d' ' -f1
}

is_there() {
  [ -x "$HOME_DIRECTORY/bin/$1" ] && [ "$(cat "$HOME_DIRECTORY/stamps/$1" 2>/dev/null)" = "$(digest "$@")" ]
}

absent=()
note_absent() { is_there "$@" || absent+=("$1"); }

build() {
  if is_there "$@"; then return; fi
  local name=$1 module=$2 package=$3 values=${4:-} started=$SECONDS
  local stamp=$root/$HOME_DIRECTORY/stamps/$name program=$root/$HOME_DIRECTORY/bin/$name cgo=0
  # Only runc is partly C: what enters a container must run before Go's threads do.
  [ "$name" != runc ] || cgo=1
  mkdir -p "$(dirname "$program")" "$(dirname "$stamp")"
  # Built beside and renamed: a build that is killed leaves no half a program under the name.
  (cd "$SOURCES/$module" && CGO_ENABLED=$cgo nice go build -mod=readonly -trimpath -ldflags "-s -w $values" "${@:5}" \
    -o "$program.new" "$package")
  mv "$program.new" "$program"
  digest "$@" >"$stamp"
  echo "kubernetes: built $name in $((SECONDS - started)) s"
}

programs note_absent
mapfile -t packages < <(if $node; then missing_packages "${NEEDED[@]}"; fi)
if [ ${#absent[@]} = 0 ] && [ ${#packages[@]} = 0 ]; then
  echo "kubernetes: $version is there: $HOME_DIRECTORY/bin"
  exit 0
fi
if $if_built; then
  [ ${#absent[@]} = 0 ] || cannot "not built (${absent[*]}); \`make kubernetes\` builds it"
  cannot "not installed: ${packages[*]}; \`make kubernetes\` installs it"
fi
if [ ${#absent[@]} != 0 ]; then
  command -v go >/dev/null || cannot "Go is not installed, and everything is built with it"
  if $node; then mapfile -t -O ${#packages[@]} packages < <(missing_packages "${NEEDED_TO_BUILD[@]}"); fi
fi
if [ ${#packages[@]} != 0 ]; then
  { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; } ||
    cannot "not installed: ${packages[*]}; install them by hand, as root"
  echo "kubernetes: installing ${packages[*]}"
  scripts/apt-install.sh "${packages[@]}"
fi
mkdir -p "$HOME_DIRECTORY"
exec 9>"$HOME_DIRECTORY/lock"
flock 9
[ -z "${KUBERNETES_JOBS:-}" ] || export GOMAXPROCS=$KUBERNETES_JOBS
echo "kubernetes: building $version with $(go version | cut -d' ' -f3) (a quarter of an hour or more the first time)"
programs build
echo "kubernetes: built $HOME_DIRECTORY/bin"
