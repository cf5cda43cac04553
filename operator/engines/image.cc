#include "engines/image.h"

namespace strix::engines {

namespace {

// Where the tag's colon is; a colon before the last slash is that of a port.
size_t tag_of(std::string_view image) {
  size_t colon = image.rfind(':'), slash = image.rfind('/');
  bool is_port = slash != std::string_view::npos && colon != std::string_view::npos && colon < slash;
  return is_port ? std::string_view::npos : colon;
}

}  // namespace

std::string_view to_string(PullPolicy policy) {
  switch (policy) {
    case PullPolicy::Always:
      return "Always";
    case PullPolicy::IfNotPresent:
      return "IfNotPresent";
    case PullPolicy::Never:
      return "Never";
  }
  return "IfNotPresent";
}

PullPolicy pull_policy(const api::StackSpec& spec, const api::Tier& tier) {
  for (PullPolicy policy : {PullPolicy::Always, PullPolicy::IfNotPresent, PullPolicy::Never})
    if (tier.image_pull_policy == to_string(policy)) return policy;
  return full_image_name(spec.image_of(tier)).ends_with(":latest") ? PullPolicy::Always
                                                                   : PullPolicy::IfNotPresent;
}

std::string full_image_name(std::string_view image) {
  size_t slash = image.find('/');
  std::string_view first = image.substr(0, slash);
  bool has_registry = slash != std::string_view::npos &&
                      (first.find_first_of(".:") != std::string_view::npos || first == "localhost");
  std::string name(image);
  if (!has_registry) name = (slash == std::string_view::npos ? "docker.io/library/" : "docker.io/") + name;
  bool pinned = name.find('@') != std::string::npos;
  if (!pinned && tag_of(name) == std::string::npos) name += ":latest";
  return name;
}

}  // namespace strix::engines
