#pragma once
// EncodedRecords: the protobuf envelopes of stored versions, each made once for all answers that have it.

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "api/schema/schema.h"
#include "store/store.h"

namespace berth::apiserver::rest {

// Keeps at most `most` bytes of the texts that were asked for last; one that an answer still has is found for as long.
// Loop thread only.
class EncodedRecords {
 public:
  explicit EncodedRecords(std::size_t most = 64u << 20) : most_(most) {}

  // Null: the kind has no protobuf form.
  std::shared_ptr<const std::string> get(const api::schema::Schema& schema, const store::RecordPtr& record);

  std::size_t bytes() const { return bytes_; }
  std::size_t entries() const { return entries_.size(); }

 private:
  struct Retained {
    const store::Record* record;
    std::shared_ptr<const std::string> text;
  };
  struct Entry {
    std::weak_ptr<const store::Record> record;  // another record may come to have the same address
    std::weak_ptr<const std::string> text;
    std::optional<std::list<Retained>::iterator> retained = {};
  };

  void retain(const store::Record* record, Entry& entry, std::shared_ptr<const std::string> text);
  void release(Entry& entry);
  void erase_expired();

  const std::size_t most_;
  std::unordered_map<const store::Record*, Entry> entries_;
  std::list<Retained> retained_;  // by last use, the newest first
  std::size_t bytes_ = 0, sweep_at_ = 64;
};

}  // namespace berth::apiserver::rest
