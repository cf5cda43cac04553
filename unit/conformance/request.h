// Why: one step of a sequence as a request to one side, with the uids and versions that this side gave out.
// May not: look at the other side.
#pragma once

#include <optional>
#include <string>

#include "conformance/script.h"
#include "conformance/side.h"
#include "conformance/view.h"

namespace strix::conformance {

struct Answer {
  std::string text;  // empty: the step did not apply, and nothing was asked
  std::string kind;  // "ok", or the kind of error
  // What a write answered as the stack's new version.
  std::optional<std::string> version;
  std::string stack;
};

Answer ask(const Step& step, Side& side, const View& view);

// Whether the version that was answered is the one that the stack has now.
std::string version_note(const Answer& answer, const Objects& now);

}  // namespace strix::conformance
