# Why: a node of the cluster: namespaces held by one process (node_init.sh), and in them containerd, kubelet and
# kube-proxy. Whatever dies with its process 1 needs no cleaning up afterwards: mounts, pod networks, iptables rules, pods.

NODE_COMPONENTS="containerd kubelet proxy"

node_names() { # of this cluster, in order
  local folder
  for folder in "$STATE"/nodes/strix-*; do
    if [[ -d $folder ]]; then basename "$folder"; fi
  done
}
node_folder() { echo "$STATE/nodes/$1"; }
node_ip() { echo "172.30.0.1${1#strix-}"; }
node_pods() { echo "10.244.${1#strix-}.0/24"; }
node_ctr() { local node=$1; shift; "$CONTAINERD_BIN/ctr" -a "$(node_folder "$node")/run/containerd/containerd.sock" -n k8s.io "$@"; }

network_ensure() { # the bridge between this machine and its nodes
  if [[ -e /sys/class/net/$BRIDGE ]]; then
    local owner
    owner=$(<"/sys/class/net/$BRIDGE/ifalias")
    [[ $owner == "$STATE" ]] || die "a cluster with the state folder ${owner:-(unknown)} has the network $BRIDGE; there is room for one with nodes"
    return 0
  fi
  ip link add "$BRIDGE" type bridge
  ip link set "$BRIDGE" alias "$STATE"
  ip addr add "$HOST_IP/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
}

# The control group under which all pods of the node live, in either version of the hierarchy.
node_cgroup() { # NODE
  local path=strix-e2e/$1 controller file
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    mkdir -p "/sys/fs/cgroup/$path"
    for file in /sys/fs/cgroup /sys/fs/cgroup/strix-e2e "/sys/fs/cgroup/$path"; do
      for controller in cpu cpuset memory pids io hugetlb; do
        echo "+$controller" >"$file/cgroup.subtree_control" 2>/dev/null || true
      done
    done
    return 0
  fi
  for controller in /sys/fs/cgroup/*/; do
    [[ $controller != */unified/ ]] || continue
    mkdir -p "$controller$path"
  done
  for file in cpuset.cpus cpuset.mems; do
    for path in strix-e2e "strix-e2e/$1"; do
      cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$path/$file" 2>/dev/null || true
    done
  done
}

