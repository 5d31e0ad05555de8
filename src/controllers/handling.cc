#include "controllers/handling.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "base/json/json.h"
#include "base/log.h"

namespace berth::controllers {
namespace {

// A slot: the controller's name and the key, each ended by a zero byte. An empty key: the controller handles no object.
constexpr std::size_t kNameBytes = 64, kKeyBytes = 448, kSlotBytes = kNameBytes + kKeyBytes;
constexpr int kSlots = 64;
constexpr std::size_t kMapBytes = kSlots * kSlotBytes;
constexpr std::int64_t kMostDeaths = 1'000'000;

std::string map_path(const std::string& directory) { return directory + "/handling"; }
std::string deaths_path(const std::string& directory) { return directory + "/deaths.json"; }

std::string text_at(const char* from, std::size_t most) { return std::string(from, ::strnlen(from, most)); }

// Writes the first byte last: an entry is complete or absent, at whatever moment the process dies.
void write_key(char* at, std::string_view key) {
  if (key.empty() || key.size() >= kKeyBytes) return;
  std::memcpy(at + 1, key.data() + 1, key.size() - 1);
  at[key.size()] = 0;
  __atomic_store_n(at, key[0], __ATOMIC_RELEASE);
}

std::vector<Death> read_deaths(const std::string& directory, const std::string* version) {
  std::vector<Death> out;
  const Result<std::string> text = read_file(deaths_path(directory));
  const Result<Value> stored = json::parse(text.ok() ? *text : "{}");
  if (!stored.ok() || (version && (*stored)["version"].as_string() != *version)) return out;
  for (const Value& one : (*stored)["deaths"]) {
    Death death{one["controller"].str(), one["key"].str(),
                static_cast<int>(std::clamp<std::int64_t>(one["times"].as_int(), 0, kMostDeaths))};
    if (!death.controller.empty() && !death.key.empty() && death.times > 0) out.push_back(std::move(death));
  }
  return out;
}

char* shared_slots = nullptr;  // set by share_with_children()

bool leads_to_quarantine(const Death& death) { return death.times >= HandlingRecord::kDeathsToQuarantine; }

}  // namespace

std::uint64_t desired_hash(const Value& object) {
  if (object.is_null()) return 0;
  Value asked = object;
  asked.erase("status");
  if (asked["metadata"].is_object()) {
    Value& metadata = asked.mut("metadata");
    for (const char* field : {"resourceVersion", "managedFields"}) metadata.erase(field);
  }
  return asked.hash();
}

std::string change_key(std::string_view resource, std::string_view ns, std::string_view name) {
  return std::string(kChangePrefix) + std::string(resource) + " " + std::string(ns) + (ns.empty() ? "" : "/") +
         std::string(name);
}

std::string quarantine_message(const Death& death) {
  return "The server died " + std::to_string(death.times) + " times while the controller " + death.controller +
         " handled this object. It is left alone until it is changed or deleted";
}

Status HandlingRecord::share_with_children() {
  if (shared_slots) return {};
  void* map = ::mmap(nullptr, kMapBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (map == MAP_FAILED) return errno_error("mapping memory for what controllers handle");
  shared_slots = static_cast<char*>(map);
  return {};
}

Result<std::unique_ptr<HandlingRecord>> HandlingRecord::open(const std::string& directory, const std::string& version) {
  if (shared_slots) {
    std::unique_ptr<HandlingRecord> record(new HandlingRecord(directory, version, shared_slots, false));
    record->count_deaths(shared_slots);
    // Left by a server without a supervisor, or by an earlier release.
    const Result<std::string> file = read_file(map_path(directory));
    if (file.ok() && file->size() >= kMapBytes) record->count_deaths(file->data());
    ::unlink(map_path(directory).c_str());
    std::memset(shared_slots, 0, kMapBytes);
    return record;
  }
  const Fd file(::open(map_path(directory).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return errno_error("opening " + map_path(directory));
  // Allocate the blocks: writing to a page that the file system cannot store later raises SIGBUS.
  if (const int failed = ::posix_fallocate(file.get(), 0, kMapBytes); failed != 0) {
    errno = failed;
    return errno_error("making room for " + map_path(directory));
  }
  void* map = ::mmap(nullptr, kMapBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file.get(), 0);
  if (map == MAP_FAILED) return errno_error("mapping " + map_path(directory));
  std::unique_ptr<HandlingRecord> record(new HandlingRecord(directory, version, static_cast<char*>(map), true));
  record->count_deaths(record->map_);
  std::memset(record->map_, 0, kMapBytes);
  return record;
}

std::vector<Death> HandlingRecord::quarantined_in(const std::string& directory) {
  std::vector<Death> out = read_deaths(directory, nullptr);
  std::erase_if(out, [](const Death& one) { return !leads_to_quarantine(one); });
  return out;
}

HandlingRecord::HandlingRecord(std::string directory, std::string version, char* map, bool file_backed)
    : directory_(std::move(directory)),
      version_(std::move(version)),
      map_(map),
      file_backed_(file_backed),
      deaths_(read_deaths(directory_, &version_)) {}

HandlingRecord::~HandlingRecord() {
  if (file_backed_) ::munmap(map_, kMapBytes);
}

void HandlingRecord::count_deaths(const char* slots) {
  bool any = false;
  for (int i = 0; i < kSlots; ++i) {
    const char* slot = slots + static_cast<std::size_t>(i) * kSlotBytes;
    const std::string controller = text_at(slot, kNameBytes), key = text_at(slot + kNameBytes, kKeyBytes);
    if (controller.empty() || key.empty()) continue;
    any = true;
    auto found = std::find_if(deaths_.begin(), deaths_.end(),
                              [&](const Death& one) { return one.controller == controller && one.key == key; });
    if (found == deaths_.end()) found = deaths_.insert(deaths_.end(), Death{controller, key, 0});
    ++found->times;
    log_warning("server", "died while a controller handled an object",
                {{"controller", controller}, {"object", key}, {"times", std::to_string(found->times)}});
  }
  if (any) save();
}

void HandlingRecord::save() const {
  Value deaths = Value::array({});
  for (const Death& one : deaths_) {
    deaths.push(Value::object({{"controller", one.controller}, {"key", one.key}, {"times", one.times}}));
  }
  const std::string text = json::encode(Value::object({{"version", version_}, {"deaths", std::move(deaths)}}));
  if (const Status saved = write_file(deaths_path(directory_), text, 0600); !saved.ok())
    log_warning("server", "cannot note what it died on", {{"error", saved.error().message}});
}

std::vector<Death> HandlingRecord::quarantined(std::string_view controller) const {
  std::vector<Death> out = deaths_;
  std::erase_if(out, [&](const Death& one) { return !leads_to_quarantine(one) || one.controller != controller; });
  return out;
}

void HandlingRecord::forget(std::string_view controller, std::string_view key) {
  if (std::erase_if(deaths_, [&](const Death& one) { return one.controller == controller && one.key == key; })) save();
}

int HandlingRecord::slot_of(std::string_view controller) {
  for (int i = 0; i < slots_; ++i) {
    if (text_at(map_ + static_cast<std::size_t>(i) * kSlotBytes, kNameBytes) == controller) return i;
  }
  if (slots_ == kSlots || controller.size() >= kNameBytes) return -1;
  std::memcpy(map_ + static_cast<std::size_t>(slots_) * kSlotBytes, controller.data(), controller.size());
  return slots_++;
}

HandlingRecord::Mark::Mark(HandlingRecord* record, int slot, std::string_view key) { set_key(record, slot, key); }

HandlingRecord::Mark::Mark(HandlingRecord* record, int slot, std::string_view resource, std::string_view ns,
                           std::string_view name) {
  if (!record || slot < 0) return;
  char key[kKeyBytes];
  std::size_t length = 0;
  for (std::string_view part :
       {kChangePrefix, resource, std::string_view(" "), ns, std::string_view(ns.empty() ? "" : "/"), name}) {
    if (length + part.size() >= kKeyBytes) return;
    std::memcpy(key + length, part.data(), part.size());
    length += part.size();
  }
  set_key(record, slot, std::string_view(key, length));
}

void HandlingRecord::Mark::set_key(HandlingRecord* record, int slot, std::string_view key) {
  if (!record || slot < 0) return;
  at_ = record->map_ + static_cast<std::size_t>(slot) * kSlotBytes + kNameBytes;
  if (*at_) {
    outer_ = text_at(at_, kKeyBytes);
    *at_ = 0;
  }
  write_key(at_, key);
}

HandlingRecord::Mark::~Mark() {
  if (!at_) return;
  __atomic_store_n(at_, char{0}, __ATOMIC_RELEASE);
  if (!outer_.empty()) write_key(at_, outer_);
}

}  // namespace berth::controllers
