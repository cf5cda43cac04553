# Why: the provider "current": the tests run against whatever cluster $KUBECONFIG names. Nothing is started or stopped.

provider_up() {
  local kubeconfig=${KUBECONFIG:-$HOME/.kube/config}
  [[ -s $kubeconfig ]] || die "STRIX_E2E_PROVIDER=current needs a KUBECONFIG"
  command -v kubectl >/dev/null || die "STRIX_E2E_PROVIDER=current needs kubectl"
  kubectl --request-timeout=20s get --raw /readyz >/dev/null || die "the cluster of $kubeconfig does not answer"
  say "using the cluster of $kubeconfig as it is"
  provider_env
}
provider_env() { printf 'export KUBECONFIG=%s\n' "${KUBECONFIG:-$HOME/.kube/config}"; }
provider_status() { kubectl version && kubectl get nodes -o wide; }
provider_down() { say "not ours to stop"; }
provider_reset() { say "not ours to reset"; }
provider_load_image() { die "push $1 to a registry that the nodes can reach, or import $2 on them by hand"; }
provider_component() { die "cannot $1 $2 of a cluster that is not ours"; }
provider_reboot() { die "cannot reboot a node that is not ours"; }
provider_exec() { die "cannot enter a node that is not ours"; }
kc() { kubectl --request-timeout=20s "$@"; }