node_cgroup_remove() { # NODE
  local folder
  for folder in "/sys/fs/cgroup/strix-e2e/$1" /sys/fs/cgroup/*/"strix-e2e/$1"; do
    if [[ -d $folder ]]; then
      find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
      rmdir "$(dirname "$folder")" 2>/dev/null || true
    fi
  done
}

node_boot() { # NODE: its namespaces, devices and network
  local node=$1 folder holder parent other memory=""
  process_alive "holder-$node" && return 0
  folder=$(node_folder "$node")
  say "node $node"
  rm -rf "${folder:?}/run" "$folder/cni" "$folder/containers" "$folder/node0-meminfo"
  mkdir -p "$folder"/{run,cni,containers,pods,kubelet,containerd,conf,images} /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers
  node_cgroup "$node"
  if [[ -n ${STRIX_E2E_NODE_MEMORY:-} ]]; then
    memory=$(($(numfmt --from=iec-i "${STRIX_E2E_NODE_MEMORY}") / 1024)) || die "STRIX_E2E_NODE_MEMORY is a size such as 122Gi"
  fi
  printf '### booted %s\n' "$(date -u +%FT%TZ)" >>"$STATE/logs/holder-$node.log"
  setsid nohup unshare --mount --uts --net --pid --fork --kill-child --mount-proc \
    bash "$here/lib/node_init.sh" "$node" "$folder" "$(pause_binary)" "$DEVICES" "$memory" \
    </dev/null >>"$STATE/logs/holder-$node.log" 2>&1 9>&- 8>&- &
  parent=$!
  local deadline=$((SECONDS + 60))
  until holder=$(pgrep -P "$parent" | head -n 1) && [[ -n $holder && -e $folder/run/node-ready ]]; do
    process_started "$parent" >/dev/null && ((SECONDS < deadline)) || { show_log "holder-$node"; die "node $node did not boot"; }
    sleep 0.02
  done
  process_record "holder-$node" "$holder"

  ip link del "$node" 2>/dev/null || true
  # No default route: nothing that a pod asks for leaves this machine.
  ip link add "$node" type veth peer name eth0 netns "$holder"
  ip link set "$node" master "$BRIDGE" up
  nsenter -t "$holder" -n ip -batch - <<EOF
addr add $(node_ip "$node")/24 dev eth0
link set eth0 up
route add $SERVICE_CIDR dev eth0
EOF
  for other in 1 2 3 4 5 6 7 8; do
    [[ strix-$other == "$node" ]] || nsenter -t "$holder" -n ip route add "$(node_pods "strix-$other")" via "$(node_ip "strix-$other")"
  done
  ip route replace "$(node_pods "$node")" via "$(node_ip "$node")"
  if [[ $node == strix-1 ]]; then ip route replace "$SERVICE_CIDR" via "$(node_ip "$node")"; fi
}

start_containerd() { # NODE
  local node=$1 folder spec=""
  process_alive "containerd-$node" && return 0
  folder=$(node_folder "$node")
  if [[ -e $folder/node0-meminfo ]]; then
    node_container_spec "$folder"
    spec=$'\n'"      base_runtime_spec = \"$folder/conf/container.json\""
  fi
  # restrict_oom_score_adj: root without CAP_SYS_RESOURCE may not lower the score, and runc would die of it.
  cat >"$folder/conf/containerd.toml" <<EOF
version = 3
root = "$folder/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$folder/containerd/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/strix-e2e/pause:latest"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"$spec
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$folder/conf/cni"
EOF
  mkdir -p "$folder/conf/cni"
  # ptp, not bridge: every pod is routed, so services work whether or not the kernel filters bridged packets.
  cat >"$folder/conf/cni/10-strix.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "strix", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "/run/cni-leases",
   "ranges": [[{"subnet": "$(node_pods "$node")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
  process_start_in "$node" "containerd-$node" env PATH="$CONTAINERD_BIN:$PATH" "$CONTAINERD_BIN/containerd" --config "$folder/conf/containerd.toml"
  wait_for 30 "containerd of $node" "containerd-$node" node_ctr "$node" version
}

# What containerd makes containers of by itself, and the file that tells them how large the node is.
node_container_spec() { # FOLDER
  "$CONTAINERD_BIN/ctr" oci spec | jq --arg file "$1/node0-meminfo" 'del(.process.rlimits) | .mounts += [
    {destination: "/sys/devices/system/node/node0/meminfo", type: "bind", source: $file, options: ["bind", "ro"]}]' >"$1/conf/container.json"
}

start_kubelet() { # NODE
  local node=$1 folder
  process_alive "kubelet-$node" && return 0
  folder=$(node_folder "$node")
  [[ -e $folder/conf/kubelet.kubeconfig ]] ||
    pki_kubeconfig "kubelet-$node" "/O=system:nodes/CN=system:node:$node" "$HOST_IP" "$folder/conf/kubelet.kubeconfig"
  # There is no name server. Port 53 of this machine refuses at once, so a look-up fails fast, and the kubelet does not complain.
  echo "# No name server: nothing outside is to be reached from here." >"$folder/conf/resolv.conf"
  # Small machines of any kind: swap, control groups v1 and missing capabilities are no reason to refuse.
  cat >"$folder/conf/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
registerNode: true
maxPods: 250
cgroupDriver: cgroupfs
cgroupRoot: /strix-e2e/$node
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
enforceNodeAllocatable: []
evictionHard: {}
imageGCHighThresholdPercent: 100
containerLogMaxSize: 10Mi
containerLogMaxFiles: 3
resolvConf: $folder/conf/resolv.conf
clusterDNS: [$HOST_IP]
clusterDomain: cluster.local
volumePluginDir: /var/lib/kubelet/volume-plugins
nodeStatusUpdateFrequency: 5s
nodeStatusReportFrequency: 5m
nodeLeaseDurationSeconds: 12
syncFrequency: 10s
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
EOF
  process_start_in "$node" "kubelet-$node" env PATH="$CONTAINERD_BIN:$PATH" "$K8S_BIN/kubelet" --config "$folder/conf/kubelet.yaml" \
    --kubeconfig "$folder/conf/kubelet.kubeconfig" --hostname-override "$node" --node-ip "$(node_ip "$node")" \
    --root-dir /var/lib/kubelet --cert-dir /var/lib/kubelet/pki
  # What was advertised by hand does not outlive a kubelet that starts afresh.
  if [[ -s $folder/advertised ]]; then
    wait_for 60 "node $node to be Ready" "kubelet-$node" node_ready "$node"
    local resource count
    while read -r resource count; do advertise_patch "$node" "$resource" "$count"; done <"$folder/advertised"
  fi
}

start_proxy() { # NODE
  local node=$1 folder
  process_alive "proxy-$node" && return 0
  folder=$(node_folder "$node")
  cat >"$folder/conf/proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: $node
clusterCIDR: $POD_CIDR
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {localhostNodePorts: false, minSyncPeriod: 200ms}
clientConnection: {kubeconfig: $STATE/conf/proxy.kubeconfig}
EOF
  process_start_in "$node" "proxy-$node" "$K8S_BIN/kube-proxy" --config "$folder/conf/proxy.yaml"
}

node_ready() { [[ $(kc get node "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]; }

# Ready by the word of the kubelet that runs now: after a crash the API believes the old one for a while.
node_booted() { # NODE
  node_ready "$1" && [[ $(kc get node "$1" -o 'jsonpath={.status.nodeInfo.bootID}') == "$(<"$(node_folder "$1")/boot-id")" ]]
}

node_wait_ready() { # NODE
  wait_for 60 "node $1 to be Ready" "kubelet-$1" node_booted "$1"
}

node_stop() { # NODE: kubelet first, so that it does not mourn its pods; then all the rest at once
  local node=$1 name
  process_stop "kubelet-$node" 15
  process_stop "proxy-$node" 5
  process_stop "containerd-$node" 10
  node_cut "$node"
  for name in $NODE_COMPONENTS; do rm -f "$STATE/run/$name-$node.pid"; done
}

node_cut() { # NODE: the power cut: process 1 of the namespace takes everything along
  process_stop "holder-$1" 20 KILL
  local name deadline=$((SECONDS + 20))
  for name in $NODE_COMPONENTS; do
    while process_alive "$name-$1"; do
      ((SECONDS < deadline)) || die "$name of $1 outlived its node"
      sleep 0.05
    done
    rm -f "$STATE/run/$name-$1.pid"
  done
  ip link del "$1" 2>/dev/null || true
  node_cgroup_remove "$1"
}

image_import() { # NODE NAME TAR
  local node=$1 name=$2 tar=$3 log=$STATE/logs/import-$1.log got
  timeout 300 "$CONTAINERD_BIN/ctr" -a "$(node_folder "$node")/run/containerd/containerd.sock" -n k8s.io images import "$tar" >"$log" 2>&1 </dev/null ||
    { show_log "import-$node"; die "could not import $tar into $node"; }
  if [[ -z $(node_ctr "$node" images ls -q "name==$name" 2>/dev/null) ]]; then
    got=$(tar -xOf "$tar" manifest.json 2>/dev/null | jq -r '.[0].RepoTags[0] // empty') || true
    [[ -n $got ]] || die "$tar does not say what its image is called: not a docker-archive"
    node_ctr "$node" images tag --force "$got" "$name" >>"$log" 2>&1 || { show_log "import-$node"; die "could not call the image of $tar $name"; }
  fi
}

image_import_once() { # NODE NAME TAR: the tar's name carries the checksum of what it was made of
  local mark
  mark=$(node_folder "$1")/images/$(tr '/:' '__' <<<"$2")
  [[ -e $mark && $(<"$mark") == "$3" ]] && return 0
  say "image $2 into $1"
  image_import "$1" "$2" "$3"
  echo "$3" >"$mark"
}

advertise_patch() { # NODE RESOURCE COUNT
  kc patch node "$1" --subresource=status --type=json \
    -p "[{\"op\": \"add\", \"path\": \"/status/capacity/${2//\//\~1}\", \"value\": \"$3\"}]" >/dev/null
}

advertise() { # NODE RESOURCE COUNT: what a device plugin would report
  local file
  advertise_patch "$1" "$2" "$3" || die "could not patch the status of node $1"
  file=$(node_folder "$1")/advertised
  if [[ -d $(dirname "$file") ]]; then
    { { grep -v "^$2 " "$file" 2>/dev/null || true; }; echo "$2 $3"; } >"$file.new"
    mv "$file.new" "$file"
  fi
  say "$1 advertises $3 of $2"
}
