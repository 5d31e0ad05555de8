#pragma once
// Tables and other views of single objects as text, made once for all the watches that show the same version of an
// object in the same form. A view is there as long as an answer holds it, and until the end of the loop's turn.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/lifetime.h"
#include "base/loop.h"
#include "store/store.h"

namespace berth::apiserver::rest {

class SharedViews {
 public:
  explicit SharedViews(Loop& loop) : loop_(loop) {}
  ~SharedViews() { lifetime_.end(); }
  SharedViews(const SharedViews&) = delete;

  // `form` names what `make` makes of the record. It tells ages, so it is not shared beyond the second.
  std::shared_ptr<const std::string> get(const store::RecordPtr& record, const std::string& form,
                                         const std::function<std::string()>& make);

 private:
  static constexpr std::size_t kTurn = 16u << 20;  // bytes that are held for others of the same turn

  struct Entry {
    std::weak_ptr<const store::Record> record;  // another record may come to have the same address
    std::weak_ptr<const std::string> view;
  };

  void hold(std::shared_ptr<const std::string> view);

  Loop& loop_;
  std::map<std::pair<const void*, std::string>, Entry> entries_;
  std::vector<std::shared_ptr<const std::string>> turn_;
  std::size_t turn_bytes_ = 0, sweep_at_ = 64;
  Lifetime lifetime_;
};

}  // namespace berth::apiserver::rest
