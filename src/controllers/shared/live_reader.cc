#include "controllers/shared/live_reader.h"

#include <map>

#include "api/object.h"

namespace berth::controllers {
namespace {
constexpr Duration kAnswerLifetime = 2s;
constexpr Duration kRetryDelay = 1ms;
constexpr std::size_t kMaxEntries = 4096;
}  // namespace

struct LiveReader::Impl {
  explicit Impl(InformerSet& informers) : runtime(informers.runtime()), client(informers.client()) {}
  struct Entry {
    Answer answer;
    Duration at{};
  };
  Runtime& runtime;
  client::Client& client;
  std::map<std::string, Entry> entries;

  // Removes and returns the stored answer; or returns a pending one, with `start` set if the caller must start a read.
  Answer pop(const std::string& key, bool* start) {
    auto found = entries.find(key);
    if (found != entries.end()) {
      if (found->second.answer.state == Answer::kPending) return found->second.answer;
      Entry entry = std::move(found->second);
      entries.erase(found);
      if (runtime.monotonic() - entry.at <= kAnswerLifetime) return std::move(entry.answer);
    }
    if (entries.size() >= kMaxEntries) {
      std::erase_if(entries, [](const auto& one) { return one.second.answer.state != Answer::kPending; });
    }
    entries[key] = Entry{};
    *start = true;
    return {};
  }
  void store(const std::string& key, bool good, std::vector<Value> items) {
    Entry& entry = entries[key];
    entry.answer.state = good ? Answer::kKnown : Answer::kFailed;
    entry.answer.items = std::move(items);
    entry.at = runtime.monotonic();
  }
};

LiveReader::LiveReader(InformerSet& informers) : impl_(std::make_shared<Impl>(informers)) {}
LiveReader::~LiveReader() = default;

bool LiveReader::Answer::has_uid(std::string_view uid) const {
  for (const Value& item : items) {
    if (api::uid_of(item) == uid) return true;
  }
  return false;
}

LiveReader::Answer LiveReader::get(const api::Resource& resource, const api::Name& name, std::string_view about) {
  const std::string key =
      "get " + resource.version + " " + resource.group_resource() + " " + name.to_string() + " " + std::string(about);
  bool start = false;
  Answer answer = impl_->pop(key, &start);
  if (!start) return answer;
  impl_->client.get(resource, name, [weak = std::weak_ptr<Impl>(impl_), key](Result<Value> found) {
    auto state = weak.lock();
    if (!state) return;
    std::vector<Value> items;
    if (found.ok()) items.push_back(found.value());
    state->store(key, found.ok() || found.error().code == Code::kNotFound, std::move(items));
  });
  return answer;
}

LiveReader::Answer LiveReader::list(const api::Resource& resource, const std::string& ns, std::string_view about) {
  const std::string key =
      "list " + resource.version + " " + resource.group_resource() + " " + ns + " " + std::string(about);
  bool start = false;
  Answer answer = impl_->pop(key, &start);
  if (!start) return answer;
  api::ListOptions options;
  options.ns = ns;
  impl_->client.list(resource, options, [weak = std::weak_ptr<Impl>(impl_), key](Result<client::List> found) {
    auto state = weak.lock();
    if (!state) return;
    // A collection that the server does not serve is empty.
    const bool good =
        found.ok() || found.error().code == Code::kNotFound || found.error().code == Code::kMethodNotAllowed;
    state->store(key, good, found.ok() ? std::move(found->items) : std::vector<Value>());
  });
  return answer;
}

void LiveReader::requeue_until_known(const Answer& answer, Plan& plan) {
  if (answer.state == Answer::kPending) plan.requeue_after(kRetryDelay);
  if (answer.state == Answer::kFailed) plan.problem = "the server could not be asked";
}

}  // namespace berth::controllers
