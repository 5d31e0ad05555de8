#pragma once
// HandlingRecord: the object that each controller is handling at this moment, stored in a small shared mapping that
// outlives the process. Setting an entry costs a copy of the name and no system call. A server that finds an entry when
// it starts died while handling that object; an object that the server died on three times is quarantined: its
// controller does not plan it.
//
// The quarantine ends when the object changes (status excepted) or is deleted, with `berth down`, and with another
// version of Berth. Deaths below three are forgotten when the controller has handled the object completely: the server
// was then killed at an unlucky moment, and not by the object.
//
// With a supervisor the mapping is the supervisor's memory, inherited by fork. Without one it is the file "handling" in
// the directory; the kernel writes its dirty pages back about twice a minute. The counts are in "deaths.json", written
// when a server starts after a death and when deaths are forgotten. Owner: the server's loop.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::controllers {

struct Death {
  std::string controller;  // Controller::name()
  std::string key;
  int times = 0;
};

// Hash of the object without its status, resourceVersion and managedFields: a key stays set aside or quarantined while
// this hash is the same. 0 for null. Valid within one process.
std::uint64_t desired_hash(const Value& object);
// Prefix of the entries for reading a change of an object, which may be of another kind than the controller's own.
inline constexpr std::string_view kChangePrefix = "change of ";
std::string change_key(std::string_view resource, std::string_view ns, std::string_view name);
// Message of the event about an object in quarantine.
std::string quarantine_message(const Death& death);

class HandlingRecord {
 public:
  static constexpr int kDeathsToQuarantine = 3;

  // Puts the entries of all processes that are forked from now on into memory that they share with this process, for as
  // long as it lives. Called by the supervisor.
  static Status share_with_children();
  // `version`: of this program. Fails if the directory cannot be written. Damaged files count as empty.
  static Result<std::unique_ptr<HandlingRecord>> open(const std::string& directory, const std::string& version);
  // The quarantined keys according to the files in that directory; for other processes.
  static std::vector<Death> quarantined_in(const std::string& directory);
  ~HandlingRecord();
  HandlingRecord(const HandlingRecord&) = delete;

  // The quarantined keys of one controller.
  std::vector<Death> quarantined(std::string_view controller) const;
  bool has_deaths() const { return !deaths_.empty(); }
  void forget(std::string_view controller, std::string_view key);

  // The slot of a controller's entries; -1 if none is left: then no entries are stored.
  int slot_of(std::string_view controller);

  // Stores the key that is being handled, until destroyed. If guards of one controller are nested, the inner one
  // counts.
  class Mark {
   public:
    // `record` may be null.
    Mark(HandlingRecord* record, int slot, std::string_view key);
    // The key change_key(resource, ns, name), built in place without allocation.
    Mark(HandlingRecord* record, int slot, std::string_view resource, std::string_view ns, std::string_view name);
    ~Mark();
    Mark(const Mark&) = delete;

   private:
    void set_key(HandlingRecord* record, int slot, std::string_view key);
    char* at_ = nullptr;
    std::string outer_;
  };

 private:
  HandlingRecord(std::string directory, std::string version, char* map, bool file_backed);
  void count_deaths(const char* slots);
  void save() const;

  std::string directory_, version_;
  char* map_;
  bool file_backed_;
  int slots_ = 0;
  std::vector<Death> deaths_;
};

}  // namespace berth::controllers
