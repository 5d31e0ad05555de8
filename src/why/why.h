#pragma once
// What is being waited for: the chain from an object down to the node, told in lines. Pure: objects and the time in, a
// report out. The command `berth why` fetches the objects and prints the report.

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time/time.h"
#include "client/client.h"

namespace berth::why {

enum class Severity {
  kGood,     // as it should be
  kNote,     // worth knowing; nothing waits for it
  kWaiting,  // under way: time alone may do
  kBroken,   // goes on like this until something is done about it
};

struct Line {
  int depth = 0;  // of the tree; a line's children follow it, one deeper
  Severity severity = Severity::kGood;
  std::string object;         // "pod/web-1", "container db"
  std::string state;          // a word or two: "Running", "1 of 3 ready"
  std::optional<Time> since;  // of that state
  std::string why;            // a sentence or two, without the full stop; may be empty
  std::string hint;           // a command, or what to do; may be empty
};

struct Report {
  std::deque<Line> lines;  // the first is what was asked about
  bool waiting() const { return !lines.empty() && lines.front().severity >= Severity::kWaiting; }
  // The innermost line that the first one waits for; null where nothing is waited for.
  const Line* cause() const;
  // One sentence: who waits for what, since when, and why.
  std::string summary(Time now) const;
};

// Where the objects come from. A source may answer "nothing" for what it has not fetched yet, and be asked again later;
// until `complete`, a report made with it is not worth printing.
class Source {
 public:
  virtual ~Source() = default;
  virtual Value object(const api::Resource& resource, const api::Name& name) = 0;  // null: there is none
  virtual std::vector<Value> list(const api::Resource& resource, const api::ListOptions& options) = 0;
  virtual bool complete() const { return true; }
};

struct Question {
  api::Resource resource;
  api::Name name;
  bool spell_namespace = false;  // commands in hints name the namespace
};

// The kinds that can be asked about, by the names that kubectl takes ("sts", "pods", "deployment.apps").
Result<api::Resource> resource_named(std::string_view word);

// Fails where there is no such object.
Result<Report> explain(const Question& question, Source& source, Time now);

}  // namespace berth::why
