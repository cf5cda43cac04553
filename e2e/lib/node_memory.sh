#!/usr/bin/env bash
# Why: keeps a file like /sys/devices/system/node/node0/meminfo for a node whose memory was set by hand: its total, and
# what its pods leave of it, as a small machine's kernel would report. Runs inside the node and ends with it.
set -euo pipefail
name=$1 total_kib=$2 file=$3
pods=/sys/fs/cgroup/memory/strix-e2e/$name/kubepods usage=memory.usage_in_bytes stat=memory.stat prefix=total_
if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then pods=/sys/fs/cgroup/strix-e2e/$name/kubepods usage=memory.current prefix=; fi

write_file() { # USED_KIB CACHE_KIB: in place and in one piece, as it is bind-mounted and read at any time
  local free=$((total_kib - $1))
  printf -v text 'Node 0 %-15s %12d kB\n' MemTotal: "$total_kib" MemFree: $((free > 0 ? free : 0)) MemUsed: "$1" \
    'Active(file):' 0 'Inactive(file):' "$2" SReclaimable: 0
  printf '%s' "$text" 1<>"$file"
}

write_file 0 0
exec 7<> <(:) # never says anything: a clock without a process for each tick
while :; do
  used=0 cache=0
  if { read -r used <"$pods/$usage"; } 2>/dev/null; then
    while read -r key value; do
      case $key in "${prefix}inactive_file" | "${prefix}active_file") cache=$((cache + value)) ;; esac
    done <"$pods/$stat"
  fi
  write_file $((used / 1024)) $((cache / 1024))
  read -r -t 0.1 -u 7 || true
done
