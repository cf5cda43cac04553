// Why this file exists: recovery can only be tested against engines that die on command, in each of
// the ways seen in the field, at start by an environment variable or later by a word in a file.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

namespace standin {

class Faults {
 public:
  // `die` is KIND, KIND@SECONDS (after ready), KIND@load:SECONDS (after the start) or KIND@request
  // (when the first completion arrives). Ends the process with 64 where it is none of these.
  Faults(const std::string& die, const std::string& control_folder, const std::string& served_name);

  // Lasting states; everybody reads them.
  std::atomic<bool> hang{false}, unhealthy{false}, wedge{false}, never_ready{false}, no_warmup{false};
  std::atomic<double> slow{1.0};

  // Reads the control file. Call it every 50 ms.
  void Poll();
  // A kind that ends the process and is due now, if any. It is due once.
  std::optional<std::string> Due(double since_start, std::optional<double> since_ready);
  std::optional<std::string> DueAtRequest();
  // True where the load shall fail in this way, asked at the point where it naturally would. Once.
  bool Strikes(const std::string& kind);

 private:
  enum class When { kReady, kLoad, kRequest };
  void State(const std::string& kind, const std::string& argument);

  std::mutex mutex_;
  std::string kind_;  // from the environment
  When when_ = When::kReady;
  double seconds_ = 0;
  bool armed_ = false;
  std::string file_, last_;
  std::string word_;  // from the control file
  bool keep_ = false;
  int64_t started_ms_ = 0;
};

}  // namespace standin
