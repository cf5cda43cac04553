#!/usr/bin/env bash
# Why: the first process of a node. A node is a set of namespaces (mounts, network, processes, host name) of this
# machine; here it gets folders, devices and numbers of its own at the paths where Kubernetes wants them, so that several
# nodes can live side by side, and all that a node ever mounted is gone with its last process.
set -euo pipefail
name=$1 folder=$2 pause=$3 devices=$4 memory=$5

mount --make-rprivate /
hostname "$name"

# A small /dev: what containers need, and the stand-ins for the GPU.
dev=$folder/dev
mkdir -p "$dev"
mount -t tmpfs -o mode=755,size=4m strix-dev "$dev"
for file in null zero full random urandom tty kmsg fuse; do
  if [[ -e /dev/$file ]]; then cp -a "/dev/$file" "$dev/$file"; fi
done
cp -a "$devices/kfd" "$devices/dri" "$dev/"
ln -s /proc/self/fd "$dev/fd"
ln -s pts/ptmx "$dev/ptmx"
mkdir "$dev/pts" "$dev/shm" "$dev/mqueue" "$dev/net"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$dev/pts"
mount -t tmpfs -o mode=1777 shm "$dev/shm"
mount -t mqueue mqueue "$dev/mqueue" 2>/dev/null || true
if [[ -e /dev/net/tun ]]; then cp -a /dev/net/tun "$dev/net/tun"; fi
mount --rbind "$dev" /dev

for pair in kubelet:/var/lib/kubelet cni:/var/lib/cni pods:/var/log/pods containers:/var/log/containers run:/run; do
  mount --bind "$folder/${pair%%:*}" "${pair#*:}"
done
mkdir -p /run/lock

# A node that comes back after a power cut has a new boot id, as after a real one.
cat /proc/sys/kernel/random/uuid >"$folder/boot-id"
mount --bind "$folder/boot-id" /proc/sys/kernel/random/boot_id
if [[ -n $memory ]]; then
  sed -E "s/^(MemTotal|MemFree|MemAvailable):.*/\1: $memory kB/" /proc/meminfo >"$folder/meminfo"
  mount --bind "$folder/meminfo" /proc/meminfo
  # The kubelet bounds all pods together by what it read there, so a small figure is a small machine in truth. An engine
  # that looks for itself looks here (its containers have this file as node0/meminfo, see start_containerd): the same total, and what is
  # left of it now.
  : >"$folder/node0-meminfo"
  bash "$(dirname "$0")/node_memory.sh" "$name" "$memory" "$folder/node0-meminfo" &
fi

echo 1 >/proc/sys/net/ipv4/ip_forward
ip link set lo up
mount --make-rshared /
touch "$folder/run/node-ready"
exec "$pause"
