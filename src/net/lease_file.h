#pragma once
// LeaseFile: the pods' addresses on disk. One change costs one short write, however many leases there are.

#include <cstdint>
#include <string>

#include "base/files.h"
#include "base/result.h"
#include "net/address_pool.h"

namespace berth::net {

// The first line is AddressPool::to_json(), each further line a change: {"uid": ..., "ip": ...}, without "ip" for a
// freed address. Changes are not fsynced: a lost one only costs a pod its address after a reboot. One thread.
class LeaseFile {
 public:
  static constexpr int kChanges = 4096;  // number of changes after which the file is rewritten

  explicit LeaseFile(std::string path) : path_(std::move(path)) {}

  // Restores the recorded leases into the pool. A file with an invalid first line is renamed to PATH.damaged; an
  // incomplete change and all lines after it are ignored. Called before record(); may be called again. Writes nothing,
  // so it works on a full disk.
  Status load(AddressPool& pool);
  // Records the pod's present lease in the pool, or its absence. On failure the file keeps its content.
  Status record(const AddressPool& pool, const std::string& pod_uid);

 private:
  Status replace(const AddressPool& pool);

  std::string path_;
  Fd file_;
  std::int64_t size_ = 0;
  int changes_ = kChanges;  // kChanges: the next record() rewrites the file, because nothing can be appended to it
};

}  // namespace berth::net
