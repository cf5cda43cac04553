# Why: the provider "local": everything built and started by us on this machine.

provider_up() { # [NODES]
  [[ $(id -u) == 0 ]] || die "the local cluster needs root"
  mkdir -p "$(dirname "$STATE")"
  with_lock "$STATE.lock" local_up "$1"
}

local_up() {
  local wanted=${1:-1} node i image
  mkdir -p "$STATE"/{run,logs,conf,nodes}
  echo "$PORT_BASE" >"$STATE/port-base"
  if ((ONLY_API)); then touch "$STATE/only-api"; fi
  packages_ensure
  binaries_ensure "$ONLY_API"
  pki_ensure
  local_tools
  process_alive apiserver || say "control plane on port $API_PORT"
  ((ONLY_API)) || network_ensure # the API server advertises an address of it
  start_etcd
  start_apiserver
  if ((ONLY_API)); then
    local_done "an API server alone"
    return 0
  fi
  start_controller_manager
  start_scheduler
  devices_ensure
  pause_ensure
  images_ensure
  models_ensure
  for ((i = 1; i <= 8; i++)); do
    node=strix-$i
    # Nodes that were there before come back too.
    if ((i > wanted)) && [[ ! -d $(node_folder "$node") ]]; then continue; fi
    node_boot "$node"
    start_containerd "$node"
    for image in "${IMAGES[@]}"; do
      if [[ -s $(image_tar "$image") ]]; then image_import_once "$node" "$(image_name "$image")" "$(image_tar "$image")"; fi
    done
    start_proxy "$node"
    start_kubelet "$node"
  done
  for node in $(node_names); do node_wait_ready "$node"; done
  wait_for 60 "the default service account" controller-manager kc -n default get serviceaccount default
  wait_for 30 "the service network" "proxy-strix-1" curl -sk -m 2 https://10.96.0.1/readyz
  local_done "$(node_names | wc -l) node(s): $(node_names | xargs)"
}

local_tools() { # the cluster's own kubectl and ctr, to be put on the PATH
  mkdir -p "$STATE/bin"
  ln -sfn "$K8S_BIN/kubectl" "$STATE/bin/kubectl"
  if [[ -d $CONTAINERD_BIN ]]; then ln -sfn "$CONTAINERD_BIN/ctr" "$STATE/bin/ctr"; fi
}

local_done() {
  say "up: Kubernetes v$K8S_VERSION, $1"
  provider_env
}

provider_env() {
  printf 'export KUBECONFIG=%s\nexport PATH=%s:$PATH\n' "$STATE/kubeconfig" "$STATE/bin"
}

provider_down() {
  [[ -d $STATE/run ]] || { say "nothing runs in $STATE"; return 0; }
  with_lock "$STATE.lock" local_down
}

local_down() {
  local node component
  for node in $(node_names); do
    say "stopping $node"
    node_stop "$node"
  done
  for component in scheduler controller-manager apiserver etcd; do
    process_alive "$component" && say "stopping $component"
    process_stop "$component" 30
  done
  if [[ $(cat "/sys/class/net/$BRIDGE/ifalias" 2>/dev/null) == "$STATE" ]]; then ip link del "$BRIDGE"; fi
  say "down"
}

provider_reset() {
  with_lock "$STATE.lock" local_reset
}

local_reset() {
  # Only a folder that is known to be a cluster's, and only when nothing is mounted in it.
  if [[ -e $STATE/port-base ]]; then
    local_down
    if grep -q " $STATE/" /proc/self/mountinfo; then die "something is still mounted under $STATE"; fi
    rm -rf "$STATE"
  fi
  say "reset: nothing is left of $STATE; the cache $CACHE stays"
}

provider_status() {
  local name pid node
  [[ -d $STATE/run ]] || { say "no cluster in $STATE"; return 1; }
  printf 'state %s, ports from %s\n' "$STATE" "$PORT_BASE"
  for name in $CONTROL_PLANE; do local_status_line "$name"; done
  for node in $(node_names); do
    for name in holder $NODE_COMPONENTS; do local_status_line "$name-$node"; done
  done
  process_alive apiserver || return 1
  kc version 2>/dev/null | sed -n 's/^Server/Server/p'
  ((ONLY_API)) || kc get nodes -o wide
}

local_status_line() { # NAME
  local pid
  if pid=$(process_pid "$1"); then
    printf '  %-24s pid %-8s up %-12s %s MiB\n' "$1" "$pid" "$(ps -o etime= -p "$pid" | xargs)" "$(($(ps -o rss= -p "$pid") / 1024))"
  elif ((ONLY_API)) && [[ $1 == controller-manager || $1 == scheduler ]]; then
    :
  else
    printf '  %-24s does not run\n' "$1"
  fi
}

provider_load_image() { # NAME TAR
  local node
  [[ -s $2 ]] || die "no such file: $2"
  [[ -n $(node_names) ]] || die "there are no nodes; first: e2e/cluster up"
  for node in $(node_names); do
    say "image $1 into $node"
    image_import "$node" "$1" "$2"
  done
}

provider_component() { # start|stop|kill|restart|pause|resume COMPONENT [NODE]
  [[ -e $STATE/pki/done ]] || die "no cluster in $STATE; first: e2e/cluster up"
  with_lock "$STATE.lock" local_component "$@"
}

local_component() {
  local action=$1 component=$2 node=$3 name pid
  PKI=$STATE/pki
  if [[ " $CONTROL_PLANE " == *" $component "* ]]; then
    local_act "$action" "$component" "$component"
  elif [[ " $NODE_COMPONENTS " == *" $component "* ]]; then
    for name in $(node_names); do
      if [[ -z $node || $node == "$name" ]]; then local_act "$action" "$component" "$component-$name" "$name"; fi
    done
    if [[ -n $node && ! -d $(node_folder "$node") ]]; then die "no node $node"; fi
  else
    die "no component $component; there are: $CONTROL_PLANE $NODE_COMPONENTS"
  fi
}

local_act() { # ACTION COMPONENT NAME [NODE]
  local pid
  case $1 in
    start) ;;
    stop | restart) process_stop "$3" 60 ;;
    kill) process_stop "$3" 10 KILL ;;
    pause | resume)
      pid=$(process_pid "$3") || die "$3 does not run"
      if [[ $1 == pause ]]; then kill -STOP "$pid"; else kill -CONT "$pid"; fi ;;
  esac
  case $1 in start | restart) "start_${2//-/_}" ${4:+"$4"} ;; esac
  say "$3: $1 done"
}

provider_reboot() { with_lock "$STATE.lock" local_reboot "$1"; }

local_reboot() { # NODE
  [[ -d $(node_folder "$1") ]] || die "no node $1"
  PKI=$STATE/pki
  say "cutting the power of $1"
  node_cut "$1"
  node_boot "$1"
  start_containerd "$1"
  start_proxy "$1"
  start_kubelet "$1"
  node_wait_ready "$1"
  say "$1 is back"
}

provider_exec() { # NODE COMMAND...
  local holder
  holder=$(process_pid "holder-$1") || die "node $1 does not run"
  shift
  exec nsenter -t "$holder" -m -u -n -p -- "$@"
}
