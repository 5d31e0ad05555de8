#include <set>

#include "api/selector.h"
#include "api/validation/report.h"
#include "api/validation/validation.h"
#include "base/text.h"

namespace berth::validation {
namespace {

constexpr std::size_t kAnnotationBytes = 256 * 1024;

std::vector<std::string> check_name(std::string_view name, NameRule rule, bool prefix) {
  // A generateName may end in a dash: the random part follows.
  std::string text(name);
  if (prefix && text.size() > 1 && text.back() == '-') text.back() = 'a';
  switch (rule) {
    case NameRule::kLabel:
      return is_dns1123_label(text);
    case NameRule::kSet:
      return is_set_name(text);
    case NameRule::kLabel1035:
      return is_dns1035_label(text);
    case NameRule::kSubdomain:
      return is_dns1123_subdomain(text);
    case NameRule::kPathSegment:
      break;
  }
  if (text == "." || text == "..") return {"may not be '" + text + "'"};
  std::vector<std::string> out;
  for (const char* bad : {"/", "%"}) {
    if (text.find(bad) != std::string::npos) out.push_back("may not contain '" + std::string(bad) + "'");
  }
  return out;
}

void validate_owner_references(Report& report, const std::string& path, const Value& references) {
  std::size_t index = 0;
  std::string controller;
  for (const Value& reference : references) {
    std::string here = at(path, index++);
    Cut version = cut(reference["apiVersion"].as_string(), "/");
    if (reference["apiVersion"].as_string().empty() || (version.found && version.after.empty())) {
      report.invalid(here + ".apiVersion", reference["apiVersion"].as_string(), "version must not be empty");
    }
    for (const char* field : {"kind", "name", "uid"}) {
      if (reference[field].as_string().empty()) report.invalid(here + "." + field, "", std::string(field) + " must not be empty");
    }
    if (!reference["controller"].as_bool()) continue;
    if (!controller.empty()) {
      report.invalid_shown(path, json::encode(references),
                           "Only one reference can have Controller set to true. Found \"true\" in references for " + controller + " and " +
                               reference["kind"].str() + "/" + reference["name"].str());
    }
    controller = reference["kind"].str() + "/" + reference["name"].str();
  }
}

}  // namespace

void validate_labels(Report& report, const std::string& path, const Value& labels) {
  for (auto [key, value] : labels.entries()) {
    report.complaints(path, key, is_qualified_name(key));
    report.complaints(path, value, is_label_value(value.as_string()));
  }
}

void validate_annotations(Report& report, const std::string& path, const Value& annotations) {
  std::size_t bytes = 0;
  for (auto [key, value] : annotations.entries()) {
    report.complaints(path, key, is_qualified_name(lower(key)));
    bytes += key.size() + value.as_string().size();
  }
  if (bytes > kAnnotationBytes) report.add(api::too_long(path, "", static_cast<int>(kAnnotationBytes)));
}

void validate_metadata(Report& report, const Value& metadata, bool namespaced, NameRule rule) {
  const std::string path = "metadata";
  std::string_view name = metadata["name"].as_string(), generate = metadata["generateName"].as_string();
  if (!generate.empty()) report.complaints(path + ".generateName", generate, check_name(generate, rule, true));
  if (name.empty() && generate.empty()) {
    report.required(path + ".name", "name or generateName is required");
  } else if (!name.empty()) {
    report.complaints(path + ".name", name, check_name(name, rule, false));
  }
  std::string_view ns = metadata["namespace"].as_string();
  if (namespaced) {
    if (ns.empty()) {
      report.required(path + ".namespace");
    } else {
      report.complaints(path + ".namespace", ns, is_dns1123_label(ns));
    }
  } else if (!ns.empty()) {
    report.forbidden(path + ".namespace", "not allowed on this type");
  }
  report.not_negative(path + ".generation", metadata["generation"]);
  validate_labels(report, path + ".labels", metadata["labels"]);
  validate_annotations(report, path + ".annotations", metadata["annotations"]);
  validate_owner_references(report, path + ".ownerReferences", metadata["ownerReferences"]);
  std::size_t index = 0;
  for (const Value& finalizer : metadata["finalizers"]) {
    std::string here = at(path + ".finalizers", index++);
    report.complaints(path + ".finalizers", finalizer, is_qualified_name(finalizer.as_string()));
    bool standard = finalizer.as_string() == "kubernetes" || finalizer.as_string() == "orphan" || finalizer.as_string() == "foregroundDeletion";
    if (finalizer.as_string().find('/') == std::string_view::npos && !standard) {
      report.invalid(here, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
    }
  }
}

void validate_immutable(Report& report, const std::string& path, const Value& before, const Value& after) {
  if (before == after) return;
  if (after.is_object() || after.is_array()) {
    report.invalid_shown(path, json::encode(after), "field is immutable");
  } else {
    report.invalid(path, after, "field is immutable");
  }
}

void validate_metadata_update(Report& report, const Value& before, const Value& after) {
  const std::string path = "metadata";
  if (!before["deletionTimestamp"].is_null()) {
    std::set<std::string_view> had;
    for (const Value& finalizer : before["finalizers"]) had.insert(finalizer.as_string());
    std::vector<std::string> added;
    for (const Value& finalizer : after["finalizers"]) {
      if (!had.contains(finalizer.as_string())) added.push_back(quoted(finalizer.as_string()));
    }
    if (!added.empty()) {
      report.forbidden(path + ".finalizers", "no new finalizers can be added if the object is being deleted, found new finalizers []string{" + join(added, ", ") + "}");
    }
  }
  if (after["generation"].as_int() < before["generation"].as_int()) report.invalid(path + ".generation", after["generation"], "must not be decremented");
  for (const char* field : {"name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    validate_immutable(report, path + "." + field, before[field], after[field]);
  }
}

void validate_label_selector(Report& report, const std::string& path, const Value& selector) {
  validate_labels(report, path + ".matchLabels", selector["matchLabels"]);
  std::size_t index = 0;
  for (const Value& expression : selector["matchExpressions"]) {
    std::string here = at(path + ".matchExpressions", index++);
    std::string_view op = expression["operator"].as_string();
    if ((op == "In" || op == "NotIn") && expression["values"].empty()) {
      report.required(here + ".values", "must be specified when `operator` is 'In' or 'NotIn'");
    } else if ((op == "Exists" || op == "DoesNotExist") && !expression["values"].empty()) {
      report.forbidden(here + ".values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (op != "In" && op != "NotIn" && op != "Exists" && op != "DoesNotExist") {
      report.invalid(here + ".operator", op, "not a valid selector operator");
    }
    report.complaints(here + ".key", expression["key"], is_qualified_name(expression["key"].as_string()));
    std::size_t value_index = 0;
    for (const Value& value : expression["values"]) {
      report.complaints(at(here + ".values", value_index++), value, is_label_value(value.as_string()));
    }
  }
}

}  // namespace berth::validation
