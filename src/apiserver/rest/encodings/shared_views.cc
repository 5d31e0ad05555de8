#include "apiserver/rest/encodings/shared_views.h"

#include "base/metrics.h"
#include "base/time/time.h"

namespace berth::apiserver::rest {

std::shared_ptr<const std::string> SharedViews::get(const store::RecordPtr& record, const std::string& form,
                                                    const std::function<std::string()>& make) {
  static metrics::Counter& made =
      metrics::counter("berth_watch_views_made_total", "Tables and partial objects made for watches");
  if (entries_.size() >= sweep_at_) {
    std::erase_if(entries_, [](const auto& pair) { return pair.second.view.expired(); });
    sweep_at_ = 2 * entries_.size() + 64;
  }
  const auto second = std::chrono::floor<std::chrono::seconds>(loop_.now()).time_since_epoch().count();
  Entry& entry = entries_[{record.get(), form + " " + std::to_string(second)}];
  if (entry.record.lock() == record) {
    if (std::shared_ptr<const std::string> view = entry.view.lock()) return view;
  }
  made.add();
  auto view = std::make_shared<const std::string>(make());
  entry = {record, view};
  hold(view);
  return view;
}

void SharedViews::hold(std::shared_ptr<const std::string> view) {
  if (view->size() > kTurn) return;
  if (turn_bytes_ + view->size() > kTurn) {
    turn_.clear();
    turn_bytes_ = 0;
  }
  turn_bytes_ += view->size();
  turn_.push_back(std::move(view));
  if (turn_.size() > 1) return;
  loop_.post([this, alive = lifetime_.guard()] {
    if (!alive) return;
    turn_.clear();
    turn_bytes_ = 0;
  });
}

}  // namespace berth::apiserver::rest
