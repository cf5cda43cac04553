// Why: where the webhook's certificates and its registration are kept, as requests to the API server.
// May not: decide, or let what a Secret holds into an error's text.
#pragma once

#include <string>

#include "kube/client.h"
#include "serve/rotation.h"

namespace strix::app {

// The Secret is in this namespace. manifests/webhook makes it, empty: the right to create Secrets cannot be
// limited to a name, those to read and to patch one can. The client outlives the ports.
serve::RotationPorts rotation_ports(kube::Client& client, const std::string& namespace_);

}  // namespace strix::app
