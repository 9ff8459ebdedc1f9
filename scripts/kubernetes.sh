#!/usr/bin/env bash
# Builds a real Kubernetes from the Go module proxy, pinned by tools/kubernetes/go.sum: a node, its control plane and
# what every cluster carries (DNS, metrics, network policies), for tests and rehearsals on machines that reach package
# registries only. Safe to repeat: a part that is there is kept, a build that was broken off goes on where it was.
#
# Usage: scripts/kubernetes.sh [--if-built] [--api-server]
#   --if-built    only say whether it is there; build and install nothing
#   --api-server  only etcd, kubectl, kube-apiserver and what deletes (kube-controller-manager): enough to have objects
#                 checked, and needs no root
#
# Where: .tools/kubernetes/bin (and bin/cni). A stamp per group of programs lies in .tools/kubernetes/stamps.
# Environment: KUBERNETES_JOBS  processors the compiler may use (default: all); it is niced in any case
# Exit:  0 it is there; 1 a build failed; 3 this machine cannot build or run it, or (--if-built) it was never built.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly HOME_DIRECTORY=.tools/kubernetes SOURCES=tools/kubernetes
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

# --- the programs, in groups that are built at once: what they share is read once, and they are linked side by side

readonly KUBERNETES=k8s.io/kubernetes/cmd CONTAINERD=github.com/containerd/containerd/v2/cmd
readonly CNI=github.com/containernetworking/plugins/plugins
version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$SOURCES/go.mod")
readonly version
readonly COMPONENT=k8s.io/component-base/version
minor=${version#v*.}
readonly RELEASE="-X $COMPONENT.gitVersion=$version -X $COMPONENT.gitMajor=1 -X $COMPONENT.gitMinor=${minor%%.*}"

wanted=(api-server)
if $node; then wanted+=(node cni runc); fi

packages_of() { # GROUP
  case $1 in
    api-server)
      printf '%s\n' go.etcd.io/etcd/server/v3 "$KUBERNETES"/{kubectl,kube-apiserver,kube-controller-manager}
      ;;
    node)
      printf '%s\n' "$KUBERNETES"/{kubelet,kube-scheduler,kube-proxy} \
        "$CONTAINERD"/{containerd,containerd-shim-runc-v2,ctr} ./{coredns,pause,fetch} \
        sigs.k8s.io/metrics-server/cmd/metrics-server github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
      ;;
    cni) printf '%s\n' "$CNI"/{ipam/host-local,main/loopback,main/ptp,meta/portmap} ;;
    runc) echo github.com/opencontainers/runc ;;
  esac
}

folder_of() { # GROUP
  if [ "$1" = cni ]; then echo cni/; fi
}

name_of() { # PACKAGE
  case $1 in
    go.etcd.io/etcd/server/v3) echo etcd ;;
    *) echo "${1##*/}" ;;
  esac
}

digest() { # GROUP: its packages, and the pins of all modules
  { packages_of "$1" && cat "$SOURCES"/go.* "$SOURCES"/*/main.go scripts/kubernetes.sh scripts/go-build.sh; } |
    sha256sum | cut -d' ' -f1
}

is_there() { # GROUP
  local package
  [ "$(cat "$HOME_DIRECTORY/stamps/$1" 2>/dev/null)" = "$(digest "$1")" ] || return 1
  for package in $(packages_of "$1"); do
    [ -x "$HOME_DIRECTORY/bin/$(folder_of "$1")$(name_of "$package")" ] || return 1
  done
}

build() { # GROUP
  if is_there "$1"; then return; fi
  local started=$SECONDS built=$HOME_DIRECTORY/built/$1 cgo=0 tags=no_btrfs,no_devmapper,no_zfs packages package
  # Only runc is partly C: what enters a container must run before Go's threads do.
  if [ "$1" = runc ]; then
    cgo=1
    tags=seccomp
  fi
  mapfile -t packages < <(packages_of "$1")
  CGO_ENABLED=$cgo nice scripts/go-build.sh kubernetes "$RELEASE" "$built/" "${packages[@]}" -- -tags "$tags"
  # Built elsewhere and moved: a build that is killed leaves no half a program under the name. `go build` calls a program
  # like its package's folder, whatever major version stands behind it.
  mkdir -p "$HOME_DIRECTORY/bin/$(folder_of "$1")" "$HOME_DIRECTORY/stamps"
  for package in "${packages[@]}"; do
    mv "$built/$(basename "${package%/v[0-9]}")" "$HOME_DIRECTORY/bin/$(folder_of "$1")$(name_of "$package")"
  done
  digest "$1" >"$HOME_DIRECTORY/stamps/$1"
  echo "kubernetes: built $1 in $((SECONDS - started)) s"
}

absent=()
for group in "${wanted[@]}"; do is_there "$group" || absent+=("$group"); done
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
echo "kubernetes: building $version with $(go version | cut -d' ' -f3) (ten minutes the first time)"
for group in "${absent[@]}"; do build "$group"; done
echo "kubernetes: built $HOME_DIRECTORY/bin"
