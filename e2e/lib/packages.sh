# Why: a fresh Debian 12 gets what the cluster needs from Debian's own packages; a machine that has it all is left alone.

# command or file : package that brings it
PACKAGES="
runc:runc iptables:iptables conntrack:conntrack ip:iproute2 debootstrap:debootstrap buildah:buildah openssl:openssl
curl:curl jq:jq python3:python3 kmod:kmod pgrep:procps unshare:util-linux gcc:gcc g++:g++ setsid:util-linux flock:util-linux
/usr/lib/cni/ptp:containernetworking-plugins /var/lib/dpkg/info/busybox-static.list:busybox-static
/usr/include/stdio.h:libc6-dev /etc/ssl/certs/ca-certificates.crt:ca-certificates
"

packages_missing() {
  local entry need
  for entry in $PACKAGES; do
    need=${entry%%:*}
    if [[ $need == /* ]]; then [[ -e $need ]] && continue
    else command -v "$need" >/dev/null && continue; fi
    echo "${entry#*:}"
  done | sort -u
}

packages_ensure() {
  local missing
  missing=$(packages_missing)
  [[ -n $missing ]] || return 0
  [[ $(id -u) == 0 ]] || die "needs these packages, and root to install them: ${missing//$'\n'/ }"
  say "installing ${missing//$'\n'/ }"
  mkdir -p "$STATE/logs"
  # shellcheck disable=SC2086
  if ! { timeout 300 apt-get update && DEBIAN_FRONTEND=noninteractive timeout 900 apt-get install -y --no-install-recommends $missing; } \
    >"$STATE/logs/apt.log" 2>&1 </dev/null; then
    show_log apt
    die "apt-get could not install: ${missing//$'\n'/ }"
  fi
}

GO_WANTED=1.26
GO_TOOLCHAIN=1.26.8

go_is_new() { # GO
  local version
  version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  [[ $(printf '%s\n' "$GO_WANTED" "${version#go}" | sort -V | head -n 1) == "$GO_WANTED" ]]
}

# Debian 12 has Go 1.19. A newer toolchain is published as an ordinary module; an old Go can download it, and does not
# know two things about it that are done by hand here: its programs must be executable, its go.mod files are called _go.mod.
go_ensure() { # sets GO
  GO=$(command -v go || true)
  if [[ -n $GO ]] && go_is_new "$GO"; then return 0; fi
  GO=$CACHE/go-$GO_TOOLCHAIN/bin/go
  if [[ -x $GO ]] && go_is_new "$GO"; then return 0; fi
  local old folder file
  old=$(command -v go || true)
  if [[ -z $old ]]; then
    say "installing golang-go"
    DEBIAN_FRONTEND=noninteractive timeout 900 apt-get install -y --no-install-recommends golang-go >"$STATE/logs/apt.log" 2>&1 </dev/null ||
      { timeout 300 apt-get update && DEBIAN_FRONTEND=noninteractive timeout 900 apt-get install -y --no-install-recommends golang-go; } \
        >"$STATE/logs/apt.log" 2>&1 </dev/null || { show_log apt; die "apt-get could not install golang-go"; }
    old=$(command -v go)
  fi
  say "fetching the Go toolchain $GO_TOOLCHAIN"
  folder=$(cd / && GOTOOLCHAIN=local GO111MODULE=on timeout 900 "$old" mod download -json "golang.org/toolchain@v0.0.1-go$GO_TOOLCHAIN.linux-$(dpkg --print-architecture)" |
    jq -r .Dir)
  [[ -d $folder ]] || die "the Go toolchain did not arrive"
  rm -rf "$CACHE/go-$GO_TOOLCHAIN.part"
  mkdir -p "$CACHE"
  cp -r "$folder" "$CACHE/go-$GO_TOOLCHAIN.part"
  chmod -R u+w "$CACHE/go-$GO_TOOLCHAIN.part"
  chmod +x "$CACHE/go-$GO_TOOLCHAIN.part"/bin/* "$CACHE/go-$GO_TOOLCHAIN.part"/pkg/tool/*/*
  find "$CACHE/go-$GO_TOOLCHAIN.part" -name _go.mod | while read -r file; do mv "$file" "${file%_go.mod}go.mod"; done
  mv "$CACHE/go-$GO_TOOLCHAIN.part" "$CACHE/go-$GO_TOOLCHAIN"
  go_is_new "$GO" || die "the fetched Go toolchain does not run"
}
