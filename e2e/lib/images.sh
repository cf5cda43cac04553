# Why: container images without a container engine: debootstrap makes the base, buildah runs ordinary Dockerfiles, and
# the result is a docker-archive in the cache, in a file named after the checksum of what it was made of.

IMAGES=(pause llama-server vllm-standin)
image_name() {
  case $1 in
    pause) echo localhost/strix-e2e/pause:latest ;;
    llama-server) echo localhost/strix-e2e/llama-server:0.7.0 ;;
    vllm-standin) echo localhost/strix-e2e/vllm-standin:latest ;;
    vllm-cpu) echo "localhost/strix-e2e/vllm-cpu:$VLLM_VERSION" ;; # on demand, see vllm.sh
  esac
}
LLAMA_PACKAGE=llama.cpp-tools
LLAMA_SUITE=forky

buildah_() { buildah --root "$CACHE/buildah/root" --runroot "$CACHE/buildah/run" --storage-driver overlay "$@"; }

debian_mirror() { # the mirror that apt on this machine is set up with
  local uri
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 2>/dev/null | grep -E '/debian/?$' | head -n 1)
  [[ -n $uri ]] || die "apt on this machine knows no Debian mirror"
  echo "$uri"
}

base_ensure() { # NAME SUITE [PACKAGE...]: localhost/strix-e2e/debian:NAME, a minimal Debian
  local name=$1 suite=$2 script=() include="" tar=$CACHE/images/debian-$1.tar root
  shift 2
  if (($#)); then include=$(IFS=,; echo "$*"); fi
  if [[ ! -s $tar ]]; then
    say "a minimal Debian $suite${include:+ with $include} (about a minute, once)"
    mkdir -p "$CACHE/images" "$CACHE/tmp"
    root=$(mktemp -d "$CACHE/tmp/debian.XXXXXX")
    # A suite younger than this debootstrap is made by the script that makes all of them.
    if [[ ! -e /usr/share/debootstrap/scripts/$suite ]]; then script=(/usr/share/debootstrap/scripts/sid); fi
    if ! timeout 900 debootstrap --variant=minbase ${include:+--include="$include"} "$suite" "$root" "$(debian_mirror)" "${script[@]}" \
      >"$STATE/logs/debootstrap.log" 2>&1 </dev/null; then
      tail -n 20 "$root/debootstrap/debootstrap.log" >>"$STATE/logs/debootstrap.log" 2>/dev/null || true
      rm -rf "$root"
      show_log debootstrap
      die "debootstrap could not make $suite"
    fi
    rm -rf "$root"/usr/share/{doc,man,locale,info}/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/*.log
    tar -C "$root" --numeric-owner --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* -cf "$tar.part" .
    mv "$tar.part" "$tar"
    rm -rf "$root"
  fi
  if ! buildah_ images -q "localhost/strix-e2e/debian:$name" >/dev/null 2>&1; then
    printf 'FROM scratch\nADD debian-%s.tar /\nCMD ["/bin/sh"]\n' "$name" |
      buildah_ build --isolation chroot -q -t "localhost/strix-e2e/debian:$name" -f - "$CACHE/images" >"$STATE/logs/buildah.log" 2>&1 ||
      { show_log buildah; die "buildah could not take in the base $name"; }
  fi
}

image_build() { # NAME DIR [BUILDAH OPTION...]: prints the path of the docker-archive
  local name=$1 folder=$2 tar base
  shift 2
  [[ -e $folder/Dockerfile ]] || die "$folder has no Dockerfile"
  mkdir -p "$CACHE/images" "$STATE/logs"
  for base in $(sed -nE 's#.*localhost/strix-e2e/debian:(bookworm|forky).*#\1#p' "$folder/Dockerfile" | sort -u); do
    with_cache_lock base_ensure "$base" "$base"
  done
  tar=$CACHE/images/built-$(tr '/:' '__' <<<"$name").tar
  image_archive "$name" "$folder" "$tar" "$@"
  echo "$tar"
}

image_archive() { # NAME DIR TAR [BUILDAH OPTION...]
  local name=$1 folder=$2 tar=$3
  shift 3
  rm -f "$tar.part"
  if ! { buildah_ build --isolation chroot --layers=false "$@" -t "$name" "$folder" &&
    buildah_ push "$name" "docker-archive:$tar.part:$name"; } >"$STATE/logs/buildah.log" 2>&1 </dev/null; then
    show_log buildah
    die "buildah could not make $name"
  fi
  mv "$tar.part" "$tar"
}

pause_binary() { echo "$CACHE/images/pause-$(hash_of "$here"/images/pause/*)"; }

pause_ensure() {
  local binary
  binary=$(pause_binary)
  if [[ -x $binary ]]; then return 0; fi
  mkdir -p "$CACHE/images"
  gcc -O2 -static -s -o "$binary.part" "$here/images/pause/pause.c"
  mv "$binary.part" "$binary"
}

# Each prints nothing and leaves the tar at the path that image_tar names.
image_tar() { # IMAGE -> path; empty when it cannot be made yet
  local sources=$here/engines/vllm_standin
  case $1 in
    pause) echo "$CACHE/images/pause-$(hash_of "$here"/images/pause/*).tar" ;;
    llama-server) echo "$CACHE/images/llama-server-0.7.0-$(hash_of "$here"/images/llama-server/*).tar" ;;
    vllm-cpu) echo "$CACHE/images/vllm-cpu-$VLLM_VERSION-$(hash_of "$here"/images/vllm-cpu/{Dockerfile,vllm}).tar" ;;
    vllm-standin)
      if compgen -G "$sources/*.cc" >/dev/null; then
        echo "$CACHE/images/vllm-standin-$(find "$sources" -type f \( -name '*.cc' -o -name '*.h' \) | sort | xargs cat "$here"/images/vllm-standin/* | sha256sum | cut -c1-10).tar"
      fi ;;
  esac
}

image_ensure() { # IMAGE
  local tar work
  tar=$(image_tar "$1")
  [[ -n $tar && ! -s $tar ]] || return 0
  say "building the image $(image_name "$1")"
  mkdir -p "$CACHE/images" "$CACHE/tmp"
  work=$(mktemp -d "$CACHE/tmp/image.XXXXXX")
  cp "$here/images/$1/Dockerfile" "$work/"
  case $1 in
    pause) cp "$(pause_binary)" "$work/pause" ;;
    llama-server) base_ensure llama "$LLAMA_SUITE" "$LLAMA_PACKAGE" ;;
    vllm-cpu)
      cp "$here/images/vllm-cpu/vllm" "$work/"
      base_ensure vllm bookworm python3 libgomp1 libnuma1 ;;
    vllm-standin)
      cp "$(command -v busybox)" "$work/busybox"
      if ! nice -n 5 timeout 600 g++ -std=c++20 -O2 -static -pthread -s -o "$work/vllm" "$here"/engines/vllm_standin/*.cc >"$STATE/logs/standin.log" 2>&1; then
        rm -rf "$work"
        show_log standin
        say "the stand-in for vLLM does not compile; going on without a new image of it"
        return 0
      fi ;;
  esac
  image_archive "$(image_name "$1")" "$work" "$tar"
  rm -rf "$work"
  # What was made of older sources is of no use to anybody.
  find "$CACHE/images" -maxdepth 1 -name "$1-*.tar" ! -path "$tar" -delete
}

images_ensure() {
  local image
  for image in "${IMAGES[@]}"; do
    if [[ -z $(image_tar "$image") ]]; then
      say "no sources of $(image_name "$image") yet; skipped"
    elif [[ ! -s $(image_tar "$image") ]]; then
      with_cache_lock image_ensure "$image"
    fi
  done
}
