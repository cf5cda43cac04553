#include "sim/process.h"

#include <algorithm>

#include "engines/engine.h"

namespace strix::sim {

namespace {

constexpr int workers = 3;
constexpr std::string_view stack_prefix = "stack/", node_prefix = "node/";

api::Policy policy() {
  api::Policy policy;
  policy.allow_privileged_tiers = true;
  policy.model_roots = {"/var/lib/models"};
  policy.owned_flag = engines::owned_flag;
  policy.owned_env = engines::owned_env();
  return policy;
}

}  // namespace

Process::Process(World& world, std::string name, uint64_t seed, std::function<void()> ended)
    : world_(world),
      name_(std::move(name)),
      ended_(std::move(ended)),
      dice_(seed, name_ + " process"),
      queue_(kube::WorkqueueSettings{}),
      events_(world),
      memory_(world),
      cache_(world, seed, name_, wakes()),
      cluster_(world, *this, name_, seed),
      prober_(world, seed, name_,
              [this](const auto& stack) { add(std::string(stack_prefix) + stack.text()); }),
      defective_cluster_(world, cluster_, cache_),
      defective_cache_(world, cache_, name_),
      defective_prober_(world, prober_),
      nodes_(node_ports(), board_, name_),
      stacks_(stack_ports(), board_, policy(), name_) {
  now();
  // The informers list at their own time; a process that has not listed does not lead.
  world_.time.after(dice_.between(5, 400), [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    cache_.list();
    synced_at_ = world_.time.boot();
  });
}

Process::~Process() = default;

LaggingCache::Wakes Process::wakes() {
  return {[this](const auto& stack) { add(std::string(stack_prefix) + stack.text()); },
          [this](const auto& stack) { add(std::string(stack_prefix) + stack.text(), kube::Urgency::Later); },
          [this] {
            for (const auto& stack : cache_.stack_names()) add(std::string(stack_prefix) + stack.text());
          },
          [this](const auto& node) { add(std::string(node_prefix) + node); },
          [this](const auto* before, const auto* after) {
            bool forgets = world_.defect == Defect::ForgetsVanished && !after;
            if (!forgets) nodes_.pod_changed(before, after);
          }};
}

reconcile::StackReconciler::Ports Process::stack_ports() {
  return {&defective_cluster_,      &defective_cache_,
          &defective_prober_,       &events_,
          [this] { return now(); }, [this](const auto& node) { add(std::string(node_prefix) + node); }};
}

reconcile::NodeReconciler::Ports Process::node_ports() {
  return {&defective_cluster_, &defective_cache_, [this] { return now(); },
          [this](const auto& stack) { add(std::string(stack_prefix) + stack.text()); }, &memory_};
}

std::optional<reconcile::NodeMemoryReading> Process::Memory::reading(const std::string& node) const {
  Machine* machine = world.machine(node);
  if (!machine || world.defect == Defect::IgnoresPressure) return std::nullopt;
  auto reading = machine->measured();
  bool forgets = world.defect != Defect::ParksForever;
  if (!reading || forgets) return reading;
  int64_t low = reconcile::PressureThresholds{}.warn_available_bytes;
  if (reading->available_bytes < low) short_once.insert(node);
  if (short_once.contains(node)) reading->available_bytes = std::min(reading->available_bytes, low);
  return reading;
}

Now Process::now() {
  Now now = clock_.take(world_.time.clocks());
  if (world_.defect == Defect::CountsSleep) return {now.wall, now.boot};
  return now;
}

void Process::lead() {
  world_.story.tell(name_, "leads");
  leading_ = true;
  auto names = cache_.stack_names();
  board_.expect({names.begin(), names.end()});
  visit_all();
  pump_soon(0);
}

void Process::visit_all() {
  for (const auto& stack : cache_.stack_names()) add(std::string(stack_prefix) + stack.text());
  for (const auto& node : cache_.nodes()) add(std::string(node_prefix) + node->metadata.name);
}

void Process::lose() {
  if (!leading_ || lost_) return;
  world_.story.tell(name_, "has lost the lease");
  lost_ = true;
  world_.time.after(dice_.between(0, 200), [this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) crash("as it leads no more");
  });
}

