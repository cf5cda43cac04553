// Why this file exists: see metrics.h. Buckets of token counts are 1-2-5 and end below max_model_len,
// so they change from one start to the next with it: a trap that a product has to survive.
#include "metrics.h"

#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>

namespace standin {
namespace {

std::string Number(double value) {
  char text[64];
  if (value == std::floor(value) && std::fabs(value) < 1e7) return std::to_string(static_cast<int64_t>(value)) + ".0";
  const bool big = std::fabs(value) >= 1e7;
  const auto end = big ? std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr : std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

double Now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::vector<double> OneTwoFive(int64_t limit) {
  std::vector<double> out;
  for (int64_t decade = 1; decade <= limit; decade *= 10)
    for (const int64_t digit : {1, 2, 5})
      if (digit * decade <= limit) out.push_back(static_cast<double>(digit * decade));
  return out;
}

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

double ResidentBytes() {
  std::ifstream in("/proc/self/statm");
  double size = 0, resident = 0;
  in >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void Metrics::Histogram::Add(double value) {
  if (counts.empty()) counts.assign(bounds.size(), 0);
  for (size_t i = 0; i < bounds.size(); ++i) counts[i] += value <= bounds[i];
  sum += value;
  ++count;
}

Metrics::Metrics(std::string model_name, int64_t max_model_len, std::string cache_config_labels)
    : model_(Escaped(model_name)), cache_config_(std::move(cache_config_labels)), created_(Now()) {
  const std::vector<double> tokens = OneTwoFive(max_model_len);
  const std::vector<double> steps = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
  const std::vector<double> first = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560};
  const std::vector<double> gap = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
  const std::vector<double> whole = {0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
  histograms_ = {
      {"vllm:request_prompt_tokens", "Number of prefill tokens processed.", tokens},
      {"vllm:request_generation_tokens", "Number of generation tokens processed.", tokens},
      {"vllm:iteration_tokens_total", "Histogram of number of tokens per engine_step.", steps},
      {"vllm:request_max_num_generation_tokens", "Histogram of maximum number of requested generation tokens.", tokens},
      {"vllm:request_params_n", "Histogram of the n request parameter.", {1, 2, 5, 10, 20}},
      {"vllm:request_params_max_tokens", "Histogram of the max_tokens request parameter.", tokens},
      {"vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", first},
      {"vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", gap},
      {"vllm:request_time_per_output_token_seconds", "Histogram of time_per_output_token_seconds per request.", gap},
      {"vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", whole},
      {"vllm:request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", whole},
      {"vllm:request_inference_time_seconds", "Histogram of time spent in RUNNING phase for request.", whole},
      {"vllm:request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", whole},
      {"vllm:request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", whole},
      {"vllm:request_num_preemptions", "Histogram of the number of times a request was preempted.", {1, 2, 3, 4, 5, 10, 20}},
      {"vllm:request_prefill_kv_computed_tokens", "Histogram of new KV tokens computed during prefill (excluding cached tokens).", tokens},
  };
  http_seconds_ = {"http_request_duration_highr_seconds", "Latency with many buckets but no API specific labels. Made for more accurate percentile calculations. ",
                   {0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60}};
  for (Histogram& histogram : histograms_) histogram.counts.assign(histogram.bounds.size(), 0);
  http_seconds_.counts.assign(http_seconds_.bounds.size(), 0);
  for (const char* reason : {"stop", "length", "abort", "error", "repetition"}) reasons_[reason] = 0;
}

Metrics::Histogram& Metrics::Find(const char* name) {
  for (Histogram& histogram : histograms_)
    if (std::strcmp(histogram.name, name) == 0) return histogram;
  return histograms_.front();
}

void Metrics::Count(const Finished& finished) {
  std::lock_guard<std::mutex> guard(mutex_);
  ++reasons_[finished.reason];
  prompt_tokens_ += static_cast<double>(finished.prompt);
  generated_tokens_ += static_cast<double>(finished.generated);
  cached_tokens_ += static_cast<double>(finished.cached);
  const auto add = [this](const char* name, double value) { Find(name).Add(value); };
  if (finished.generated > 0) {
    add("vllm:iteration_tokens_total", static_cast<double>(finished.prompt - finished.cached + 1));
    for (int64_t i = 1; i < finished.generated; ++i) add("vllm:iteration_tokens_total", 1);
    add("vllm:time_to_first_token_seconds", finished.first);
    for (const double gap : finished.gaps) add("vllm:inter_token_latency_seconds", gap);
  }
  // vLLM observes the rest when a request finishes, and an aborted one only counts as aborted.
  if (finished.reason != "stop" && finished.reason != "length") return;
  add("vllm:request_prompt_tokens", static_cast<double>(finished.prompt));
  add("vllm:request_generation_tokens", static_cast<double>(finished.generated));
  add("vllm:request_max_num_generation_tokens", static_cast<double>(finished.generated));
  add("vllm:request_params_n", 1);
  if (finished.max_tokens_given) add("vllm:request_params_max_tokens", static_cast<double>(finished.max_tokens));
  if (finished.generated > 1) add("vllm:request_time_per_output_token_seconds", finished.decode / static_cast<double>(finished.generated - 1));
  add("vllm:e2e_request_latency_seconds", finished.total);
  add("vllm:request_queue_time_seconds", finished.queue);
  add("vllm:request_inference_time_seconds", finished.total - finished.queue);
  add("vllm:request_prefill_time_seconds", finished.first - finished.queue);
  add("vllm:request_decode_time_seconds", finished.decode);
  add("vllm:request_num_preemptions", finished.preemptions);
  add("vllm:request_prefill_kv_computed_tokens", static_cast<double>(finished.prompt - finished.cached));
}

void Metrics::CountHttp(const std::string& handler, const std::string& method, int status, double seconds) {
  std::lock_guard<std::mutex> guard(mutex_);
  auto& [count, sum] = http_[{handler, method, std::to_string(status / 100) + "xx"}];
  ++count;
  sum += seconds;
  http_seconds_.Add(seconds);
}

std::string Metrics::Render(const Scheduler::Gauges& now) {
  std::lock_guard<std::mutex> guard(mutex_);
  std::string out;
  const std::string labels = "engine=\"0\",model_name=\"" + model_ + "\"";
  const auto head = [&](const std::string& name, const std::string& help, const char* type) { out += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n"; };
  const auto gauge = [&](const std::string& name, const std::string& help, double value) {
    head(name, help, "gauge");
    out += name + "{" + labels + "} " + Number(value) + "\n";
  };
  const auto counter = [&](const std::string& name, const std::string& help, double value) {
    head(name + "_total", help, "counter");
    out += name + "_total{" + labels + "} " + Number(value) + "\n";
    gauge(name + "_created", help, created_);
  };
  // Counters and gauges with one more label, which Prometheus' client sorts in by name.
  const auto family = [&](const std::string& name, const std::string& help, const char* type, const std::string& label, const std::vector<std::pair<std::string, double>>& values) {
    head(name, help, type);
    for (const auto& [value, number] : values) {
      const std::string extra = label + "=\"" + value + "\"";
      out += name + "{" + (label < "model_name" ? "engine=\"0\"," + extra + ",model_name=\"" + model_ + "\"" : labels + "," + extra) + "} " + Number(number) + "\n";
    }
  };
  const auto counters = [&](const std::string& name, const std::string& help, const std::string& label, std::vector<std::pair<std::string, double>> values) {
    family(name + "_total", help, "counter", label, values);
    for (auto& [value, number] : values) number = created_;
    family(name + "_created", help, "gauge", label, values);
  };
  const auto histogram = [&](const Histogram& h, const std::string& before, const std::string& after) {
    const std::string around = before.empty() && after.empty() ? "" : "{" + before.substr(0, before.size() - (after.empty() ? 1 : 0)) + (after.empty() ? "" : after.substr(1)) + "}";
    const std::string name = h.name;
    head(name, h.help, "histogram");
    for (size_t i = 0; i < h.bounds.size(); ++i) out += name + "_bucket{" + before + "le=\"" + Number(h.bounds[i]) + "\"" + after + "} " + Number(static_cast<double>(h.counts[i])) + "\n";
    out += name + "_bucket{" + before + "le=\"+Inf\"" + after + "} " + Number(static_cast<double>(h.count)) + "\n";
    out += name + "_count" + around + " " + Number(static_cast<double>(h.count)) + "\n";
    out += name + "_sum" + around + " " + Number(h.sum) + "\n";
    head(name + "_created", h.help, "gauge");
    out += name + "_created" + around + " " + Number(created_) + "\n";
  };

  head("process_resident_memory_bytes", "Resident memory size in bytes.", "gauge");
  out += "process_resident_memory_bytes " + Number(ResidentBytes()) + "\n";
  head("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", "gauge");
  out += "process_start_time_seconds " + Number(std::floor(created_)) + "\n";
  gauge("vllm:num_requests_running", "Number of requests in model execution batches.", static_cast<double>(now.running));
  gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", static_cast<double>(now.waiting));
  family("vllm:num_requests_waiting_by_reason",
         "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; 'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all reasons equals vllm:num_requests_waiting.",
         "gauge", "reason", {{"capacity", static_cast<double>(now.waiting)}, {"deferred", 0}});
  family("vllm:engine_sleep_state", "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.",
         "gauge", "sleep_state", {{"awake", 1}, {"weights_offloaded", 0}, {"discard_all", 0}});
  counter("vllm:estimated_flops_per_gpu", "Estimated number of floating point operations per GPU (for Model Flops Utilization calculations).", 0);
  counter("vllm:estimated_read_bytes_per_gpu", "Estimated number of bytes read from memory per GPU (for Model Flops Utilization calculations).", 0);
  counter("vllm:estimated_write_bytes_per_gpu", "Estimated number of bytes written to memory per GPU (for Model Flops Utilization calculations).", 0);
  gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", now.usage);
  counter("vllm:prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens.", prompt_tokens_);
  counter("vllm:prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", cached_tokens_);
  counter("vllm:external_prefix_cache_queries", "External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of queried tokens.", 0);
  counter("vllm:external_prefix_cache_hits", "External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached tokens.", 0);
  counter("vllm:mm_cache_queries", "Multi-modal cache queries, in terms of number of queried items.", 0);
  counter("vllm:mm_cache_hits", "Multi-modal cache hits, in terms of number of cached items.", 0);
  counter("vllm:num_preemptions", "Cumulative number of preemption from the engine.", static_cast<double>(now.preemptions));
  counter("vllm:prompt_tokens", "Number of prefill tokens processed.", prompt_tokens_);
  counters("vllm:prompt_tokens_by_source", "Number of prompt tokens by source.", "source",
           {{"local_compute", prompt_tokens_ - cached_tokens_}, {"local_cache_hit", cached_tokens_}, {"external_kv_transfer", 0}});
  counter("vllm:prompt_tokens_cached", "Number of cached prompt tokens (local + external).", cached_tokens_);
  counters("vllm:prompt_tokens_cached_by_source", "Prefix-cache hit tokens by the cache tier that supplied them.", "source",
           {{"device", cached_tokens_}, {"host", 0}, {"p2p", 0}, {"disk", 0}, {"external_unspecified", 0}});
  counter("vllm:generation_tokens", "Number of generation tokens processed.", generated_tokens_);
  std::vector<std::pair<std::string, double>> reasons;
  for (const char* reason : {"stop", "length", "abort", "error", "repetition"}) reasons.emplace_back(reason, static_cast<double>(reasons_[reason]));
  counters("vllm:request_success", "Count of successfully processed requests.", "finished_reason", reasons);
  for (const char* kind : {"total", "created"}) {  // of the front end, which knows of no engine
    const std::string name = std::string("vllm:admission_rejections_") + kind;
    head(name, "Number of admission attempts rejected by a queue limit, by reason.", *kind == 't' ? "counter" : "gauge");
    for (const char* reason : {"max_num_queued_reqs", "max_num_queued_tokens"})
      out += name + "{model_name=\"" + model_ + "\",reason=\"" + reason + "\"} " + Number(*kind == 't' ? 0 : created_) + "\n";
  }
  for (const Histogram& h : histograms_) histogram(h, "engine=\"0\",", ",model_name=\"" + model_ + "\"");
  head("vllm:cache_config_info", "Information of the LLMEngine CacheConfig", "gauge");
  out += "vllm:cache_config_info{" + cache_config_ + "} 1.0\n";
  if (!http_.empty()) {
    head("http_requests_total", "Total number of requests by method, status and handler.", "counter");
    for (const auto& [key, value] : http_)
      out += "http_requests_total{handler=\"" + key[0] + "\",method=\"" + key[1] + "\",status=\"" + key[2] + "\"} " + Number(static_cast<double>(value.first)) + "\n";
  }
  histogram(http_seconds_, "", "");
  return out;
}

}  // namespace standin
