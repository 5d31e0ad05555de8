#include "client/event_recorder.h"

#include <algorithm>
#include <list>
#include <set>
#include <unordered_map>

#include "base/log.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::client {
namespace {

constexpr int kTries = 5;
constexpr Duration kFirstRetry = 1s;
constexpr std::string_view kCombined = "(combined from similar events): ";

// The most recently used entries of a map, bounded.
template <class T>
class Recent {
 public:
  explicit Recent(std::size_t limit) : limit_(limit) {}
  std::shared_ptr<T>& operator[](const std::string& key) {
    auto found = map_.find(key);
    if (found != map_.end()) {
      order_.splice(order_.begin(), order_, found->second.second);
      return found->second.first;
    }
    if (map_.size() >= limit_) {
      map_.erase(order_.back());
      order_.pop_back();
    }
    order_.push_front(key);
    auto& slot = map_[key];
    slot = {nullptr, order_.begin()};
    return slot.first;
  }

 private:
  std::size_t limit_;
  std::list<std::string> order_;
  std::unordered_map<std::string, std::pair<std::shared_ptr<T>, std::list<std::string>::iterator>> map_;
};

// Tokens of one object: how many events about it may still be written.
struct Bucket {
  double tokens;
  Duration at;
};

// Events that differ only in their message.
struct Similar {
  std::set<std::string> messages;
  Duration at;
};

// One Event object in the API.
struct Stored {
  Value object;         // as it should be
  bool exists = false;  // created, as far as the recorder knows
  bool writing = false;
  bool dirty = false;  // changed since the last write started
  bool tried = false;  // a create of this name may have been applied: its answer was lost
  int failures = 0;
};

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string object_key(const Value& reference) {
  std::string key;
  for (const char* field : {"kind", "namespace", "name", "uid", "apiVersion"}) {
    key += reference[field].as_string();
    key += '\0';
  }
  return key;
}

}  // namespace

struct EventRecorder::Impl : std::enable_shared_from_this<EventRecorder::Impl> {
  Impl(Runtime& runtime, client::Client& client, std::string component, std::string host, Limits limits)
      : runtime(runtime),
        client(client),
        component(std::move(component)),
        host(std::move(host)),
        limits(limits),
        buckets(limits.remembered),
        similar(limits.remembered),
        stored(limits.remembered) {}

  void event(const Value& about, std::string_view type, std::string_view reason, std::string_view message,
             std::string_view field_path);
  // `reference`: to the object it is about.
  Value new_event(const Value& reference, std::string_view type, std::string_view reason, const std::string& message);
  bool allowed(const std::string& key);
  std::string unique_suffix();
  void write(std::shared_ptr<Stored> entry);
  void on_answer(const std::shared_ptr<Stored>& entry, Result<Value> answer);
  void finish_write(const std::shared_ptr<Stored>& entry);

  Runtime& runtime;
  client::Client& client;
  std::string component, host;
  Limits limits;
  Recent<Bucket> buckets;
  Recent<Similar> similar;
  Recent<Stored> stored;
  std::int64_t last_stamp = 0;
  std::size_t pending = 0;  // entries being written or waiting for another try
};

bool EventRecorder::Impl::allowed(const std::string& key) {
  const Duration now = runtime.monotonic();
  auto& bucket = buckets[key];
  if (!bucket) bucket = std::make_shared<Bucket>(Bucket{static_cast<double>(limits.burst), now});
  const double gained = static_cast<double>((now - bucket->at).count()) / static_cast<double>(limits.refill.count());
  bucket->tokens = std::min(bucket->tokens + gained, static_cast<double>(limits.burst));
  bucket->at = now;
  if (bucket->tokens < 1) return false;
  bucket->tokens -= 1;
  return true;
}

// Event names end in the time in nanoseconds, as client-go's do; made unique where the clock has not moved.
std::string EventRecorder::Impl::unique_suffix() {
  const std::int64_t now = runtime.now().time_since_epoch().count();
  last_stamp = std::max(now, last_stamp + 1);
  return hex(static_cast<std::uint64_t>(last_stamp));
}

Value EventRecorder::Impl::new_event(const Value& reference, std::string_view type, std::string_view reason,
                                     const std::string& message) {
  const std::string stamp = format_time(runtime.now());
  Value out = Value::object({
      {"apiVersion", "v1"},
      {"kind", "Event"},
      {"metadata", Value::object({{"name", reference["name"].str() + "." + unique_suffix()},
                                  {"namespace", reference["namespace"].str("default")}})},
      {"involvedObject", reference},
      {"reason", reason},
      {"message", message},
      {"source", Value::object({{"component", component}})},
      {"firstTimestamp", stamp},
      {"lastTimestamp", stamp},
      {"count", 1},
      {"type", type},
      {"reportingComponent", component},
      {"reportingInstance", host},
  });
  if (!host.empty()) out.mut("source").set("host", host);
  return out;
}

