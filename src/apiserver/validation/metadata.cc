#include <algorithm>
#include <set>

#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::size_t kAnnotationBytes = 256 * 1024;

std::vector<std::string> check_name(std::string_view name, NameRule rule, bool prefix) {
  // The random part of a generateName takes the place of a dash at its end, and of the character before it.
  std::string text(name);
  if (prefix && rule != NameRule::kPathSegment && text.size() > 1 && text.back() == '-') {
    text.pop_back();
    text.back() = 'a';
  }
  switch (rule) {
    case NameRule::kLabel: return is_dns1123_label(text);
    case NameRule::kSet: return is_set_name(text);
    case NameRule::kLabel1035: return is_dns1035_label(text);
    case NameRule::kSubdomain: return is_dns1123_subdomain(text);
    case NameRule::kLongName: {
      std::vector<std::string> out = is_dns1123_subdomain(text);
      if (text.size() > 253) out[0] = "must be no more than 253 bytes";
      return out;
    }
    case NameRule::kPathSegment: return is_path_segment(text);
  }
  return {};
}

// As JSON with the fields in the order of Go's struct.
std::string shown_references(const Value& references) {
  std::string out = "[";
  for (const Value& reference : references) {
    out += out.size() > 1 ? ",{" : "{";
    bool first = true;
    for (const char* field : {"apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"}) {
      if (reference[field].is_null()) continue;
      out += (first ? "\"" : ",\"") + std::string(field) + "\":" + json::encode(reference[field]);
      first = false;
    }
    out += "}";
  }
  return out + "]";
}

// Upstream reports what is wrong with a reference at the list, without the reference's index.
void validate_owner_references(Report& report, const Path& path, const Value& references) {
  std::string controller;
  for (const Value& reference : references) {
    const std::string_view version = reference["apiVersion"].as_string();
    if (version.empty() || version.ends_with('/') || std::count(version.begin(), version.end(), '/') > 1) {
      report.invalid(path / "apiVersion", version, "version must not be empty");
    }
    for (const char* field : {"kind", "name", "uid"}) {
      if (reference[field].as_string().empty()) report.invalid(path / field, "", "must not be empty");
    }
    if (version == "v1" && reference["kind"].as_string() == "Event")
      report.invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner");
    if (!reference["controller"].as_bool()) continue;
    if (!controller.empty()) {
      report.invalid_shown(path, shown_references(references),
                           "Only one reference can have Controller set to true. Found \"true\" in references for " +
                               controller + " and " + reference["kind"].str() + "/" + reference["name"].str());
    }
    controller = reference["kind"].str() + "/" + reference["name"].str();
  }
}

void validate_finalizers(Report& report, const Path& path, const Value& finalizers, NameRule rule) {
  bool orphan = false, foreground = false;
  std::size_t index = 0;
  for (const Value& finalizer : finalizers) {
    const std::string_view name = finalizer.as_string();
    report.complaints(path, finalizer, is_qualified_name(name));
    orphan = orphan || name == "orphan";
    foreground = foreground || name == "foregroundDeletion";
    // Only the kinds with a name rule of their own are asked for standard names.
    const Path here = path.at(index++);
    if (rule != NameRule::kPathSegment) validate_finalizer_name(report, here, name);
  }
  if (orphan && foreground)
    report.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
}

}  // namespace

void validate_finalizer_name(Report& report, const Path& path, std::string_view name) {
  const bool standard = name == "kubernetes" || name == "orphan" || name == "foregroundDeletion";
  if (name.find('/') == std::string_view::npos && !standard) {
    report.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified");
  }
}

void validate_labels(Report& report, const Path& path, const Value& labels) {
  for (auto [key, value] : labels.entries()) {
    report.complaints(path, key, is_qualified_name(key));
    report.complaints(path, value, is_label_value(value.as_string()));
  }
}

