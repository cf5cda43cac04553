// Why: one JSON line per change on standard error, with the data in keys, so that `jq` can read it.
// May not: be called by anything that decides; carry tokens, Secret data or prompt text.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace strix::log {

// error: a person must act. warn: degraded. info: something changed. debug: each pass.
enum class Level { Debug, Info, Warn, Error };

struct Field {
  std::string_view key;
  std::string text;
  bool is_number = false;

  Field(std::string_view k, std::string_view value) : key(k), text(value) {}
  Field(std::string_view k, const char* value) : key(k), text(value) {}
  Field(std::string_view k, const std::string& value) : key(k), text(value) {}
  Field(std::string_view k, int64_t value) : key(k), text(std::to_string(value)), is_number(true) {}
  Field(std::string_view k, int value) : key(k), text(std::to_string(value)), is_number(true) {}
  Field(std::string_view k, size_t value) : key(k), text(std::to_string(value)), is_number(true) {}
};

void set_level(Level level);
bool parse_level(std::string_view name, Level* level);

// `message` is a constant; what varies goes into fields. One write(2) a line: threads do not mix.
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});
inline void debug(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::Debug, m, f);
}
inline void info(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::Info, m, f);
}
inline void warn(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::Warn, m, f);
}
inline void error(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::Error, m, f);
}

}  // namespace strix::log
