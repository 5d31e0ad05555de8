#pragma once
// The Node object of this machine: what it is, what it has, how it is. Pure, but for reading /proc and the like.

#include <string>

#include "agent/pod/agent_config.h"
#include "base/json/json.h"

namespace berth::agent {

struct NodeFacts {
  std::int64_t cpus = 0, memory_bytes = 0, ephemeral_bytes = 0, ephemeral_free = 0, memory_available = 0;
  bool disk_pressure = false;  // as the StorageKeeper has found; not read
  std::string machine_id, boot_id, kernel, os_image, architecture, runtime_version;
};
NodeFacts read_node_facts(const std::string& data_dir);

// metadata (labels, annotations) and spec of a new Node.
Value make_node(const AgentConfig& config, const NodeFacts& facts);
// Labels that every registration sets again.
Value node_labels(const AgentConfig& config, const NodeFacts& facts);
// status; `before`: the Node as it is, whose transition times are kept where nothing changed. `images`: status.images.
Value make_node_status(const AgentConfig& config, const NodeFacts& facts, const Value& before, const Value& images,
                       Time now);
// The part of the node's capacity that pods may use.
Value node_allocatable(const AgentConfig& config, const NodeFacts& facts);
// Whether the two statuses differ in more than heartbeats and free space.
bool node_status_differs(const Value& before, const Value& after);

}  // namespace berth::agent
