// Why: one tier's life as its port tells it, from "connection refused" to Serving and back, as a function of
// what was answered and when, so that every schedule of answers can be tried in a table.
// May not: do I/O, read a clock, or know HTTP: answers come in already read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "engines/engine.h"
#include "engines/usage.h"
#include "reconcile/ports.h"
#include "tuning/meter.h"

namespace strix::probe {

// Effective, Version and Cache are asked once of each run of an engine, until they were understood.
enum class AskKind { Health, WarmUp, Effective, Version, Cache, Usage, Load };

// A question to send now. What is not answered by the deadline is answered TimedOut by whoever sends it.
struct Question {
  AskKind kind = AskKind::Health;
  int64_t deadline_millis = 0;
  bool operator==(const Question&) const = default;
};

enum class Delivery {
  Answered,  // with any HTTP status
  Refused,   // no connection, or it broke
  TimedOut,
};

// An answer as the engine's dialect reads it; of the last five only what the kind asks for is used.
struct Answer {
  AskKind kind = AskKind::Health;
  Delivery delivery = Delivery::Answered;
  std::string complaint;  // what was wrong, for messages: "health answered 500"; empty: nothing
  engines::HealthReading health = engines::HealthReading::NotListening;
  bool warmed_up = false;
  engines::Report report;
  std::optional<engines::Load> load;
  std::optional<engines::Usage> usage = {};
};

struct State {
  reconcile::ProbeReading reading;
  BootMillis started = 0;    // when the port was first asked; the polling interval grows from here
  bool was_serving = false;  // once: trouble is NotAnswering from then on
  bool under_way = false;    // one question at a time
  bool draining = false, observe = false;  // as told last
  AskKind next = AskKind::Health;          // the chain health, warm-up, effective, health, ...
  BootMillis next_at = 0;
  BootMillis usage_at = 0;  // not before then
  tuning::Meter meter;
  BootMillis load_at = 0;       // the other chain, while draining
  BootMillis load_read_at = 0;  // of reading.load
  int failures = 0;             // of health, in a row, since it served
  int refusals = 0;             // the same, no connection
  int warm_up_failures = 0;     // in a row
  // Of this run of the engine: how often what is asked once was asked and not understood.
  int effective_failures = 0, version_failures = 0, cache_failures = 0;
};

struct Input {
  Now now;
  bool draining = false;
  std::optional<Answer> answer;  // absent: a tick
  bool observe = false;          // what it is used for is asked too
};

struct Step {
  State state;
  std::optional<Question> question;
  BootMillis tick_at = 0;  // when to come again with a tick; 0: only with the answer
};

// A pod that is new to us, or one whose pod condition says that it serves, or did and fell silent (the
// operator restarted).
State begin(Now now, bool was_serving, bool was_silent = false);

// Ticks may come at any time and too often.
Step advance(State state, const Input& input);

}  // namespace strix::probe
