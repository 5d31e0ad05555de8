#pragma once
// LeaseFile: the addresses of pods on disk. One change costs one short write, however many leases there are.

#include <cstdint>
#include <string>

#include "base/files.h"
#include "base/result.h"
#include "net/address_pool.h"

namespace berth::net {

// The first line is AddressPool::to_json(), each further one a change: {"uid": ..., "ip": ...}, without "ip" for an
// address that was freed. Changes are not fsynced: one that was lost costs a pod its address after the machine was
// restarted, nothing more. One thread.
class LeaseFile {
 public:
  static constexpr int kChanges = 4096;  // then the file is written anew

  explicit LeaseFile(std::string path) : path_(std::move(path)) {}

  // Gives the pool what is recorded. A file whose first line cannot be read is put aside as PATH.damaged; a change that
  // was cut off is left out, with all behind it. Called before record(), and may be called again. Nothing is written:
  // it works on a full disk.
  Status load(AddressPool& pool);
  // What the pool has for the pod now: an address or none. Where it fails the file says what it said before.
  Status record(const AddressPool& pool, const std::string& pod_uid);

 private:
  Status replace(const AddressPool& pool);

  std::string path_;
  Fd file_;
  std::int64_t size_ = 0;
  int changes_ = kChanges;  // as if full, where nothing can be added to the file as it is
};

}  // namespace berth::net
