#include "apiserver/admission/runtime_class.h"

#include "api/plain_error.h"
#include "api/status.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::admission {
namespace {

const api::Resource kRuntimeClasses{"node.k8s.io", "v1", "runtimeclasses"};

Error refuse(const Value& pod, const std::string& why) {
  return api::forbidden(api::resources::kPods, api::name_of(pod), why);
}

// Whether `wide` tolerates everything that `narrow` does.
bool is_superset(const Value& wide, const Value& narrow) {
  if (wide == narrow) return true;
  auto text = [](const Value& of, const char* field) { return of[field].as_string(); };
  const std::string_view op = text(wide, "operator");
  if (text(wide, "key") != text(narrow, "key") && (!text(wide, "key").empty() || op != "Exists")) return false;
  if (text(wide, "effect") != text(narrow, "effect") && !text(wide, "effect").empty()) return false;
  if (text(wide, "effect") == "NoExecute" && wide["tolerationSeconds"].is_int()) {
    const Value& seconds = narrow["tolerationSeconds"];
    if (!seconds.is_int() || seconds.as_int() > wide["tolerationSeconds"].as_int()) return false;
  }
  if (op == "Exists") return true;
  return (op.empty() || op == "Equal") && text(narrow, "operator") == "Equal" &&
         text(narrow, "value") == text(wide, "value");
}

// Both lists, without tolerations that another one covers.
Value merged_tolerations(const Value& first, const Value& second) {
  std::vector<Value> all(first.begin(), first.end());
  all.insert(all.end(), second.begin(), second.end());
  Value out = Value::array();
  for (std::size_t i = 0; i < all.size(); ++i) {
    bool covered = false;
    for (const Value& kept : out) covered = covered || is_superset(kept, all[i]);
    for (std::size_t k = i + 1; k < all.size() && !covered; ++k)
      covered = all[k] != all[i] && is_superset(all[k], all[i]);
    if (!covered) out.push(all[i]);
  }
  return out;
}

Status add_scheduling(const Value& scheduling, Value& pod) {
  Value& spec = pod.mut("spec");
  for (auto [key, value] : scheduling["nodeSelector"].entries()) {
    const Value& own = spec["nodeSelector"][key];
    if (!own.is_null() && own != value) {
      const std::string name(key);
      return refuse(pod, "conflict: runtimeClass.scheduling.nodeSelector[" + name + "] = " + value.str() +
                             "; pod.spec.nodeSelector[" + name + "] = " + own.str());
    }
    spec.mut("nodeSelector").set(key, value);
  }
  if (!scheduling["tolerations"].empty())
    spec.set("tolerations", merged_tolerations(spec["tolerations"], scheduling["tolerations"]));
  return ok_status();
}

constexpr const char* kMismatch = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

store::RecordPtr class_of(const Request& request, const Value& pod) {
  const Value& name = pod["spec"]["runtimeClassName"];
  return name.is_null() ? nullptr : request.objects.find(kRuntimeClasses, "", name.as_string());
}

}  // namespace

Status admit_runtime_class(const Request& request, Value& pod) {
  const Value name = pod["spec"]["runtimeClassName"];
  if (name.is_null()) return ok_status();
  if (name.as_string().empty()) return api::plain_error("resource name may not be empty");
  if (const std::vector<std::string> problems = validation::is_path_segment(name.as_string()); !problems.empty()) {
    return api::plain_error("invalid resource name " + quoted(name.as_string()) + ": [" + join(problems, " ") + "]");
  }
  const store::RecordPtr found = class_of(request, pod);
  if (!found) return refuse(pod, "pod rejected: RuntimeClass " + quoted(name.as_string()) + " not found");
  const Value& overhead = found->value["overhead"];
  if (overhead.is_object()) {
    const Value& own = pod["spec"]["overhead"];
    if (!own.empty() && own != overhead["podFixed"]) return refuse(pod, kMismatch);
    if (!overhead["podFixed"].is_null()) pod.mut("spec").set("overhead", overhead["podFixed"]);
  }
  return found->value["scheduling"].is_object() ? add_scheduling(found->value["scheduling"], pod) : ok_status();
}

Status check_overhead(const Change& change) {
  if (!change.creates()) return ok_status();
  const Request& request = change.request;
  const Value &pod = change.after, &own = change.sent["spec"]["overhead"];
  const store::RecordPtr found = class_of(request, pod);
  const Value defined = found ? found->value["overhead"] : Value();
  if (!defined.is_object()) {
    if (own.is_null()) return ok_status();
    return refuse(pod, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
  }
  const bool same = own == defined["podFixed"] || (own.empty() && defined["podFixed"].empty());
  return same ? ok_status() : Status(refuse(pod, kMismatch));
}

}  // namespace berth::apiserver::admission
