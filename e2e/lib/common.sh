# Why: what every other part needs: where things are, how to say something, how to wait with a deadline.

K8S_VERSION=1.36.3
CONTAINERD_VERSION=2.4.2
PATIENCE=3 # a deadline is for a hang, not for a slow machine

configure() { # ONLY_API: read the environment once
  PROVIDER=${STRIX_E2E_PROVIDER:-local}
  case $PROVIDER in local | kind | k3s | current) ;; *) die "STRIX_E2E_PROVIDER is local, kind, k3s or current, not '$PROVIDER'" ;; esac
  CACHE=${STRIX_E2E_CACHE:-$HOME/.cache/strix-operator-e2e}
  MODELS=${STRIX_E2E_MODELS:-/var/lib/strix-e2e/models}
  DEVICES=${STRIX_E2E_DEVICES:-/var/lib/strix-e2e/dev}
  ONLY_API=$1
  # The small cluster (etcd and API server) has defaults of its own, so that it can run beside the whole one.
  if ((ONLY_API)); then
    STATE=${STRIX_E2E_STATE:-/var/tmp/strix-e2e-api}
    PORT_BASE=${STRIX_E2E_PORT_BASE:-16500}
  else
    STATE=${STRIX_E2E_STATE:-/var/tmp/strix-e2e}
    PORT_BASE=${STRIX_E2E_PORT_BASE:-16400}
  fi
  [[ $STATE == /?*/?* ]] || die "STRIX_E2E_STATE must be an absolute path of two parts or more, not '$STATE'"
  [[ $PORT_BASE =~ ^[0-9]+$ ]] && ((PORT_BASE > 1023 && PORT_BASE < 65500)) || die "STRIX_E2E_PORT_BASE is a port, not '$PORT_BASE'"
  # A state folder remembers what it is, so that down, status and restart need not be told again.
  if [[ -e $STATE/only-api ]]; then ONLY_API=1; fi
  if [[ -e $STATE/port-base ]]; then PORT_BASE=$(<"$STATE/port-base"); fi

  API_PORT=$PORT_BASE
  ETCD_PORT=$((PORT_BASE + 1))
  ETCD_PEER_PORT=$((PORT_BASE + 2))
  CONTROLLER_MANAGER_PORT=$((PORT_BASE + 3))
  SCHEDULER_PORT=$((PORT_BASE + 4))
  HOST_IP=172.30.0.1            # this machine, as the nodes see it
  BRIDGE=strix0
  SERVICE_CIDR=10.96.0.0/16
  POD_CIDR=10.244.0.0/16
  K8S_BIN=$CACHE/bin/kubernetes-v$K8S_VERSION-$(hash_of "$here/k8s/kubernetes/go.sum")
  CONTAINERD_BIN=$CACHE/bin/containerd-v$CONTAINERD_VERSION-$(hash_of "$here/k8s/containerd/go.sum")
  export PATH=$PATH:/usr/sbin:/sbin
}

started_at=$SECONDS
say() { printf '%4ds  %s\n' "$((SECONDS - started_at))" "$*" >&2; }
die() { printf 'e2e/cluster: %s\n' "$*" >&2; exit 1; }

hash_of() { cat "$@" | sha256sum | cut -c1-10; }

show_log() { # NAME: the end of a component's log, on a failure
  local log=$STATE/logs/$1.log
  [[ -s $log ]] || return 0
  printf -- '--- the end of %s ---\n' "$log" >&2
  tail -n 40 "$log" >&2
  printf -- '---\n' >&2
}

wait_for() { # SECONDS WHAT COMPONENT COMMAND...: until the command succeeds; a dead component, or PATIENCE times those seconds, is fatal
  local deadline=$((SECONDS + PATIENCE * $1)) what=$2 component=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    if [[ $component != - ]] && ! process_alive "$component"; then
      show_log "$component"
      die "$component has exited; was waiting for $what"
    fi
    if ((SECONDS >= deadline)); then
      [[ $component == - ]] || show_log "$component"
      die "gave up waiting for $what"
    fi
    sleep 0.1
  done
}

with_lock() { # FILE COMMAND...: one at a time; what the command starts does not inherit the lock (see process.sh)
  local file=$1
  shift
  mkdir -p "$(dirname "$file")"
  exec 9>"$file"
  flock -w 1800 9 || die "another e2e/cluster holds $file"
  "$@"
  exec 9>&-
}

with_cache_lock() { # COMMAND...: the same for what is made in the cache, inside or outside the other lock
  mkdir -p "$CACHE"
  exec 8>"$CACHE/lock"
  flock -w 3600 8 || die "another e2e/cluster holds $CACHE/lock"
  "$@"
  exec 8>&-
}

kc() { "$K8S_BIN/kubectl" --kubeconfig "$STATE/kubeconfig" --request-timeout=20s "$@"; }
