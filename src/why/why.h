#pragma once
// Explains what an object waits for: the chain from the object down to the node, as lines. Pure: objects and the time
// go in, a report comes out. The command `berth why` fetches the objects and prints the report.

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time/time.h"
#include "client/client.h"

namespace berth::why {

enum class Severity {
  kGood,     // as desired
  kNote,     // worth knowing; nothing waits for it
  kWaiting,  // in progress: may resolve with time
  kBroken,   // does not resolve without an action
};

struct Line {
  int depth = 0;  // a line's children follow it, one level deeper
  Severity severity = Severity::kGood;
  std::string object;         // "pod/web-1", "container db"
  std::string state;          // short: "Running", "1 of 3 ready"
  std::optional<Time> since;  // of that state
  std::string why;            // one or two sentences without the full stop; may be empty
  std::string hint;           // a command or an action; may be empty
};

struct WhyReport {
  std::deque<Line> lines;  // the first is the object of the question
  bool waiting() const { return !lines.empty() && lines.front().severity >= Severity::kWaiting; }
  // The innermost line that the first one waits for; null if nothing is waited for.
  const Line* cause() const;
  // One sentence: the waiting object, what it waits for, since when, and why.
  std::string summary(Time now) const;
};

// Provides the objects. A source may return nothing for objects that it has not fetched yet, and be called again; while
// `complete` returns false a report is preliminary.
class ObjectSource {
 public:
  virtual ~ObjectSource() = default;
  virtual Value object(const api::Resource& resource, const api::Name& name) = 0;  // null: the object does not exist
  virtual std::vector<Value> list(const api::Resource& resource, const api::ListOptions& options) = 0;
  virtual bool complete() const { return true; }
};

struct Question {
  api::Resource resource;
  api::Name name;
  bool spell_namespace = false;  // the namespace is part of commands in hints
};

// The kind for a name that kubectl accepts ("sts", "pods", "deployment.apps").
Result<api::Resource> resource_named(std::string_view word);

// Fails if the object does not exist.
Result<WhyReport> explain(const Question& question, ObjectSource& source, Time now);

}  // namespace berth::why
