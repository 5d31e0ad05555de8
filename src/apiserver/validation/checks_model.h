#pragma once
// What a .checks file is compiled to. Internal to validation/: checks.cc runs it, checks_parse.cc makes it.

#include <cstdint>
#include <string>
#include <vector>

#include "apiserver/validation/checks.h"

namespace berth::apiserver::validation {

using Complaints = std::vector<std::string> (*)(std::string_view text);

struct Rule {
  enum class Kind {
    kRequired,
    kOptional,  // end the line's rules where there is nothing
    kOneOf,
    kRange,
    kMin,
    kPositive,
    kFormat,  // of a string, or of each element's text
    kPortOrName,
    kFileMode,
    kQuantityMin0,
    kQuantityPositive,
    kMaxBytes,
    kMaxItems,
    kUnique,
    kLabels,
    kAnnotations,
    kSelector,
    kEach,
    kEachHere,
    kEachKey,  // the rest of the line's rules are about the elements
    kAt,       // the rest is reported under another name
    kInto,
    kUnion,
    kCall,
    kForbidden,
  };
  Kind kind = Kind::kRequired;
  std::int64_t low = 0, high = 0;
  std::vector<std::string> words;  // of kOneOf, kUnion: the values, the members; of kUnique and kAt: one name
  std::vector<std::string> texts;  // what follows a ':'; in place of upstream's usual words
  Complaints format = nullptr;
  CheckFunction call = nullptr;
  const CheckBlock* block = nullptr;               // kInto
  std::vector<const api::schema::Field*> members;  // kUnion
  std::vector<const CheckBlock*> member_blocks;    // kUnion; null: nothing to check in there
  std::vector<std::string> inner_names,
      more_names;  // kUnion: what a member is called in there, and where it is one too many
};

struct CheckLine {
  std::string name;                           // of the member; empty: the value itself
  const api::schema::Field* field = nullptr;  // null: the value itself
  std::vector<Rule> rules;
};

class CheckBlock {
 public:
  std::string name;
  const api::schema::Type* type = nullptr;
  std::vector<CheckLine> lines;
};

}  // namespace berth::apiserver::validation
