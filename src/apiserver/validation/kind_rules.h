#pragma once
// KindRules: the validation and the warnings of objects of one kind. One row a kind, in kind_rules.cc; a kind
// without a row has the defaults below. Internal to validation/.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/schema/schema.h"
#include "apiserver/validation/report.h"

namespace berth::apiserver::validation {

// How often upstream validates the metadata of an update, and so how often each cause is in its answer: causes of
// fields that may not change, and of labels, annotations and owners.
struct CauseRepeats {
  int unchanged = 2, content = 4;
};

using Warnings = std::vector<std::string>;
using CreateRule = void (*)(Report& report, const Value& object);
using UpdateRule = void (*)(Report& report, const Value& before, const Value& after);

struct SubresourceRule {
  std::string_view subresource;
  UpdateRule rule;
};

void validate_nothing(Report& report, const Value& object);
void validate_plain_update(Report& report, const Value& before, const Value& after);  // the metadata alone

struct KindRules {
  std::string_view group, kind;

  NameRule name = NameRule::kSubdomain;  // kPathSegment: metadata is validated only where all else is right
  CreateRule create = validate_nothing;
  UpdateRule update = validate_plain_update;
  bool update_checks_all = false;  // an update is validated with the rules of a new object too
  CauseRepeats repeats = {};
  std::span<const SubresourceRule> subresources = {};  // besides the metadata, which every write is validated for
  UpdateRule status = nullptr;                         // of the subresource "status"

  // --- Warnings
  std::string_view pod_template = {};  // its path in objects of the kind; empty: there is none
  bool names_pods = false;             // pods have the object's name in theirs
  void (*warn_change)(const Value& before, const Value& after, Warnings& warnings) = nullptr;  // `before`: null: new
  void (*warn)(const Value& object, Warnings& warnings) = nullptr;
  bool warns_of_new = false;  // `warn` is for new objects only
};

const KindRules& rules_of(const api::schema::Kind& kind);

}  // namespace berth::apiserver::validation
