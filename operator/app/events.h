// Why: reconcile's EventSink: a change worth an event is worth a log line too, in the same words.
// May not: wait; the recorder's queue is bounded.
#pragma once

#include <string>

#include "kube/client.h"
#include "kube/recorder.h"
#include "reconcile/ports.h"

namespace strix::app {

// Thread-safe, as the recorder is.
class EventWriter : public reconcile::EventSink {
 public:
  EventWriter(kube::Client& client, metrics::Registry& registry, const std::string& instance);
  void record(const api::InferenceStack& stack, const reconcile::Event& event) override;
  void record(kube::ObjectReference regarding, const reconcile::Event& event);
  void flush(int64_t deadline_millis) { recorder_.flush_and_stop(deadline_millis); }

 private:
  kube::Recorder recorder_;
};

}  // namespace strix::app
