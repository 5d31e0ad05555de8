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
  std::size_t known() const { return known_.size(); }

 private:
  struct Kept {
    const store::Record* record;
    std::shared_ptr<const std::string> text;
  };
  struct Known {
    std::weak_ptr<const store::Record> record;  // another record may come to have the same address
    std::weak_ptr<const std::string> text;
    std::optional<std::list<Kept>::iterator> kept = {};
  };

  void keep(const store::Record* record, Known& known, std::shared_ptr<const std::string> text);
  void let_go(Known& known);
  void look_for_expired();

  const std::size_t most_;
  std::unordered_map<const store::Record*, Known> known_;
  std::list<Kept> kept_;  // the last one asked for first
  std::size_t bytes_ = 0, look_at_ = 64;
};

}  // namespace berth::apiserver::rest
