#pragma once
// HandlingRecord: which object each controller is handling at this moment, kept where it outlives the process: in a
// small shared mapping, so that noting it costs a copy of the name and no system call. A server that finds a note at
// its start has died there; an object that it died on three times is in quarantine: its controller leaves it alone.
//
// The quarantine ends when the object changes (all but its status counts) or is deleted, with `berth down`, and with
// another version of Berth. Deaths that did not lead to one are forgotten once the controller has handled the object to
// the end: then the server was killed at a bad moment, and not by the object.
//
// The mapping is the supervisor's memory, which a server has from it by fork, or without a supervisor the file
// "handling" in the directory: its pages go to the disk twice a minute, as there is always something to be handled. The
// counts are in "deaths.json" (written at a start after a death, and when they are forgotten). Owner: the server's
// loop.

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

// What the object asks for, without what controllers and agents say of it (its status): an object that is left alone is
// so until this differs. 0 for null. Holds within one process.
std::uint64_t version_of(const Value& object);
// What stands for reading a change of an object, which may be of another kind than the controller's own.
inline constexpr std::string_view kChangeOf = "change of ";
std::string change_key(std::string_view resource, std::string_view ns, std::string_view name);
// Of the event about an object in quarantine.
std::string quarantine_message(const Death& death);

class HandlingRecord {
 public:
  static constexpr int kDeathsToQuarantine = 3;

  // The notes of all processes that are forked from this one from now on are in memory that it shares with them, for as
  // long as it lives. For the supervisor.
  static Status share_with_children();
  // `version`: of this program. Fails where the directory cannot be written. Damaged files count as empty.
  static Result<std::unique_ptr<HandlingRecord>> open(const std::string& directory, const std::string& version);
  // What is in quarantine by the files of that directory; for other processes.
  static std::vector<Death> quarantined_in(const std::string& directory);
  ~HandlingRecord();
  HandlingRecord(const HandlingRecord&) = delete;

  // The keys of one controller.
  std::vector<Death> quarantined(std::string_view controller) const;
  bool has_deaths() const { return !deaths_.empty(); }
  void forget(std::string_view controller, std::string_view key);

  // The slot of a controller's notes; -1, which notes nothing, where there are none left.
  int slot_of(std::string_view controller);

  // Notes that a key is being handled, until destroyed. Within another one of the same controller the inner one counts.
  class Note {
   public:
    // `record` may be null.
    Note(HandlingRecord* record, int slot, std::string_view key);
    // The key change_key(resource, ns, name), put together in place.
    Note(HandlingRecord* record, int slot, std::string_view resource, std::string_view ns, std::string_view name);
    ~Note();
    Note(const Note&) = delete;

   private:
    void begin(HandlingRecord* record, int slot, std::string_view key);
    char* at_ = nullptr;
    std::string outer_;
  };

 private:
  HandlingRecord(std::string directory, std::string version, char* map, bool of_file);
  void count_deaths(const char* notes);
  void save() const;

  std::string directory_, version_;
  char* map_;
  bool of_file_;
  int slots_ = 0;
  std::vector<Death> deaths_;
};

}  // namespace berth::controllers
