// replay COUNT [SEED]: the seeds, and COUNT mutations of them, the same for the same SEED.
// replay FILE...: files, as libFuzzer leaves them behind.
// replay --write FOLDER: the seeds as files, for libFuzzer to start from.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "fuzz/target.h"

namespace {

constexpr size_t bytes_max = 1 << 16;

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, uint64_t seed) : seeds_(std::move(seeds)), random_(seed) {}

  std::string next() {
    std::string input = pick();
    for (uint64_t changes = 1 + random_() % 6; changes > 0; --changes) change(&input);
    if (input.size() > bytes_max) input.resize(bytes_max);
    return input;
  }

 private:
  const std::string& pick() { return seeds_[random_() % seeds_.size()]; }
  size_t place(const std::string& input) { return input.empty() ? 0 : random_() % input.size(); }

  void change(std::string* input) {
    size_t at = place(*input);
    switch (random_() % 7) {
      case 0:
        if (!input->empty()) (*input)[at] = static_cast<char>(random_());
        break;
      case 1:
        if (!input->empty()) (*input)[at] = static_cast<char>((*input)[at] ^ (1 << random_() % 8));
        break;
      case 2:
        input->erase(at, 1 + random_() % 16);
        break;
      case 3:
        input->insert(at, 1 + random_() % 16, static_cast<char>(random_()));
        break;
      case 4: {  // a number that hurts, where a length may be
        static constexpr uint64_t numbers[] = {0, 1, 0x7fffffff, 0xffffffff, 1ull << 32, 1ull << 63, ~0ull};
        uint64_t number = numbers[random_() % std::size(numbers)];
        size_t width = size_t{1} << random_() % 4;
        input->replace(at, width, reinterpret_cast<const char*>(&number), width);
        break;
      }
      case 5: {  // a part of itself or of another seed
        const std::string& other = random_() % 2 ? *input : pick();
        size_t from = place(other);
        std::string part = other.substr(from, 1 + random_() % 64);
        input->insert(at, part);
        break;
      }
      default:
        input->resize(at);
    }
  }

  std::vector<std::string> seeds_;
  std::mt19937_64 random_;
};

int write_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  size_t number = 0;
  for (const std::string& seed : strix::fuzz::seeds())
    std::ofstream(folder / ("seed-" + std::to_string(number++)), std::ios::binary) << seed;
  return 0;
}

int replay_files(int count, char** files) {
  for (int i = 0; i < count; ++i) {
    std::ifstream file(files[i], std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    if (!file) return std::fprintf(stderr, "%s: not readable\n", files[i]), 2;
    run(bytes.str());
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) return std::fprintf(stderr, "usage: replay COUNT [SEED] | FILE... | --write FOLDER\n"), 2;
  std::string first = arguments[1];
  if (first == "--write" && count == 3) return write_seeds(arguments[2]);
  bool number = !first.empty() && first.find_first_not_of("0123456789") == std::string::npos;
  if (!number) return replay_files(count - 1, arguments + 1);
  auto seeds = strix::fuzz::seeds();
  for (const std::string& seed : seeds) run(seed);
  Mutator mutator(seeds, count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 20261124);
  for (uint64_t left = std::strtoull(first.c_str(), nullptr, 10); left > 0; --left) run(mutator.next());
  std::printf("%zu seeds and %s mutations\n", seeds.size(), first.c_str());
  return 0;
}
