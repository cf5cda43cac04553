// Why: one unified-memory node as it really behaves: a kubelet that is late or silent, engines that load,
// profile, race, leak, hang, ignore SIGTERM and die, and what they truly hold.
// May not: know the operator, or what it believes.
#pragma once

#include <list>
#include <string>

#include "probe/machine.h"
#include "reconcile/pressure.h"
#include "sim/api_server.h"
#include "sim/image_store.h"
#include "sim/plan.h"

namespace strix::sim {

constexpr BootMillis never = INT64_MAX;

struct EngineProcess {
  std::string uid, stack, tier;
  api::NamespacedName pod;
  PodSpec spec;
  int64_t gpu_bytes = 0;
  BootMillis listens_at = 0, healthy_at = never, warm_at = never, dies_at = never;
  BootMillis silent_since = 0, silent_until = 0, busy_until = 0, died_at = 0, holds_until = 0;
  int exit_code = 0;
  std::string last_words;  // in its log
  bool gpu_faulted = false;
  int64_t leak_millis = 0, epoch = 0;
  BootMillis jammed_until = 0;  // in the driver: not even SIGKILL ends it
  bool ignores_term = false, terminated = false, dead = false, wedged = false;

  bool holds(BootMillis now) const { return !dead || now < holds_until; }
  bool jammed(BootMillis now) const { return !dead && now < jammed_until; }
  bool loading(BootMillis now) const { return !dead && now < healthy_at; }
  bool answers(BootMillis now) const { return !dead && !wedged && now >= warm_at && now >= silent_until; }
};

// Owner: the one thread of a run.
class Machine {
 public:
  Machine(Timeline& time, Story& story, ApiServer& server, const Plan& plan, int index);

  void pod_changed(const Shared<api::Pod>& before, const Shared<api::Pod>& after);

  // --- trouble
  void kill(const std::string& uid, int exit_code);
  void silence(const std::string& uid, int64_t millis);
  void wedge(const std::string& uid);
  // With `resets` every other engine on that GPU goes too, within moments, in the same words.
  void fault_gpu(const std::string& uid, bool resets);
  void jam(const std::string& uid, int64_t millis);
  void reboot(int64_t millis);
  void stall(int64_t millis);
  void cordon(bool unschedulable);
  void take_memory(int64_t left_bytes, int64_t millis);  // by a process of nobody's
  void be_calm();                                        // from now on nothing goes wrong by itself

  // --- what is true
  const std::string& name() const { return name_; }
  const api::NodeProfile& profile() const { return profile_; }
  // What it really has, which may be less than its profile declares, and what really fits there.
  int reboots() const { return boots_ - 1; }
  int64_t gpu_total_bytes() const { return gpu_total_bytes_; }
  int64_t context_most_tokens(int gpu_fraction_milli) const;
  bool has_image(const std::string& image) const { return images_.has(image); }
  const std::list<EngineProcess>& processes() const { return processes_; }
  const EngineProcess* find(const std::string& uid) const;
  probe::Answer answer(const std::string& uid, probe::AskKind kind);
  bool silent(const std::string& uid) const;
  bool down() const { return time_.boot() < down_until_; }

  // What its agent does every second, where it has one. True: it measured something new.
  bool measure();
  std::optional<reconcile::NodeMemoryReading> measured() const { return reading_; }

 private:
  EngineProcess* process_of(const std::string& uid);
  int64_t available_bytes() const;
  void go_down(int64_t millis);
  void come_back();
  void post(bool ready, const std::string& message);
  void bind(const api::NamespacedName& pod, const std::string& uid);
  void sync_soon(const api::NamespacedName& pod);
  void sync(const api::NamespacedName& pod);
  void begin(const api::Pod& pod);
  void draw_fate(EngineProcess& process);
  void measures_free(const std::string& uid);
  void loaded(const std::string& uid);
  void terminate(EngineProcess& process, int64_t grace_seconds);
  void die(const std::string& uid, int exit_code, const char* why);
  void post_running(const EngineProcess& process);
  void post_end(const api::Pod& pod, const EngineProcess& process);

  Timeline& time_;
  Story& story_;
  ApiServer& server_;
  const Rates& rates_;
  Random dice_;
  std::string name_;
  api::NodeProfile profile_;
  ImageStore images_;
  std::list<EngineProcess> processes_;
  BootMillis down_until_ = 0;
  int64_t epoch_ = 0;  // counts changes of the pool that others can measure
  int boots_ = 1, addresses_ = 0;
  bool calm_ = false, lost_words_ = false, has_agent_ = false;
  int64_t foreign_bytes_ = 0, gpu_total_bytes_ = 0;
  bool short_of_context_ = false;
  std::optional<reconcile::NodeMemoryReading> reading_;
};

}  // namespace strix::sim
