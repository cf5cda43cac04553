#include "base/time.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <mutex>

#include "base/steady_clock.h"

namespace strix {

namespace {

int64_t read_clock(clockid_t clock) {
  timespec value{};
  clock_gettime(clock, &value);
  return static_cast<int64_t>(value.tv_sec) * 1000 + value.tv_nsec / 1'000'000;
}

struct Civil {
  int year;
  unsigned month, day;
  int64_t millis_of_day;
};

Civil to_civil(WallMillis wall) {
  using namespace std::chrono;
  sys_time<milliseconds> instant{milliseconds{wall}};
  auto midnight = floor<days>(instant);
  year_month_day date{midnight};
  return Civil{static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
               static_cast<unsigned>(date.day()), (instant - midnight).count()};
}

// Reads exactly `width` digits and drops them from the text.
std::optional<int> take_digits(std::string_view& text, size_t width) {
  if (text.size() < width) return std::nullopt;
  int value = 0;
  for (char c : text.substr(0, width)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(width);
  return value;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

// ".123456" to 123; digits beyond the third are dropped.
std::optional<int> take_fraction_millis(std::string_view& text) {
  if (!take(text, '.')) return 0;
  int millis = 0;
  int digits = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (digits < 3) millis = millis * 10 + (text.front() - '0');
    ++digits;
    text.remove_prefix(1);
  }
  if (digits == 0 || digits > 9) return std::nullopt;
  for (; digits < 3; ++digits) millis *= 10;
  return millis;
}

// "Z" or "+02:00", in minutes.
std::optional<int> take_offset_minutes(std::string_view& text) {
  if (take(text, 'Z')) return 0;
  int sign = take(text, '+') ? 1 : take(text, '-') ? -1 : 0;
  auto hours = take_digits(text, 2);
  if (sign == 0 || !hours || !take(text, ':')) return std::nullopt;
  auto minutes = take_digits(text, 2);
  if (!minutes) return std::nullopt;
  return sign * (*hours * 60 + *minutes);
}

}  // namespace

WallMillis wall_now() {
  return read_clock(CLOCK_REALTIME);
}
BootMillis boot_now() {
  return read_clock(CLOCK_BOOTTIME);
}

Now now() {
  static std::mutex mutex;
  static SteadyClock clock;
  std::lock_guard lock(mutex);
  return clock.take({wall_now(), boot_now(), read_clock(CLOCK_MONOTONIC)});
}

WallMillis counted_from(WallMillis stamp, const Now& now) {
  constexpr int64_t clocks_differ_millis = 60'000;
  // A time to come was written before the clock was set back.
  bool set_back = now.wall_steady_since != 0 && stamp > now.wall + clocks_differ_millis;
  return set_back ? now.wall_steady_since : std::max(stamp, now.wall_steady_since);
}

std::string format_time(WallMillis wall) {
  Civil c = to_civil(wall);
  int64_t seconds = c.millis_of_day / 1000;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", c.year, c.month, c.day, seconds / 3600,
                     seconds / 60 % 60, seconds % 60);
}

std::string format_micro_time(WallMillis wall) {
  std::string text = format_time(wall);
  text.pop_back();
  return fmt::format("{}.{:03}000Z", text, to_civil(wall).millis_of_day % 1000);
}

std::optional<WallMillis> parse_time(std::string_view text) {
  using namespace std::chrono;
  auto year_number = take_digits(text, 4);
  if (!year_number || !take(text, '-')) return std::nullopt;
  auto month_number = take_digits(text, 2);
  if (!month_number || !take(text, '-')) return std::nullopt;
  auto day_number = take_digits(text, 2);
  if (!day_number || !take(text, 'T')) return std::nullopt;
  auto hours_number = take_digits(text, 2);
  if (!hours_number || !take(text, ':')) return std::nullopt;
  auto minutes_number = take_digits(text, 2);
  if (!minutes_number || !take(text, ':')) return std::nullopt;
  auto seconds_number = take_digits(text, 2);
  if (!seconds_number) return std::nullopt;
  auto fraction = take_fraction_millis(text);
  auto offset = take_offset_minutes(text);
  year_month_day date{year{*year_number}, month{static_cast<unsigned>(*month_number)},
                      day{static_cast<unsigned>(*day_number)}};
  bool in_range = *hours_number < 24 && *minutes_number < 60 && *seconds_number < 61;
  if (!fraction || !offset || !text.empty() || !date.ok() || !in_range) return std::nullopt;
  int64_t of_day = (*hours_number * 3600LL + *minutes_number * 60LL + *seconds_number) * 1000 + *fraction;
  int64_t midnight = sys_days{date}.time_since_epoch().count() * 86'400'000LL;
  return midnight + of_day - *offset * 60'000LL;
}

std::string format_duration(int64_t millis) {
  if (millis < 1000) return fmt::format("{}ms", millis < 0 ? 0 : millis);
  int64_t seconds = millis / 1000;
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600)
    return seconds % 60 ? fmt::format("{}m{}s", seconds / 60, seconds % 60)
                        : fmt::format("{}m", seconds / 60);
  int64_t minutes = seconds / 60;
  return minutes % 60 ? fmt::format("{}h{}m", minutes / 60, minutes % 60) : fmt::format("{}h", minutes / 60);
}

}  // namespace strix
