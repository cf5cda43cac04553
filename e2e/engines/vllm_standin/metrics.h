// Why this file exists: a product tunes by /metrics, and picks series by name, label and bucket; all of
// these are vLLM's, in vLLM's order of labels.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "scheduler.h"

namespace standin {

struct Finished {
  int64_t prompt = 0, generated = 0, cached = 0, max_tokens = 0;
  bool max_tokens_given = false;
  int preemptions = 0;
  double queue = 0, first = 0, decode = 0, total = 0;
  std::vector<double> gaps;  // between tokens
  std::string reason;        // stop, length, abort, error
};

class Metrics {
 public:
  Metrics(std::string model_name, int64_t max_model_len, std::string cache_config_labels);
  void Count(const Finished& finished);
  void CountHttp(const std::string& handler, const std::string& method, int status, double seconds);
  std::string Render(const Scheduler::Gauges& now);

 private:
  struct Histogram {
    const char* name;
    const char* help;
    std::vector<double> bounds;
    std::vector<uint64_t> counts = {};
    double sum = 0;
    uint64_t count = 0;
    void Add(double value);
  };
  Histogram& Find(const char* name);

  const std::string model_, cache_config_;
  const double created_;
  std::mutex mutex_;
  std::vector<Histogram> histograms_;
  std::map<std::string, uint64_t> reasons_;
  std::map<std::vector<std::string>, std::pair<uint64_t, double>> http_;
  Histogram http_seconds_;
  double prompt_tokens_ = 0, generated_tokens_ = 0, cached_tokens_ = 0;
};

}  // namespace standin
