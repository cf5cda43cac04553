// Why this file exists: see faults.h. A deadly word is taken out of the control file by the instance
// that obeys it, so that its successor lives; with `always` behind it, it stays.
#include "faults.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <utility>

#include "log.h"
#include "pool.h"

namespace standin {
namespace {

const std::set<std::string> kStates = {"hang", "unhealthy", "wedge", "slow", "never-ready", "no-warmup", "healthy"};
// Strike at their own point of the load.
const std::set<std::string> kOfTheLoad = {
    "startup-budget", "no-kv", "profiling-race", "context-too-large", "cannot-auto-fit", "context-beyond-model",
    "unsupported-quant", "missing-model", "no-gpu", "flag-mismatch", "worker-died",
};
const std::set<std::string> kAtAnyTime = {
    "engine-died", "engine-oom", "sigkill", "gpu-fault", "gpu-hang", "oom", "cgroup-oom", "exit0", "exit1",
};

}  // namespace

Faults::Faults(const std::string& die, const std::string& control_folder, const std::string& served_name) : started_ms_(WallMilliseconds()) {
  if (!control_folder.empty()) {
    std::string name = served_name;
    std::replace(name.begin(), name.end(), '/', '_');
    file_ = control_folder + "/" + name;
  }
  if (die.empty()) return;
  const size_t at = die.find('@');
  std::string kind = die.substr(0, at), when = at == std::string::npos ? "" : die.substr(at + 1), argument;
  if (const size_t space = kind.find(' '); space != std::string::npos) {
    argument = kind.substr(space + 1);
    kind.resize(space);
  }
  if (kStates.count(kind)) {
    State(kind, argument);
    return;
  }
  char* end = nullptr;
  bool good = kOfTheLoad.count(kind) || kAtAnyTime.count(kind);
  if (when == "request") {
    when_ = When::kRequest;
  } else if (!when.empty()) {
    if (when.rfind("load", 0) == 0) {
      when_ = When::kLoad;
      when = when.size() > 5 ? when.substr(5) : "0";
    }
    seconds_ = std::strtod(when.c_str(), &end);
    good = good && *end == '\0';
  }
  if (!good) {
    std::fprintf(stderr, "stand-in: STRIX_STANDIN_DIE=%s is no KIND[@SECONDS|@load:SECONDS|@request]\n", die.c_str());
    std::exit(64);
  }
  kind_ = kind;
  armed_ = true;
}

void Faults::State(const std::string& kind, const std::string& argument) {
  if (kind == "healthy") {
    hang = unhealthy = wedge = never_ready = no_warmup = false;
    slow = 1.0;
  } else if (kind == "slow") {
    const double factor = std::strtod(argument.c_str(), nullptr);
    slow = factor > 0 ? factor : 10.0;
  } else {
    (kind == "hang" ? hang : kind == "unhealthy" ? unhealthy : kind == "wedge" ? wedge : kind == "never-ready" ? never_ready : no_warmup) = true;
  }
}

void Faults::Poll() {
  if (file_.empty()) return;
  std::ifstream in(file_);
  if (!in) {
    last_.clear();
    return;
  }
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (text == last_) return;
  last_ = text;
  std::istringstream words(text);
  std::string kind, argument;
  words >> kind >> argument;
  if (kind.empty()) return;
  if (kStates.count(kind)) {
    State(kind, argument);
  } else if (kOfTheLoad.count(kind)) {
    // Stays in the file until a load comes by its point: the word may be meant for our successor.
    std::lock_guard<std::mutex> guard(mutex_);
    word_ = kind;
    keep_ = argument == "always";
  } else if (kAtAnyTime.count(kind)) {
    if (argument != "always" && unlink(file_.c_str()) != 0) {
      // The folder is read-only for us: what was there before we started was meant for another.
      struct stat about {};
      if (stat(file_.c_str(), &about) == 0 && about.st_mtim.tv_sec * 1000 + about.st_mtim.tv_nsec / 1000000 < started_ms_) return;
    }
    std::lock_guard<std::mutex> guard(mutex_);
    word_ = kind;
  } else {
    Raw("stand-in: control file holds an unknown word: " + kind);
  }
}

std::optional<std::string> Faults::Due(double since_start, std::optional<double> since_ready) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (!word_.empty() && kAtAnyTime.count(word_)) return std::exchange(word_, "");
  if (!armed_ || !kAtAnyTime.count(kind_) || when_ == When::kRequest) return std::nullopt;
  const bool due = when_ == When::kLoad ? since_start >= seconds_ : since_ready && *since_ready >= seconds_;
  if (!due) return std::nullopt;
  armed_ = false;
  return kind_;
}

std::optional<std::string> Faults::DueAtRequest() {
  std::lock_guard<std::mutex> guard(mutex_);
  if (!armed_ || when_ != When::kRequest || !kAtAnyTime.count(kind_)) return std::nullopt;
  armed_ = false;
  return kind_;
}

bool Faults::Strikes(const std::string& kind) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (word_ == kind) {
    word_.clear();
    if (!keep_) (void)unlink(file_.c_str());
    return true;
  }
  if (!armed_ || kind_ != kind) return false;
  armed_ = false;
  return true;
}

}  // namespace standin
