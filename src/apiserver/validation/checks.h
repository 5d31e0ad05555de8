#pragma once
// Checks: validation as data. The files schema/*.checks (docs/formats/schema.md, "Checks") say, type by type, what a
// value must be where upstream's rule is a pattern: required, a range, a closed set, a format, unique, one of several.
// They are embedded in the binary and compiled once; running them allocates nothing unless something is wrong. What
// depends on more than the value itself is code: functions that a `call(NAME)` rule or a caller in validation/ runs.
// Immutable once loaded; any thread.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/schema/schema.h"
#include "apiserver/validation/report.h"

namespace berth::apiserver::validation {

class CheckBlock;  // the checks of one type

// What a `call(NAME)` rule runs. The value is the field's (null where absent).
using CheckFunction = void (*)(Report& report, const Path& path, const Value& value);
// By name; null where there is none. The table is in check_functions.cc.
CheckFunction check_function(std::string_view name);

class CheckSet {
 public:
  virtual ~CheckSet() = default;
  virtual const CheckBlock* find(const api::schema::Type& type) const = 0;  // null: the type has no checks
  virtual const CheckBlock* find(std::string_view name) const = 0;          // "core.Probe"
};

// Of the embedded files. Ends the process where one is malformed (a defect of the build).
const CheckSet& builtin_checks();
// For tests and for builtin_checks(). The error says file, line and what was expected.
Result<std::unique_ptr<CheckSet>> parse_checks(const api::schema::Schema& schema,
                                               const std::vector<std::pair<std::string_view, std::string_view>>& files);

// The block of that name ("core.Probe"), which must exist. Meant for a static of the caller.
const CheckBlock& checks_of(std::string_view name);

// Applies the block to an object of its type at `path`, in the order of the file.
void run_checks(Report& report, const Path& path, const CheckBlock& block, const Value& object);

}  // namespace berth::apiserver::validation
