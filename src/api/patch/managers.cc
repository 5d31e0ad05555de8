#include "api/patch/managers.h"

#include <algorithm>
#include <map>

namespace berth::api::patch {

namespace {

constexpr std::size_t kMaxUpdateManagers = 10;
constexpr const char* kOldUpdates = "ancient-changes";

Error malformed(std::string text) { return error(Code::kInvalid, "metadata.managedFields: " + std::move(text)); }

}  // namespace

Result<Managers> Managers::decode(const Value& managed_fields) {
  Managers out;
  for (const Value& entry : managed_fields) {
    Manager manager;
    const std::string_view operation = entry["operation"].as_string();
    if (operation != "Apply" && operation != "Update") return malformed("operation must be `Apply` or `Update`");
    if (entry["fieldsType"].as_string() != "FieldsV1") return malformed("fieldsType must be `FieldsV1`");
    manager.name = entry["manager"].str();
    manager.applies = operation == "Apply";
    manager.api_version = entry["apiVersion"].str();
    if (manager.api_version.empty()) return malformed("apiVersion must not be empty");
    manager.subresource = entry["subresource"].str();
    manager.time = entry["time"].str();
    if (!entry["fieldsV1"].is_null()) {
      BERTH_ASSIGN(manager.set, FieldSet::from_fields_v1(entry["fieldsV1"]));
    }
    out.put(std::move(manager));
  }
  return out;
}

Value Managers::encode() const {
  if (entries_.empty()) return nullptr;
  std::vector<const Manager*> sorted;
  for (const Manager& manager : entries_) sorted.push_back(&manager);
  std::sort(sorted.begin(), sorted.end(), [](const Manager* a, const Manager* b) {
    if (a->applies != b->applies) return a->applies;  // "Apply" < "Update"
    return std::tie(a->time, a->name, a->api_version, a->subresource) <
           std::tie(b->time, b->name, b->api_version, b->subresource);
  });
  Value out = Value::array();
  for (const Manager* manager : sorted) out.push(encode(*manager));
  return out;
}

Value Managers::encode(const Manager& manager) {
  Value entry = Value::object({{"manager", manager.name},
                               {"operation", manager.applies ? "Apply" : "Update"},
                               {"apiVersion", manager.api_version},
                               {"fieldsType", "FieldsV1"},
                               {"fieldsV1", manager.set.to_fields_v1()}});
  if (manager.name.empty()) entry.erase("manager");
  if (!manager.time.empty()) entry.set("time", manager.time);
  if (!manager.subresource.empty()) entry.set("subresource", manager.subresource);
  return entry;
}

Manager* Managers::find(const Manager& like) {
  for (Manager& manager : entries_) {
    if (manager.same_entry(like)) return &manager;
  }
  return nullptr;
}

void Managers::put(Manager manager) {
  if (Manager* found = find(manager)) {
    *found = std::move(manager);
  } else {
    entries_.push_back(std::move(manager));
  }
}

void Managers::erase_empty() {
  std::erase_if(entries_, [](const Manager& manager) { return manager.set.empty(); });
}

void Managers::cap_updates() {
  std::vector<Manager> updates;
  std::vector<Manager> out;
  for (Manager& manager : entries_) (manager.applies ? out : updates).push_back(std::move(manager));
  std::stable_sort(updates.begin(), updates.end(), [](const Manager& a, const Manager& b) {
    return std::tie(a.time, a.name) < std::tie(b.time, b.name);
  });
  std::size_t excess = updates.size() > kMaxUpdateManagers ? updates.size() - kMaxUpdateManagers : 0;
  std::map<std::string, std::size_t> oldest;  // by version, into updates
  for (std::size_t i = 0; i < updates.size() && excess > 0; ++i) {
    auto [first, is_first] = oldest.emplace(updates[i].api_version, i);
    if (is_first) continue;
    Manager& bucket = updates[first->second];
    bucket.name = kOldUpdates;
    bucket.subresource.clear();
    bucket.set = bucket.set.united(updates[i].set);
    bucket.time = updates[i].time;  // the later one
    updates[i].set = FieldSet();
    --excess;
  }
  for (Manager& manager : updates) {
    if (manager.set.empty()) continue;
    auto same = std::find_if(out.begin(), out.end(), [&](const Manager& other) { return other.same_entry(manager); });
    if (same == out.end()) {
      out.push_back(std::move(manager));
    } else {  // a bucket of an earlier time
      same->set = same->set.united(manager.set);
      same->time = std::max(same->time, manager.time);
    }
  }
  entries_ = std::move(out);
}

const FieldSet& unowned_fields() {
  static const FieldSet set = [] {
    FieldSet made;
    made.insert({"f:apiVersion"});
    made.insert({"f:kind"});
    made.insert({"f:metadata"});
    for (const char* name : {"name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
                             "managedFields", "resourceVersion"}) {
      made.insert({"f:metadata", std::string("f:") + name});
    }
    return made;
  }();
  return set;
}

}  // namespace berth::api::patch
