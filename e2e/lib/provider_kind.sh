# Why: the provider "kind", for a machine that has kind and a container engine. Written from kind's documentation; the
# project's own machines have no container engine, so this file is not run by its CI.

KIND_NAME=strix-e2e
KIND_ENGINE=${KIND_EXPERIMENTAL_PROVIDER:-docker}

provider_up() { # [NODES]
  local wanted=${1:-1} i
  command -v kind >/dev/null || die "STRIX_E2E_PROVIDER=kind needs kind and a container engine"
  ((!ONLY_API)) || die "--control-plane-only is for the local provider"
  mkdir -p "$STATE/logs"
  models_ensure
  devices_ensure
  if ! kind get clusters 2>/dev/null | grep -qx $KIND_NAME; then
    {
      printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n'
      for ((i = 1; i <= wanted; i++)); do
        if ((i == 1)); then echo "- role: control-plane"; else echo "- role: worker"; fi
        printf '  extraMounts:\n  - {hostPath: %s, containerPath: %s}\n  - {hostPath: %s/kfd, containerPath: /dev/kfd}\n  - {hostPath: %s/dri, containerPath: /dev/dri}\n' \
          "$MODELS" "$MODELS" "$DEVICES" "$DEVICES"
      done
    } >"$STATE/kind.yaml"
    timeout 900 kind create cluster --name $KIND_NAME --config "$STATE/kind.yaml" --kubeconfig "$STATE/kubeconfig" --wait 5m
  fi
  pause_ensure
  images_ensure
  for i in "${IMAGES[@]}"; do
    if [[ -s $(image_tar "$i") ]]; then provider_load_image "$(image_name "$i")" "$(image_tar "$i")"; fi
  done
  provider_env
}
provider_env() { printf 'export KUBECONFIG=%s\n' "$STATE/kubeconfig"; }
provider_status() { kind get clusters; kc get nodes -o wide; }
# kind cannot be stopped and kept: down stops the containers of its nodes, reset deletes them.
provider_down() { kind get nodes --name $KIND_NAME | xargs -r "$KIND_ENGINE" stop; }
provider_reset() { kind delete cluster --name $KIND_NAME; rm -f "$STATE/kubeconfig" "$STATE/kind.yaml"; }
provider_load_image() { kind load image-archive "$2" --name $KIND_NAME; }
provider_component() { die "the components of a kind cluster are not ours to $1"; }
provider_reboot() { "$KIND_ENGINE" restart "$1"; }
provider_exec() { local node=$1; shift; "$KIND_ENGINE" exec "$node" "$@"; }
kc() { kubectl --kubeconfig "$STATE/kubeconfig" --request-timeout=20s "$@"; }