void Process::crash(const char* why) {
  if (ending_) return;
  ending_ = true;
  lost_ = true;
  world_.story.tell(name_, "ends {}", why);
  // Not from inside one of its own passes.
  world_.time.after(0, [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    passes_.clear();
    auto ended = ended_;  // it ends this process, and the function that it is a part of
    ended();
  });
}

void Process::add(const std::string& key, kube::Urgency urgency) {
  if (queue_.add(key, world_.time.boot(), urgency)) pump_soon(0);
}

void Process::pump_soon(int64_t millis) {
  if (!leading_ || ending_) return;
  BootMillis at = world_.time.boot() + millis;
  if (pump_at_ <= at) return;
  pump_at_ = at;
  world_.time.at(at, [this, at, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired() || pump_at_ != at) return;
    pump_at_ = never;
    pump();
  });
}

void Process::pump() {
  std::erase_if(passes_, [](const auto& pass) { return pass->done(); });
  while (!ending_ && passes_.size() < workers) {
    auto key = queue_.take(world_.time.boot());
    if (!key) break;
    passes_.push_back(std::make_unique<Fiber>([this, key = *key] { pass(key); }));
    claims_[passes_.back().get()] = 0;
    resume(*passes_.back());
  }
  if (passes_.size() == workers) return;  // whoever is done comes here again
  if (auto next = queue_.next_deadline()) pump_soon(std::max<int64_t>(0, *next - world_.time.boot()));
}

void Process::resume(Fiber& fiber) {
  if (ending_) return;
  current_ = &fiber;
  fiber.resume();
  current_ = nullptr;
  if (fiber.done()) pump_soon(0);
}

// What ClaimsFirst does: no stop is asked for while a claim is.
void Process::claim_first(const api::NamespacedName& stack) {
  using Kind = reconcile::WindowRequest::Kind;
  std::vector<reconcile::WindowRequest> requests;
  std::map<std::string, api::NodeProfile> profiles;
  for (const auto& machine : world_.machines) {
    for (const auto& request : board_.requests_of(machine.name()))
      if (request.stack == stack) requests.push_back(request);
    profiles[machine.name()] = machine.profile();
  }
  auto claims = [](const auto& request) { return request.kind == Kind::Claim; };
  if (std::none_of(requests.begin(), requests.end(), claims)) return;
  std::erase_if(requests, [&](const auto& request) { return !claims(request); });
  board_.post(stack, std::move(requests), std::move(profiles));
}

void Process::pass(const std::string& key) {
  ++passes_made_;
  reconcile::PassResult result;
  bool is_node = key.starts_with(node_prefix);
  if (is_node) {
    result = nodes_.reconcile(key.substr(node_prefix.size()));
  } else {
    std::string name = key.substr(stack_prefix.size());
    size_t slash = name.find('/');
    api::NamespacedName stack{name.substr(0, slash), name.substr(slash + 1)};
    result = stacks_.reconcile(stack);
    if (world_.defect == Defect::BoardForgets) board_.remove(stack);
    if (world_.defect == Defect::ClaimsFirst) claim_first(stack);
  }
  BootMillis now = world_.time.boot();
  if (result.error) {
    world_.story.tell(name_, "pass over {} failed: {}", key, result.error->text);
    queue_.add_after(key, queue_.rate_limit_millis(key, now), now);
  } else {
    queue_.forget(key);
    bool retries = result.retry_after_millis && world_.defect != Defect::NeverRetries;
    if (retries) queue_.add_after(key, *result.retry_after_millis, now);
  }
  queue_.done(key, now);
}

}  // namespace strix::sim
