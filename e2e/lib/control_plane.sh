# Why: etcd, API server, controller manager and scheduler, as ordinary processes of this machine.

CONTROL_PLANE="etcd apiserver controller-manager scheduler"

start_etcd() {
  process_alive etcd && return 0
  process_start etcd "$K8S_BIN/etcd" --name e2e --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-cluster "e2e=http://127.0.0.1:$ETCD_PEER_PORT"
  wait_for 30 "etcd to be healthy" etcd curl -sf -m 2 "http://127.0.0.1:$ETCD_PORT/health"
}

start_apiserver() {
  process_alive apiserver && return 0
  # RequestReceived says nothing that ResponseComplete does not; ResponseStarted is the only trace of a watch that is still open.
  cat >"$STATE/conf/audit-policy.yaml" <<'EOF'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
EOF
  local flags=()
  if ((ONLY_API)); then
    # Nobody here makes service accounts or removes what a namespace holds; the test plays those parts.
    flags+=(--endpoint-reconciler-type none --advertise-address 127.0.0.1 --bind-address 127.0.0.1 --disable-admission-plugins ServiceAccount)
  else
    flags+=(--endpoint-reconciler-type lease --advertise-address "$HOST_IP"
      --kubelet-client-certificate "$PKI/apiserver-kubelet.crt" --kubelet-client-key "$PKI/apiserver-kubelet.key"
      --kubelet-preferred-address-types InternalIP) # node names do not resolve
  fi
  # shellcheck disable=SC2206
  flags+=(${STRIX_E2E_APISERVER_ARGS:-})
  # Without shutdown-send-retry-after an orderly stop waits a minute for whoever still watches.
  process_start apiserver "$K8S_BIN/kube-apiserver" --secure-port "$API_PORT" --etcd-servers "http://127.0.0.1:$ETCD_PORT" \
    --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" --client-ca-file "$PKI/ca.crt" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged=true --profiling=false --shutdown-send-retry-after \
    --service-cluster-ip-range "$SERVICE_CIDR" --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$PKI/service-accounts.key" --service-account-signing-key-file "$PKI/service-accounts.key" \
    --audit-policy-file "$STATE/conf/audit-policy.yaml" --audit-log-path "$STATE/audit.log" --audit-log-mode blocking \
    --audit-log-maxsize 0 --audit-log-maxage 0 --audit-log-maxbackup 0 "${flags[@]}"
  wait_for 60 "the API server to be ready" apiserver kc get --raw /readyz
}

start_controller_manager() {
  process_alive controller-manager && return 0
  # A node counts as lost after 20 s here (50 s by default), so that tests of lost nodes need not wait a minute.
  # shellcheck disable=SC2086
  process_start controller-manager "$K8S_BIN/kube-controller-manager" --secure-port "$CONTROLLER_MANAGER_PORT" --bind-address 127.0.0.1 \
    --kubeconfig "$STATE/conf/controller-manager.kubeconfig" --authentication-kubeconfig "$STATE/conf/controller-manager.kubeconfig" \
    --authorization-kubeconfig "$STATE/conf/controller-manager.kubeconfig" --use-service-account-credentials \
    --service-account-private-key-file "$PKI/service-accounts.key" --root-ca-file "$PKI/ca.crt" --profiling=false \
    --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" --leader-elect=false \
    --node-monitor-period 2s --node-monitor-grace-period 20s ${STRIX_E2E_CONTROLLER_MANAGER_ARGS:-}
  wait_for 60 "the controller manager to be healthy" controller-manager curl -sfk -m 2 "https://127.0.0.1:$CONTROLLER_MANAGER_PORT/healthz"
}

start_scheduler() {
  process_alive scheduler && return 0
  process_start scheduler "$K8S_BIN/kube-scheduler" --secure-port "$SCHEDULER_PORT" --bind-address 127.0.0.1 \
    --kubeconfig "$STATE/conf/scheduler.kubeconfig" --authentication-kubeconfig "$STATE/conf/scheduler.kubeconfig" \
    --authorization-kubeconfig "$STATE/conf/scheduler.kubeconfig" --leader-elect=false --profiling=false
  wait_for 60 "the scheduler to be healthy" scheduler curl -sfk -m 2 "https://127.0.0.1:$SCHEDULER_PORT/healthz"
}
