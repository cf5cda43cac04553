# Why: the provider "k3s", for the machine that this project is made for: a k3s that is installed and runs. Written from
# k3s's documentation; the project's own machines cannot get k3s, so this file is not run by its CI.

K3S_CONFIG=${KUBECONFIG:-/etc/rancher/k3s/k3s.yaml}

provider_up() {
  command -v k3s >/dev/null || die "STRIX_E2E_PROVIDER=k3s needs an installed k3s"
  ((!ONLY_API)) || die "--control-plane-only is for the local provider"
  mkdir -p "$STATE/logs"
  wait_for 120 "k3s to be ready" - kc get --raw /readyz
  models_ensure
  pause_ensure
  images_ensure
  local image
  for image in "${IMAGES[@]}"; do
    if [[ -s $(image_tar "$image") ]]; then provider_load_image "$(image_name "$image")" "$(image_tar "$image")"; fi
  done
  provider_env
}
provider_env() { printf 'export KUBECONFIG=%s\n' "$K3S_CONFIG"; }
provider_status() { kc version && kc get nodes -o wide; }
provider_down() { say "k3s is a service of this machine: systemctl stop k3s && k3s-killall.sh"; }
provider_reset() { say "k3s is a service of this machine: k3s-uninstall.sh removes it and all it holds"; }
provider_load_image() { k3s ctr -n k8s.io images import "$2"; }
provider_component() { die "k3s is one process: systemctl $1 k3s"; }
provider_reboot() { die "reboot the machine yourself"; }
provider_exec() { shift; "$@"; }
kc() { k3s kubectl --kubeconfig "$K3S_CONFIG" --request-timeout=20s "$@"; }
