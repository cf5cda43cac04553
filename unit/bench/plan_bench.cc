// strix-plan-bench: what planning costs, as figures: processor time, as other work of the machine is none of
// it. The plan of a stack of 16 tiers, and the reading of its models' headers, once from files of a few
// megabytes and once from sparse ones of 40 GB.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "models/gguf_builder.h"
#include "offline/facts.h"
#include "planner/cases.h"
#include "planner/spec_plan.h"

using namespace strix;

namespace {

constexpr int tiers = 16, rounds = 200;
constexpr int64_t large_bytes = 40'000'000'000;

class Folder {
 public:
  Folder() {
    std::string unique = "strix-plan-bench-" + std::string(6, 'X');
    std::string name = (std::filesystem::temp_directory_path() / unique).string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A header as large as real ones are, with a tokenizer of 128,000 words, then a hole up to `bytes`.
void write_model(const std::filesystem::path& file, int64_t bytes) {
  constexpr int layers = 32, width = 4096;
  test::GgufBuilder builder;
  builder.set("general.architecture", "llama").set("llama.block_count", layers);
  builder.set("llama.context_length", 131072).set("llama.embedding_length", width);
  builder.set("llama.feed_forward_length", 14336).set("llama.attention.head_count", 32);
  builder.set("llama.attention.head_count_kv", 8).texts("tokenizer.ggml.tokens", 128'000, "word");
  uint64_t each = static_cast<uint64_t>(bytes) / layers / 210 * 210;
  for (int i = 0; i < layers; ++i)
    builder.tensor(fmt::format("blk.{}.ffn_up.weight", i), {256, each / 210}, 14, each);
  std::ofstream(file, std::ios::binary) << builder.header();
  std::filesystem::resize_file(file, static_cast<uintmax_t>(builder.file_size()));
}

api::StackSpec stack_of(const std::string& file) {
  api::StackSpec spec;
  spec.nodes.push_back(test::halo(128 * gib, 124 * gib));
  for (int i = 0; i < tiers; ++i) {
    api::Tier tier = i % 2 ? test::llama_tier(fmt::format("t{}", i), file, 8192)
                           : test::vllm_tier(fmt::format("t{}", i), "Qwen/Qwen2.5-7B-Instruct", 8192, 0);
    tier.port = 8001 + i;
    tier.priority = i * 5;
    spec.tiers.push_back(std::move(tier));
  }
  return spec;
}

int64_t bytes_read() {
  std::ifstream io("/proc/self/io");
  std::string word;
  int64_t number = 0;
  while (io >> word >> number)
    if (word == "rchar:") return number;
  return 0;
}

double processor_millis() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

template <typename Work>
double median_millis(Work work) {
  std::vector<double> millis;
  for (int i = 0; i < rounds; ++i) {
    double begun = processor_millis();
    work();
    millis.push_back(processor_millis() - begun);
  }
  std::sort(millis.begin(), millis.end());
  return millis[millis.size() / 2];
}

bool read(const api::StackSpec& spec, const Folder& folder,
          std::map<std::string, planner::KnownModel>& known) {
  Status done = offline::read_models(spec, folder.path().string(), known);
  if (!done) fmt::print(stderr, "{}\n", done.error().text);
  return static_cast<bool>(done);
}

}  // namespace

int main() {
  Folder folder;
  write_model(folder.path() / "small.gguf", 4'000'000);
  write_model(folder.path() / "large.gguf", large_bytes);
  double read_millis[2] = {};
  const char* files[2] = {"small.gguf", "large.gguf"};
  for (int i = 0; i < 2; ++i) {
    api::StackSpec spec = stack_of(files[i]);
    auto known = planner::known_models(spec, models::built_in_catalogue());
    int64_t before = bytes_read();
    if (!read(spec, folder, known)) return 1;
    int64_t bytes = bytes_read() - before;
    read_millis[i] = median_millis([&] { read(spec, folder, known); });
    planner::PlanInput input;
    input.spec = spec;
    input.models = known;
    double plan_millis = median_millis([&] { planner::plan(input); });
    auto size = std::filesystem::file_size(folder.path() / files[i]);
    fmt::print("{} of {} bytes: headers of 8 tiers in {:.2f} ms ({} bytes read), plan of {} in {:.2f}\n",
               files[i], size, read_millis[i], bytes, tiers, plan_millis);
  }
  fmt::print("large / small: {:.2f}\n", read_millis[1] / read_millis[0]);
  return 0;
}
