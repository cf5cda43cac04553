#include "planner/words.h"

#include <algorithm>

#include "base/bytes.h"

namespace strix::planner {

std::string gib_number(int64_t bytes) {
  bool negative = bytes < 0;
  int64_t amount = negative ? -bytes : bytes;
  int64_t tenths = amount / gib * 10 + (amount % gib * 10 + gib / 2) / gib;
  std::string text = std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
  return negative && tenths > 0 ? "-" + text : text;
}

std::string gib_text(int64_t bytes) {
  if (bytes > 0 && bytes < gib / 10) return std::to_string(std::max<int64_t>(bytes / mib, 1)) + " MiB";
  return gib_number(bytes) + " GiB";
}

std::string short_text(int64_t bytes) {
  return (bytes < gib / 10 ? std::to_string((bytes + mib - 1) / mib) + " MiB" : gib_text(bytes)) + " short";
}

std::string parts_text(const Footprint& parts, int64_t context_tokens) {
  struct Part {
    const char* name;
    int64_t bytes;
  };
  const Part all[] = {{"weights", parts.weight_bytes},
                      {"draft model", parts.draft_weight_bytes},
                      {"repacked weights", parts.repacked_bytes},
                      {"engine", parts.engine_bytes},
                      {"buffers", parts.compute_bytes + parts.output_bytes},
                      {"prompt cache", parts.prompt_cache_bytes},
                      {"checkpoints", parts.checkpoint_bytes},
                      {"graphs", parts.graph_bytes},
                      {"processes", parts.host_bytes}};
  std::string text;
  constexpr int64_t worth_saying = gib / 20;
  for (const Part& part : all)
    if (part.bytes >= worth_saying)
      text += (text.empty() ? "" : " + ") + std::string(part.name) + " " + gib_number(part.bytes);
  text += (text.empty() ? "KV " : " + KV ") + gib_number(parts.kv_bytes);
  return text + " at " + std::to_string(context_tokens) + " tokens";
}

}  // namespace strix::planner
