#include "sim/troubles.h"

#include "api/names.h"
#include "base/bytes.h"

namespace strix::sim {

namespace {

template <class T>
size_t among(int64_t victim, const T& all) {
  return static_cast<size_t>(victim) % all.size();
}

}  // namespace

void Troubles::apply_stacks() {
  for (size_t i = 0; i < world_.plan.stacks.size(); ++i)
    world_.time.after(world_.plan.applied_at[i], [this, i] { apply(i); });
}

void Troubles::apply(size_t index) {
  world_.actor = "person";
  const api::InferenceStack& stack = world_.plan.stacks[index];
  Status done = world_.server.create_stack(stack);
  if (done) world_.story.tell("person", "applies {}", stack.metadata.name);
  // It is still going: a person tries again.
  if (!done) world_.time.after(2'000, [this, index] { apply(index); });
}

Shared<api::Pod> Troubles::pod(int64_t victim) const {
  const auto& all = world_.server.pods.objects;
  if (all.empty()) return nullptr;
  return std::next(all.begin(), static_cast<long>(among(victim, all)))->second;
}

void Troubles::edit(const Incident& incident) {
  size_t index = among(incident.victim, world_.plan.stacks);
  api::NamespacedName key = world_.plan.stacks[index].metadata.key();
  world_.actor = "person";
  auto tier = [&](api::StackSpec& spec) -> api::Tier& {
    return spec.tiers[among(incident.amount, spec.tiers)];
  };
  auto told = [&](std::string what) { world_.story.tell("person", "edits {}: {}", key.name, what); };
  (void)world_.server.edit_stack(key, [&](api::StackSpec& spec) {
    api::Tier& one = tier(spec);
    if (incident.trouble == Trouble::EditFraction && one.gpu_fraction_milli) {
      one.gpu_fraction_milli = static_cast<int>(10 + incident.amount % 50) * 10;
      told(fmt::format("gpuFraction of {} is {}", one.name, *one.gpu_fraction_milli));
    } else if (incident.trouble == Trouble::EditFraction) {
      one.requests.memory = fmt::format("{}Gi", 1 + incident.amount % 40);
      told(fmt::format("memory of {} is {}", one.name, one.requests.memory));
    } else if (incident.trouble == Trouble::EditImage) {
      one.image = fmt::format("example.com/engine:{}", incident.amount % 3);
      told(fmt::format("image of {} is {}", one.name, one.image));
    } else if (incident.trouble == Trouble::SwapFractions) {
      std::vector<api::Tier*> gpu;
      for (auto& other : spec.tiers)
        if (other.gpu_fraction_milli) gpu.push_back(&other);
      if (gpu.size() < 2) return false;
      std::swap(gpu.front()->gpu_fraction_milli, gpu.back()->gpu_fraction_milli);
      told(fmt::format("{} and {} change their gpuFractions", gpu.front()->name, gpu.back()->name));
    } else if (incident.trouble == Trouble::EditContext) {
      one.context_length_tokens = 4096 + 1024 * (incident.amount % 8);
      told(fmt::format("contextLength of {} is {}", one.name, one.context_length_tokens));
    } else if (incident.trouble == Trouble::EditBack) {
      one.port = 0;
      told("a port that is none");
    } else if (incident.trouble == Trouble::SwitchTier) {
      bool off = one.activation == api::Activation::Off;
      one.activation = off ? api::Activation::Always : api::Activation::Off;
      told(fmt::format("{} is switched {}", one.name, off ? "on" : "off"));
    } else {
      spec.suspend = !spec.suspend;
      told(spec.suspend ? "suspended" : "resumed");
    }
    return true;
  });
  if (incident.trouble != Trouble::EditBack) return;
  world_.time.after(incident.millis, [this, index, key] {
    world_.actor = "person";
    (void)world_.server.edit_stack(key, [&](api::StackSpec& spec) {
      for (size_t i = 0; i < spec.tiers.size(); ++i)
        spec.tiers[i].port = world_.plan.stacks[index].spec.tiers[i].port;
      world_.story.tell("person", "edits {}: the ports are right again", key.name);
      return true;
    });
  });
}

void Troubles::remove(const Incident& incident) {
  size_t index = among(incident.victim, world_.plan.stacks);
  api::NamespacedName key = world_.plan.stacks[index].metadata.key();
  Propagation propagation = incident.trouble == Trouble::DeleteBackground   ? Propagation::Background
                            : incident.trouble == Trouble::DeleteForeground ? Propagation::Foreground
                                                                            : Propagation::Orphan;
  world_.actor = "person";
  if (!world_.server.delete_stack(key, propagation)) return;
  world_.story.tell("person", "deletes {} ({})", key.name, to_string(incident.trouble));
  if (incident.amount % 5 != 0) world_.time.after(incident.millis, [this, index] { apply(index); });
}

// As a Deployment of somebody's, with labels copied from ours.
void Troubles::foreign_pod(const Incident& incident) {
  const api::InferenceStack& stack = world_.plan.stacks[among(incident.victim, world_.plan.stacks)];
  const api::Tier& tier = stack.spec.tiers[among(incident.amount, stack.spec.tiers)];
  std::string name = stack.metadata.name + "-" + tier.name;
  std::string body = fmt::format(
      R"({{"metadata":{{"name":"{}","namespace":"llm","labels":{{"{}":"{}","{}":"{}"}},"ownerReferences":[)"
      R"({{"kind":"ReplicaSet","name":"other","uid":"other","controller":true}}]}},)"
      R"("spec":{{"nodeSelector":{{"kubernetes.io/hostname":"nowhere"}},"containers":[{{}}]}}}})",
      name, names::label_stack, stack.metadata.name, names::label_tier, tier.name);
  world_.actor = "person";
  if (!world_.server.create_pod(body)) return;
  world_.story.tell("person", "makes a pod of their own named {}", name);
  api::NamespacedName key{"llm", name};
  world_.time.after(incident.millis, [this, key] {
    Shared<api::Pod> pod = world_.server.pods.find(key);
    if (!pod || !pod->metadata.controller() || pod->metadata.controller()->uid != "other") return;
    world_.actor = "person";
    world_.story.tell("person", "takes away the pod of their own named {}", key.name);
    (void)world_.server.delete_pod(key, {});
  });
}

void Troubles::pods(const Incident& incident) {
  if (incident.trouble == Trouble::ForeignPod) return foreign_pod(incident);
  Shared<api::Pod> victim = pod(incident.victim);
  if (!victim) return;
  api::NamespacedName key = victim->metadata.key();
  Machine* machine = world_.machine(victim->node_name);
  world_.actor = "person";
  if (incident.trouble == Trouble::ForceDeletePod) {
    world_.story.tell("person", "deletes {} by force", key.text());
    (void)world_.server.delete_pod(key, {}, 0);
  } else if (incident.trouble == Trouble::DeletePod) {
    world_.story.tell("person", "deletes {}", key.text());
    (void)world_.server.delete_pod(key, {});
  } else if (machine && incident.trouble == Trouble::KillEngine) {
    machine->kill(victim->metadata.uid, incident.amount % 3 == 0 ? 0 : incident.amount % 3 == 1 ? 1 : 137);
  } else if (machine && incident.trouble == Trouble::WedgeEngine) {
    machine->wedge(victim->metadata.uid);
  } else if (machine && incident.trouble == Trouble::FaultGpu) {
    machine->fault_gpu(victim->metadata.uid, incident.amount % 2 == 0);
  } else if (machine && incident.trouble == Trouble::JamEngine) {
    machine->jam(victim->metadata.uid, incident.millis * 8);
    // Somebody notices.
    if (incident.amount % 2 == 0) (void)world_.server.delete_pod(key, {});
  } else if (machine) {
    machine->silence(victim->metadata.uid, incident.millis * 2);
  }
}

void Troubles::machines(const Incident& incident) {
  Machine& machine = world_.machines[among(incident.victim, world_.machines)];
  world_.actor = "machine";
  if (incident.trouble == Trouble::RebootNode) return machine.reboot(incident.millis + 2'000);
  if (incident.trouble == Trouble::StallKubelet) return machine.stall(incident.millis * 2);
  if (incident.trouble == Trouble::TakeMemory)
    return machine.take_memory((incident.amount % 10 < 7 ? 1 : 2) * gib, incident.millis * 6);
  machine.cordon(true);
  world_.time.after(incident.millis, [&machine] { machine.cordon(false); });
}

// It ends in the middle of opening a window; and while nobody leads, a person wants something else.
void Troubles::doom(const Incident& incident) {
  Process* process = election_.leader();
  if (!process) return;
  process->doom();
  after_doom(incident);
}

void Troubles::after_doom(const Incident& incident) {
  world_.time.after(100, [this, incident] {
    Process* process = election_.leader();
    if (process && process->doomed()) return after_doom(incident);
    Incident wish = incident;
    wish.trouble = incident.amount % 4 == 1 ? Trouble::EditContext : Trouble::SwitchTier;
    if (!world_.calm) edit(wish);
  });
}

// Whoever holds the lease, or waits for it, looks at the clocks every two seconds.
void Troubles::see_clocks(const Incident& incident) {
  world_.time.after(incident.amount * 2, [this] {
    for (auto& replica : replicas_)
      if (Process* process = replica->process()) process->see_clocks();
  });
}

void Troubles::operators(const Incident& incident) {
  switch (incident.trouble) {
    case Trouble::CrashOperator:
      if (incident.amount % 2 != 0) return doom(incident);
      if (Process* process = election_.leader()) process->crash("by a signal");
      return;
    case Trouble::LoseLease:
      return election_.break_up();
    case Trouble::SetClock: {
      int64_t millis = (incident.amount % 2 == 0 ? 1 : -1) * incident.millis;
      world_.story.tell("machine", "the clock on the wall jumps by {} ms", millis);
      world_.time.set_clock(millis);
      return see_clocks(incident);
    }
    case Trouble::Sleep: {
      int64_t millis = incident.millis * 60;
      world_.story.tell("machine", "sleeps for {} ms", millis);
      world_.time.sleep(millis);
      if (incident.amount % 2 == 0) election_.break_up();
      return see_clocks(incident);
    }
    case Trouble::BreakApi:
      world_.story.tell("network", "the API server is not to be reached for {} ms", incident.millis);
      world_.api_down_until = world_.time.boot() + incident.millis;
      return;
    default:
      if (Process* process = replicas_[among(incident.victim, replicas_)]->process()) {
        world_.story.tell("network", "informers hear nothing for {} ms", incident.millis);
        process->cache().be_deaf(incident.millis);
      }
  }
}

void Troubles::befall(const Incident& incident) {
  switch (incident.trouble) {
    case Trouble::EditFraction:
    case Trouble::EditImage:
    case Trouble::SwapFractions:
    case Trouble::EditContext:
    case Trouble::EditBack:
    case Trouble::SwitchTier:
    case Trouble::Suspend:
      return edit(incident);
    case Trouble::DeleteBackground:
    case Trouble::DeleteForeground:
    case Trouble::DeleteOrphan:
      return remove(incident);
    case Trouble::ForceDeletePod:
    case Trouble::DeletePod:
    case Trouble::ForeignPod:
    case Trouble::KillEngine:
    case Trouble::SilenceEngine:
    case Trouble::WedgeEngine:
    case Trouble::FaultGpu:
    case Trouble::JamEngine:
      return pods(incident);
    case Trouble::RebootNode:
    case Trouble::StallKubelet:
    case Trouble::CordonNode:
    case Trouble::TakeMemory:
      return machines(incident);
    default:
      return operators(incident);
  }
}

void Troubles::end() {
  world_.api_down_until = std::min(world_.api_down_until, world_.time.boot());
  for (auto& machine : world_.machines) machine.be_calm();
}

}  // namespace strix::sim