void EventRecorder::Impl::event(const Value& about, std::string_view type, std::string_view reason,
                                std::string_view message, std::string_view field_path) {
  Value reference = Value::object();
  auto put = [&](std::string_view key, std::string_view value) {
    if (!value.empty()) reference.set(key, value);
  };
  put("kind", api::kind_of(about));
  put("namespace", api::namespace_of(about));
  put("name", api::name_of(about));
  put("uid", api::uid_of(about));
  put("apiVersion", api::api_version_of(about));
  put("resourceVersion", api::resource_version_of(about));
  put("fieldPath", field_path);

  const std::string about_key = object_key(reference);
  const std::string kind_key = about_key + std::string(type) + '\0' + std::string(reason) + '\0';
  std::string text(message);
  std::string key = kind_key + std::string(field_path) + '\0' + text;

  auto& group = similar[kind_key];
  const Duration mono = runtime.monotonic();
  if (!group || mono - group->at > limits.window) group = std::make_shared<Similar>();
  group->at = mono;
  if (!group->messages.count(text)) {
    if (group->messages.size() < static_cast<std::size_t>(limits.similar)) {
      group->messages.insert(text);
    } else {
      text = std::string(kCombined) + text;
      key = kind_key;
    }
  }
  if (!allowed(about_key)) return;

  auto& entry = stored[key];
  if (!entry) {
    entry = std::make_shared<Stored>();
    entry->object = new_event(reference, type, reason, text);
  } else {
    Value& object = entry->object;
    object.set("count", object["count"].as_int() + 1)
        .set("lastTimestamp", format_time(runtime.now()))
        .set("message", text);
  }
  if (entry->writing) {
    entry->dirty = true;
    return;
  }
  if (pending >= limits.queued) return;
  ++pending;
  write(entry);
}

void EventRecorder::Impl::write(std::shared_ptr<Stored> entry) {
  entry->writing = true;
  entry->dirty = false;
  auto done = [weak = weak_from_this(), entry](Result<Value> answer) {
    if (auto self = weak.lock()) self->on_answer(entry, std::move(answer));
  };
  api::WriteOptions options;
  options.field_manager = component;
  if (!entry->exists) {
    client.create(api::resources::kEvents, entry->object, options, std::move(done));
    return;
  }
  Value change = Value::object({{"count", entry->object["count"]},
                                {"lastTimestamp", entry->object["lastTimestamp"]},
                                {"message", entry->object["message"]}});
  client.patch(api::resources::kEvents, api::name_key(entry->object), api::PatchType::kStrategic, std::move(change),
               options, std::move(done));
}

void EventRecorder::Impl::on_answer(const std::shared_ptr<Stored>& entry, Result<Value> answer) {
  if (answer.ok()) {
    entry->exists = true;
    entry->failures = 0;
    return finish_write(entry);
  }
  const Code code = answer.error().code;
  const bool was_create = !entry->exists;
  if (code == Code::kAlreadyExists && was_create) {
    if (entry->tried) {
      entry->exists = true;  // created by the write whose answer was lost
      return finish_write(entry);
    }
    const Value& about = entry->object["involvedObject"];
    entry->object.mut("metadata").set("name", about["name"].str() + "." + unique_suffix());
    entry->dirty = true;
  } else if (code == Code::kNotFound && !was_create) {
    entry->exists = false;  // its time to live is over: create it again under the same name
    entry->tried = false;
    entry->dirty = true;
  } else if (code != Code::kUnavailable && code != Code::kTimeout && code != Code::kUnknown &&
             code != Code::kInternal && code != Code::kTooManyRequests) {
    log_debug("events", "event refused", {{"error", answer.error().message}});
    entry->dirty = false;
    return finish_write(entry);
  }
  if (code == Code::kUnknown && was_create) entry->tried = true;
  if (++entry->failures >= kTries) {
    log_debug("events", "event dropped", {{"error", answer.error().message}});
    entry->failures = 0;
    entry->dirty = false;
    return finish_write(entry);
  }
  if (entry->dirty && code != Code::kUnknown) return write(entry);
  runtime.after(kFirstRetry * (1 << (entry->failures - 1)), [weak = weak_from_this(), entry] {
    if (auto self = weak.lock()) self->write(entry);
  });
}

void EventRecorder::Impl::finish_write(const std::shared_ptr<Stored>& entry) {
  if (entry->dirty) return write(entry);
  entry->writing = false;
  --pending;
}

EventRecorder::EventRecorder(Runtime& runtime, client::Client& client, std::string component, std::string host)
    : EventRecorder(runtime, client, std::move(component), std::move(host), Limits()) {}

EventRecorder::EventRecorder(Runtime& runtime, client::Client& client, std::string component, std::string host,
                             Limits limits)
    : impl_(std::make_shared<Impl>(runtime, client, std::move(component), std::move(host), limits)) {}

EventRecorder::~EventRecorder() = default;

void EventRecorder::event(const Value& object, std::string_view type, std::string_view reason, std::string_view message,
                          std::string_view field_path) {
  impl_->event(object, type, reason, message, field_path);
}

std::size_t EventRecorder::pending() const { return impl_->pending; }

}  // namespace berth::client
