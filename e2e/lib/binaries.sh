# Why: Kubernetes, etcd and containerd are built once from their published Go modules (k8s/*/go.mod) and kept in the
# cache, in a folder named after the version and the checksums of all that went into it.

binaries_ensure() { # [control plane only: 1]
  if [[ ! -d $K8S_BIN ]]; then
    with_cache_lock build_module kubernetes "$K8S_BIN" "Kubernetes v$K8S_VERSION (about 5 minutes, once)" \
      "-s -w -X k8s.io/component-base/version.gitVersion=v$K8S_VERSION -X k8s.io/component-base/version.gitMajor=1 \
       -X k8s.io/component-base/version.gitMinor=36 -X k8s.io/component-base/version.gitTreeState=clean \
       -X k8s.io/client-go/pkg/version.gitVersion=v$K8S_VERSION"
  fi
  if [[ ${1:-0} == 0 && ! -d $CONTAINERD_BIN ]]; then
    with_cache_lock build_module containerd "$CONTAINERD_BIN" "containerd v$CONTAINERD_VERSION (about 2 minutes, once)" \
      "-s -w -X github.com/containerd/containerd/v2/version.Version=v$CONTAINERD_VERSION"
  fi
}

build_module() { # FOLDER TARGET WHAT LDFLAGS
  local log=$STATE/logs/build-$1.log
  [[ ! -d $2 ]] || return 0 # somebody else built it while we waited for the lock
  mkdir -p "$STATE/logs"
  go_ensure
  say "building $3"
  rm -rf "$2.part"
  mkdir -p "$2.part"
  if ! (unset GOROOT; cd "$here/k8s/$1" &&
    GOTOOLCHAIN=local GOWORK=off GOFLAGS=-buildvcs=false CGO_ENABLED=0 GOBIN="$2.part" \
      nice -n 5 timeout 2700 "$GO" install -trimpath -ldflags "$4" tool) >"$log" 2>&1 </dev/null; then
    show_log "build-$1"
    die "could not build $3"
  fi
  if [[ -e $2.part/server ]]; then mv "$2.part/server" "$2.part/etcd"; fi
  mv "$2.part" "$2"
}
