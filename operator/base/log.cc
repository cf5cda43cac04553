#include "base/log.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>

#include "base/json.h"
#include "base/time.h"

namespace strix::log {

namespace {

std::atomic<Level> lowest{Level::Info};

std::string_view name_of(Level level) {
  switch (level) {
    case Level::Debug:
      return "debug";
    case Level::Info:
      return "info";
    case Level::Warn:
      return "warn";
    case Level::Error:
      return "error";
  }
  return "error";
}

}  // namespace

void set_level(Level level) {
  lowest = level;
}

bool parse_level(std::string_view name, Level* level) {
  for (Level candidate : {Level::Debug, Level::Info, Level::Warn, Level::Error}) {
    if (name_of(candidate) != name) continue;
    *level = candidate;
    return true;
  }
  return false;
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (level < lowest.load(std::memory_order_relaxed)) return;
  std::string line = "{\"ts\":\"" + format_micro_time(wall_now()) + "\",\"level\":\"";
  line.append(name_of(level)).append("\",\"msg\":").append(json::quote(message));
  for (const Field& field : fields) {
    line.append(",").append(json::quote(field.key)).append(":");
    line.append(field.is_number ? field.text : json::quote(field.text));
  }
  line.append("}\n");
  // A full pipe or a closed terminal must not stop the operator; a lost line is the lesser evil. One that is
  // not full takes PIPE_BUF bytes at least, and few lines are longer.
  pollfd out{STDERR_FILENO, POLLOUT, 0};
  if (poll(&out, 1, 0) == 0) return;
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace strix::log