void validate_annotations(Report& report, const Path& path, const Value& annotations) {
  std::size_t bytes = 0;
  for (auto [key, value] : annotations.entries()) {
    report.complaints(path, key, is_qualified_name(lower(key)));
    bytes += key.size() + value.as_string().size();
  }
  if (bytes > kAnnotationBytes) report.add(api::too_long(path.text(), "", static_cast<int>(kAnnotationBytes)));
}

// The metadata of a claim inside of a pod: labels and annotations, nothing else.
void check_template_metadata(Report& report, const Path& path, const Value& metadata) {
  validate_annotations(report, path / "annotations", metadata["annotations"]);
  validate_labels(report, path / "labels", metadata["labels"]);
  for (json::Entry entry : metadata.entries()) {
    if (entry.key == "annotations" || entry.key == "labels" || entry.value.is_null()) continue;
    report.forbidden(path / (entry.key == "uid" ? "uID" : entry.key), "cannot be set");
  }
}

void validate_metadata(Report& report, const Value& metadata, bool namespaced, NameRule rule) {
  const Path path("metadata");
  std::string_view name = metadata["name"].as_string(), generate = metadata["generateName"].as_string();
  if (!generate.empty()) report.complaints(path / "generateName", generate, check_name(generate, rule, true));
  if (name.empty() && generate.empty()) {
    report.required(path / "name", "name or generateName is required");
  } else if (!name.empty()) {
    report.complaints(path / "name", name, check_name(name, rule, false));
  }
  std::string_view ns = metadata["namespace"].as_string();
  if (namespaced) {
    if (ns.empty()) {
      report.required(path / "namespace");
    } else {
      report.complaints(path / "namespace", ns, is_dns1123_label(ns));
    }
  } else if (!ns.empty()) {
    report.forbidden(path / "namespace", "not allowed on this type");
  }
  report.not_negative(path / "generation", metadata["generation"]);
  validate_labels(report, path / "labels", metadata["labels"]);
  validate_annotations(report, path / "annotations", metadata["annotations"]);
  validate_owner_references(report, path / "ownerReferences", metadata["ownerReferences"]);
  validate_finalizers(report, path / "finalizers", metadata["finalizers"], rule);
}

void validate_immutable(Report& report, const Path& path, const Value& before, const Value& after) {
  if (before != after) report.invalid(path, after, "field is immutable");
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
      report.forbidden(path + ".finalizers",
                       "no new finalizers can be added if the object is being deleted, found new finalizers []string{" +
                           join(added, ", ") + "}");
    }
  }
  if (after["generation"].as_int() < before["generation"].as_int())
    report.invalid(path + ".generation", after["generation"], "must not be decremented");
  for (const char* field :
       {"name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    validate_immutable(report, path + "." + field, before[field], after[field]);
  }
  validate_owner_references(report, path + ".ownerReferences", after["ownerReferences"]);
}

void validate_label_selector(Report& report, const Path& path, const Value& selector) {
  validate_labels(report, path / "matchLabels", selector["matchLabels"]);
  const Path expressions = path / "matchExpressions";
  static const Value kEmpty("");
  std::size_t index = 0;
  for (const Value& expression : selector["matchExpressions"]) {
    const Path here = expressions.at(index++), values = here / "values";
    const std::string_view op = expression["operator"].as_string();
    if ((op == "In" || op == "NotIn") && expression["values"].empty()) {
      report.required(values, "must be specified when `operator` is 'In' or 'NotIn'");
    } else if ((op == "Exists" || op == "DoesNotExist") && !expression["values"].empty()) {
      report.forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (op != "In" && op != "NotIn" && op != "Exists" && op != "DoesNotExist") {
      report.invalid(here / "operator", op, "not a valid selector operator");
    }
    report.complaints(here / "key", expression["key"].is_null() ? kEmpty : expression["key"],
                      is_qualified_name(expression["key"].as_string()));
    std::size_t value_index = 0;
    for (const Value& value : expression["values"]) {
      report.complaints(values.at(value_index++), value, is_label_value(value.as_string()));
    }
  }
}

}  // namespace berth::apiserver::validation
