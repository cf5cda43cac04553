// Why: JSON to types and back, in one place per direction. Unknown members are ignored (a newer CRD may be
// installed); a member of the wrong shape is noted and the rest is read all the same.
// May not: check what validate() checks, or talk to anything.
#pragma once

#include <string>

#include "api/core.h"
#include "api/inference_stack.h"
#include "base/json.h"

namespace strix::api {

// Errors: Invalid when it is no object with metadata.name. Wrong shapes inside spec go to decode_errors.
Result<InferenceStack> decode_stack(json::Value object);
Result<Pod> decode_pod(json::Value object);
Result<Node> decode_node(json::Value object);
Result<Service> decode_service(json::Value object);
Result<ConfigMap> decode_config_map(json::Value object);
Result<ObjectMeta> decode_meta(json::Value object);

// The body of a server-side apply of the status subresource: apiVersion, kind, metadata.name, namespace,
// resourceVersion and the whole status.
std::string encode_status_apply(const InferenceStack& stack, const StackStatus& status);

// A status as it is written but for its timestamps, to tell whether a write is due.
std::string status_fingerprint(const StackStatus& status);

}  // namespace strix::api
