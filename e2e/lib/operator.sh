# Why: builds the operator, gives it the account and the rights that manifests/ grant, and runs it beside the cluster as
# that account: what its rights forbid fails here too.

configure_operator() { # after configure
  ROOT=$(cd "$here/.." && pwd)
  OPERATOR=$ROOT/.build/release/strix-operator
  OPERATOR_PORT=$((PORT_BASE + 9))
  export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1
}

BUILD_PACKAGES="cmake ninja-build g++ ccache mold libcurl4-openssl-dev libyaml-cpp-dev rapidjson-dev libcpprest-dev
libboost-system-dev libssl-dev libfmt-dev libcli11-dev catch2 zlib1g-dev"

build_packages_ensure() { # [PACKAGE...]: what every build needs, and these
  local missing BUILD_PACKAGES="$BUILD_PACKAGES $*"
  # dpkg-query fails where one of them was never heard of, which is the very case on a fresh machine.
  # shellcheck disable=SC2086
  missing=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' $BUILD_PACKAGES 2>/dev/null || true; } |
    awk '$1 == "installed" { print $2 }' | sort | comm -13 - <(tr ' ' '\n' <<<"$BUILD_PACKAGES" | sed '/^$/d' | sort -u))
  [[ -n $missing ]] || return 0
  [[ $(id -u) == 0 ]] || die "the build needs these packages, and root to install them: ${missing//$'\n'/ }"
  say "installing ${missing//$'\n'/ }"
  mkdir -p "$STATE/logs"
  # shellcheck disable=SC2086
  { timeout 300 apt-get update && DEBIAN_FRONTEND=noninteractive timeout 1200 apt-get install -y --no-install-recommends $missing; } \
    >"$STATE/logs/apt.log" 2>&1 </dev/null || { show_log apt; die "apt-get could not install: ${missing//$'\n'/ }"; }
}

# The compiler's cache is shared by all checkouts: what a clean clone compiles, an earlier one has compiled before.
build_target() { # PRESET TARGET...
  local preset=$1
  shift
  mkdir -p "$STATE/logs" "$ROOT/.build/$preset"
  (cd "$ROOT" && cmake --preset "$preset" && cmake --build --preset "$preset" --target "$@") >"$STATE/logs/build-$preset.log" 2>&1 ||
    { show_log "build-$preset"; die "the build of $* failed"; }
}

build_operator() {
  build_packages_ensure
  say "building the operator"
  build_target release strix-operator
}

install_api() { # the CRD, and the account with its rights
  kc apply --server-side --force-conflicts -f "$ROOT/crds" >/dev/null
  kc wait --for=condition=Established crd/inferencestacks.inference.strix.dev --timeout=30s >/dev/null
  kc apply --server-side --force-conflicts -k "$ROOT/manifests" >/dev/null
}

# What an earlier run that was interrupted left in the cluster: any operator that starts would go on with it. None runs
# now, so nobody else takes the finalizers away.
clear_leftovers() {
  local namespace name
  kc uncordon -l kubernetes.io/hostname >/dev/null 2>&1
  kc delete inferencestacks -A --all --wait=false >/dev/null 2>&1
  kc get inferencestacks -A --no-headers -o custom-columns=:metadata.namespace,:metadata.name 2>/dev/null |
    while read -r namespace name; do
      say "taking away the stack $namespace/$name that an earlier run left"
      kc -n "$namespace" patch inferencestack "$name" --type merge -p '{"metadata":{"finalizers":null}}' >/dev/null </dev/null
    done
  kc delete pods -A -l inference.strix.dev/stack --timeout=90s >/dev/null 2>&1
  return 0
}

operator_kubeconfig() { # a kubeconfig with the service account's own token
  local token
  token=$(kc -n strix-system create token strix-operator --duration=24h)
  mkdir -p "$STATE/operator"
  (umask 077; printf '%s' "$token" >"$STATE/operator/token")
  kc config view --raw --minify -o json | jq --arg token "$STATE/operator/token" '
    .users[0].user = {tokenFile: $token} | .contexts[0].context.namespace = "strix-system"' >"$STATE/operator/kubeconfig"
}

operator_flags() {
  printf '%s\n' run --kubeconfig "$STATE/operator/kubeconfig" --listen "127.0.0.1:$OPERATOR_PORT" \
    --allow-privileged-tiers --model-roots "$MODELS,/var/lib/strix-e2e"
}

operator_start() {
  local flags
  if process_alive operator && [[ $(cat "$STATE/operator/built" 2>/dev/null) == "$(sha256sum <"$OPERATOR")" ]]; then return 0; fi
  process_stop operator 20
  operator_kubeconfig
  mapfile -t flags < <(operator_flags)
  say "starting the operator"
  sha256sum <"$OPERATOR" >"$STATE/operator/built"
  process_start operator "$OPERATOR" "${flags[@]}"
  wait_for 30 "the operator's /readyz" operator curl -fsS -m 2 "http://127.0.0.1:$OPERATOR_PORT/readyz"
}
