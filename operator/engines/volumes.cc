#include "engines/volumes.h"

#include "engines/dialect.h"

namespace strix::engines {
namespace {

// vLLM's processes pass tensors through shared memory, and the default of 64 MiB ends in "Insufficient space
// in /dev/shm". It counts as the pod's memory only as far as it is used.
constexpr const char* shm_size = "1Gi";

std::string device_name(size_t index) {
  return "device-" + std::to_string(index);
}

void write_mount(json::Writer& writer, const std::string& name, std::string_view path, bool read_only) {
  writer.begin_object().member("name", name).member("mountPath", path);
  if (read_only) writer.member("readOnly", true);
  writer.end_object();
}

// `type` empty: whatever is there, a file or a folder.
void write_host_path(json::Writer& writer, const std::string& path, std::string_view type) {
  writer.key("hostPath").begin_object().member("path", path);
  if (!type.empty()) writer.member("type", type);
  writer.end_object();
}

void write_claim(json::Writer& writer, const std::string& claim, bool read_only) {
  writer.key("persistentVolumeClaim").begin_object().member("claimName", claim);
  if (read_only) writer.member("readOnly", true);
  writer.end_object();
}

void write_store(json::Writer& writer, const api::VolumeChoice& store) {
  writer.begin_object().member("name", "models");
  if (store.persistent_volume_claim.empty())
    // The folder has to be there: made on the fly it would be an empty store, and the fault harder to see.
    write_host_path(writer, store.host_path, "Directory");
  else
    write_claim(writer, store.persistent_volume_claim, true);
  writer.end_object();
}

void write_cache(json::Writer& writer, const api::VolumeChoice& cache) {
  writer.begin_object().member("name", "cache");
  if (!cache.persistent_volume_claim.empty())
    write_claim(writer, cache.persistent_volume_claim, false);
  else if (!cache.host_path.empty())
    write_host_path(writer, cache.host_path, "DirectoryOrCreate");
  else
    writer.key("emptyDir").begin_object().end_object();
  writer.end_object();
}

// vLLM compiles at each start, so it gets a folder even where nobody keeps it; llama.cpp does not need one.
bool has_cache(const Sight& sight) {
  return sight.tier.engine == api::Engine::Vllm || sight.spec.defaults_of(sight.tier.engine).cache.set();
}

}  // namespace

bool uses_gpu(const api::Tier& tier) {
  return tier.effective_accelerator() == api::Accelerator::Gpu;
}

std::vector<std::string> device_paths(const Sight& sight) {
  bool mounted = uses_gpu(sight.tier) && sight.node.devices &&
                 sight.node.devices->strategy == api::DeviceStrategy::Privileged;
  return mounted ? sight.node.devices->paths : std::vector<std::string>{};
}

void write_volumes(json::Writer& writer, const Sight& sight) {
  writer.key("volumes").begin_array();
  write_store(writer, sight.node.model_store);
  if (has_cache(sight)) write_cache(writer, sight.spec.defaults_of(sight.tier.engine).cache);
  if (sight.tier.engine == api::Engine::Vllm) {
    writer.begin_object().member("name", "shm").key("emptyDir").begin_object();
    writer.member("medium", "Memory").member("sizeLimit", shm_size).end_object().end_object();
  }
  auto paths = device_paths(sight);
  for (size_t i = 0; i < paths.size(); ++i) {
    writer.begin_object().member("name", device_name(i));
    write_host_path(writer, paths[i], {});  // /dev/kfd is a file, /dev/dri a folder
    writer.end_object();
  }
  writer.end_array();
}

void write_mounts(json::Writer& writer, const Sight& sight) {
  writer.key("volumeMounts").begin_array();
  write_mount(writer, "models", store_mount, true);
  if (has_cache(sight)) write_mount(writer, "cache", cache_mount, false);
  if (sight.tier.engine == api::Engine::Vllm) write_mount(writer, "shm", "/dev/shm", false);
  auto paths = device_paths(sight);
  for (size_t i = 0; i < paths.size(); ++i) write_mount(writer, device_name(i), paths[i], false);
  writer.end_array();
}

}  // namespace strix::engines
