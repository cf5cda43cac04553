// Why: everything that decides gets the time as a value; everything that reads a clock does it here.
// May not: sleep.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace strix {

// Milliseconds since 1970-01-01T00:00:00Z. Only for what people and other programs read.
using WallMillis = int64_t;

// Milliseconds of CLOCK_BOOTTIME: never set back, and it goes on while the machine sleeps, so that a
// lease or a deadline that passed in a suspended laptop has passed. All waits and deadlines use it.
using BootMillis = int64_t;

struct Now {
  WallMillis wall = 0;
  BootMillis boot = 0;
  // Since when each has gone as fast as the time in which this machine is awake: it woke then, or its clock
  // was set. 0: always, as far as is known. What had to happen within a deadline had no time for it before.
  WallMillis wall_steady_since = 0;
  BootMillis boot_steady_since = 0;
};

WallMillis wall_now();
BootMillis boot_now();
// Thread-safe. Jumps are found from one call to the next, anywhere in the process.
Now now();

// From when a deadline counts that began at `stamp`, a time that was written down by the clock on the wall:
// not before that clock jumped. Clocks of two machines may differ by a minute.
WallMillis counted_from(WallMillis stamp, const Now& now);

// "2026-02-03T04:05:06Z", as metav1.Time.
std::string format_time(WallMillis wall);
// "2026-02-03T04:05:06.123000Z", as metav1.MicroTime (Lease, Event).
std::string format_micro_time(WallMillis wall);
// Reads both; absent when it is neither. Only UTC ("Z") and numeric offsets.
std::optional<WallMillis> parse_time(std::string_view text);

// "4m12s", "1h3m", "850ms": for messages.
std::string format_duration(int64_t millis);

}  // namespace strix
