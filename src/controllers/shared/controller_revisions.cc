#include "controllers/shared/controller_revisions.h"

#include <algorithm>

#include "api/object.h"
#include "api/schema/schema.h"
#include "api/set_options.h"
#include "base/text.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers {
namespace {

constexpr std::string_view kHashLabel = "controller.kubernetes.io/hash";
constexpr std::string_view kClaimTemplates = "berth.dev/claim-templates";  // on a revision: JSON
constexpr std::size_t kLongestPrefix = 223;

void sort_by_number(std::vector<Value>& revisions) {
  std::sort(revisions.begin(), revisions.end(), [](const Value& a, const Value& b) {
    const auto x = a["revision"].as_int(), y = b["revision"].as_int();
    if (x != y) return x < y;
    const auto s = a["metadata"]["creationTimestamp"].as_string(), t = b["metadata"]["creationTimestamp"].as_string();
    return s != t ? s < t : api::name_of(a) < api::name_of(b);
  });
}

// Go's JSON encoder writes these three characters as escapes; the hash is over its output.
std::string go_encoded(const Value& value) {
  std::string out;
  for (char c : json::encode(value)) {
    switch (c) {
      case '<': out += "\\u003c"; break;
      case '>': out += "\\u003e"; break;
      case '&': out += "\\u0026"; break;
      default: out += c;
    }
  }
  return out;
}

Value without_null_time(Value data) {
  // Releases before 1.34 wrote `creationTimestamp: null` into the template.
  const Value* stamp = data["spec"]["template"]["metadata"].find("creationTimestamp");
  if (stamp && stamp->is_null()) data.mut("spec").mut("template").mut("metadata").erase("creationTimestamp");
  if (data["spec"]["template"].contains("metadata") && data["spec"]["template"]["metadata"].empty()) {
    data.mut("spec").mut("template").erase("metadata");
  }
  return data;
}

bool notes_claim_templates(const Value& set) { return api::annotation_of(set, api::kClaimTemplateUpdates) == "true"; }

Value make_revision(const Value& set, const Value& data, std::int64_t number, int collision_count) {
  const std::string hash = revision_hash(data, collision_count);
  const std::string prefix = std::string(api::name_of(set)).substr(0, kLongestPrefix);
  const Value& template_labels = set["spec"]["template"]["metadata"]["labels"];
  Value labels = template_labels.is_object() ? template_labels : Value::object();
  labels.set(kHashLabel, hash);
  Value metadata =
      Value::object({{"name", prefix + "-" + hash},
                     {"namespace", api::namespace_of(set)},
                     {"labels", std::move(labels)},
                     {"ownerReferences", Value::array({api::controller_reference(set, "apps/v1", "StatefulSet")})}});
  if (!set["metadata"]["annotations"].empty()) metadata.set("annotations", set["metadata"]["annotations"]);
  if (notes_claim_templates(set))
    metadata.mut("annotations").set(kClaimTemplates, json::encode(set["spec"]["volumeClaimTemplates"]));
  return Value::object({{"apiVersion", "apps/v1"},
                        {"kind", "ControllerRevision"},
                        {"metadata", std::move(metadata)},
                        {"data", data},
                        {"revision", number}});
}

}  // namespace

Value revision_data(const Value& set) {
  Value pod_template = set["spec"]["template"].is_object() ? set["spec"]["template"] : Value::object();
  pod_template.set("$patch", "replace");
  return Value::object({{"spec", Value::object({{"template", std::move(pod_template)}})}});
}

bool same_data(const Value& a, const Value& b) {
  if (a == b) return true;
  auto normal = [](const Value& data) {
    Value out = without_null_time(data);
    Value& pod_template = out.mut("spec").mut("template");
    if (pod_template["spec"].is_object()) api::schema::apply_pod_spec_defaults(pod_template.mut("spec"));
    return out;
  };
  return normal(a) == normal(b);
}

Value claim_templates_of(const Value& revision) {
  const Result<Value> noted = json::parse(api::annotation_of(revision, kClaimTemplates));
  return noted.ok() && noted->is_array() ? *noted : Value();
}

Value template_of(const Value& revision) {
  Value pod_template = revision["data"]["spec"]["template"];
  if (pod_template.is_object()) pod_template.erase("$patch");
  return pod_template;
}

std::string revision_hash(const Value& data, int collision_count) {
  std::uint32_t hash = 2166136261u;
  for (unsigned char c : go_encoded(data) + std::to_string(collision_count)) {
    hash *= 16777619u;
    hash ^= c;
  }
  return safe_encode(std::to_string(hash));
}

Revisions choose_revisions(const Value& set, std::vector<Value> known, const Lookup& by_name) {
  sort_by_number(known);
  Revisions out;
  out.collision_count = static_cast<int>(set["status"]["collisionCount"].as_int(0));
  const Value data = revision_data(set);
  const std::int64_t next = known.empty() ? 1 : number_after(known.back()["revision"].as_int());

  auto equal =
      std::find_if(known.rbegin(), known.rend(), [&](const Value& one) { return same_data(one["data"], data); });
  if (equal == known.rbegin() && equal != known.rend()) {
    out.update = *equal;
  } else if (equal != known.rend()) {
    // Rolled back to an earlier template: its revision becomes the newest again.
    out.update = *equal;
    if (out.update["revision"].as_int() < next) {
      out.update.set("revision", next);
      out.write = Revisions::Write::kUpdate;
    }
  } else {
    out.write = Revisions::Write::kCreate;
    while (true) {
      out.update = make_revision(set, data, next, out.collision_count);
      const Value& taken = by_name(std::string(api::name_of(out.update)));
      if (taken.is_null()) break;
      if (same_data(taken["data"], data)) {
        out.update = taken;
        out.write = Revisions::Write::kNone;
        break;
      }
      ++out.collision_count;
    }
  }
  if (notes_claim_templates(set) && equal != known.rend() &&
      claim_templates_of(out.update) != set["spec"]["volumeClaimTemplates"]) {
    out.update.mut("metadata")
        .mut("annotations")
        .set(kClaimTemplates, json::encode(set["spec"]["volumeClaimTemplates"]));
    out.write = Revisions::Write::kUpdate;
  }
  const std::string_view current = set["status"]["currentRevision"].as_string();
  auto found = std::find_if(known.begin(), known.end(), [&](const Value& one) { return api::name_of(one) == current; });
  out.current = found == known.end() ? out.update : *found;
  return out;
}

std::vector<Value> surplus_revisions(std::vector<Value> known, const std::vector<std::string>& live, int limit) {
  sort_by_number(known);
  std::erase_if(known,
                [&](const Value& one) { return std::find(live.begin(), live.end(), api::name_of(one)) != live.end(); });
  const std::size_t keep = static_cast<std::size_t>(std::max(0, limit));
  if (known.size() <= keep) return {};
  known.resize(known.size() - keep);
  return known;
}

}  // namespace berth::controllers
