# Why: start and end processes of ours, and only of ours. A process is known by its pid together with the time it
# started, so that a pid that the kernel has given to somebody else is never signalled.

process_started() { # PID -> start time in clock ticks; fails when gone or a zombie
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  [[ $1 != Z && $1 != X ]] || return 1
  echo "${20}"
}

process_pid() { # NAME -> pid, if it is the very process that we started
  local pid started
  { read -r pid started <"$STATE/run/$1.pid"; } 2>/dev/null || return 1
  [[ $(process_started "$pid") == "$started" ]] || return 1
  echo "$pid"
}

process_alive() { process_pid "$1" >/dev/null; }

process_record() { # NAME PID
  local started
  started=$(process_started "$2") || { show_log "$1"; die "$1 died at once"; }
  echo "$2 $started" >"$STATE/run/$1.pid"
}

process_start() { # NAME COMMAND...: in the background, in a session of its own, log to logs/NAME.log
  local name=$1
  shift
  mkdir -p "$STATE/run" "$STATE/logs"
  printf '### started %s\n' "$(date -u +%FT%TZ)" >>"$STATE/logs/$name.log"
  setsid nohup "$@" </dev/null >>"$STATE/logs/$name.log" 2>&1 9>&- 8>&- &
  process_record "$name" $!
}

process_start_in() { # NODE NAME COMMAND...: the same, inside the namespaces of a node
  local node=$1 name=$2 holder parent child=""
  shift 2
  holder=$(process_pid "holder-$node") || die "node $node does not run"
  mkdir -p "$STATE/run" "$STATE/logs"
  printf '### started %s\n' "$(date -u +%FT%TZ)" >>"$STATE/logs/$name.log"
  setsid nohup nsenter -t "$holder" -m -u -n -p -- "$@" </dev/null >>"$STATE/logs/$name.log" 2>&1 9>&- 8>&- &
  parent=$!
  # Entering a pid namespace takes a fork: the process to remember is nsenter's child.
  local deadline=$((SECONDS + 60))
  until child=$(pgrep -P "$parent"); do
    process_started "$parent" >/dev/null && ((SECONDS < deadline)) || { show_log "$name"; die "$name did not start"; }
    sleep 0.02
  done
  process_record "$name" "$child"
}

process_stop() { # NAME SECONDS [SIGNAL]: asks, waits for the exit, and insists at the deadline
  local name=$1 pid deadline=$((SECONDS + $2)) signal=${3:-TERM}
  if ! pid=$(process_pid "$name"); then
    rm -f "$STATE/run/$name.pid"
    return 0
  fi
  kill -CONT "$pid" 2>/dev/null || true
  kill -"$signal" "$pid" 2>/dev/null || true
  while process_alive "$name"; do
    if ((SECONDS >= deadline)); then
      say "$name does not end; killing it"
      kill -KILL "$pid" 2>/dev/null || true
      deadline=$((SECONDS + 10))
    fi
    sleep 0.05
  done
  rm -f "$STATE/run/$name.pid"
}
