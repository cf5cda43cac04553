// Why: the collections that the operator reads and writes, named once for adapters and informers.
// May not: grow beyond what RBAC grants.
#pragma once

#include <string>

#include "api/names.h"
#include "kube/client.h"

namespace strix::app {

inline const kube::Resource stacks{std::string(names::group), std::string(names::version),
                                   std::string(names::plural)};
inline const kube::Resource pods{"", "v1", "pods"};
inline const kube::Resource nodes{"", "v1", "nodes"};
inline const kube::Resource services{"", "v1", "services"};
inline const kube::Resource config_maps{"", "v1", "configmaps"};
inline const kube::Resource secrets{"", "v1", "secrets"};
inline const kube::Resource webhook_configurations{"admissionregistration.k8s.io", "v1",
                                                   "validatingwebhookconfigurations"};

}  // namespace strix::app
