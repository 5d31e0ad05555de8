// The recorded creates of pods and of what makes pods (tests/data/recorded-1.36), answered as Kubernetes 1.36.2 did: code, causes,
// message and warnings. tools/replay compares the objects too, over HTTP.
#include <zlib.h>

#include <set>

#include "api/registry/test_registry.h"
#include "base/text.h"

namespace berth::registry {
namespace {

std::string unzipped(const std::string& name) {
  gzFile file = gzopen((BERTH_SOURCE_DIR "/tests/data/recorded-1.36/" + name).c_str(), "rb");
  EXPECT_NE(file, nullptr) << name;
  std::string text;
  if (file == nullptr) return text;
  char part[1 << 16];
  for (int n; (n = gzread(file, part, sizeof part)) > 0;) text.append(part, static_cast<std::size_t>(n));
  gzclose(file);
  return text;
}

// Writes `to` (null: nothing, the member goes) where `path` leads from its step `at`; what is missing on the way is made.
void write_at(Value& object, const Value& path, std::size_t at, const Value* to) {
  const Value& step = path[at];
  const bool last = at + 1 == path.size();
  if (step.is_int()) {
    const auto index = static_cast<std::size_t>(step.as_int());
    while (object.size() <= index) object.push(Value::object());
    if (last) {
      object.mut(index) = to ? *to : Value();
    } else {
      write_at(object.mut(index), path, at + 1, to);
    }
    return;
  }
  const std::string_view key = step.as_string();
  if (last) {
    if (to) {
      object.set(key, *to);
    } else {
      object.erase(key);
    }
    return;
  }
  if (!object[key].is_object() && !object[key].is_array()) object.set(key, path[at + 1].is_int() ? Value::array({}) : Value::object());
  write_at(object.mut(key), path, at + 1, to);
}

// Names that are made up differ each time.
std::string scrubbed(std::string_view text) {
  std::string out(text);
  constexpr std::string_view kToken = "kube-api-access-", kShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  for (std::size_t at = 0; (at = out.find(kToken, at)) != std::string::npos;) {
    at += kToken.size();
    if (out.compare(at, 1, "*") != 0) out.replace(at, std::min<std::size_t>(5, out.size() - at), "*");
  }
  auto is_uid = [&](std::size_t at) {
    for (std::size_t i = 0; i < kShape.size(); ++i) {
      if (kShape[i] == '-' ? out[at + i] != '-' : std::isxdigit(static_cast<unsigned char>(out[at + i])) == 0) return false;
    }
    return true;
  };
  for (std::size_t at = 0; at + kShape.size() <= out.size(); ++at) {
    if (is_uid(at)) out.replace(at, kShape.size(), "*");
  }
  return out;
}

// Without the start of the body, whose spaces are the client's.
std::string told(std::string_view message) {
  if (message.starts_with("the object provided is unrecognized")) message = message.substr(0, message.find(" ({"));
  return scrubbed(message);
}

// What counts of an answer, one line a fact, in any order; upstream says some causes twice.
using Facts = std::set<std::string>;

Facts recorded(const Value& row) {
  Facts facts{std::to_string(row["code"].as_int())};
  if (row.contains("varies")) return facts;
  for (const Value& cause : row["causes"]) facts.insert(cause[0].str() + " | " + cause[1].str() + " | " + cause[2].str());
  if (row["causes"].empty() && row["code"].as_int() >= 300) facts.insert(told(row["message"].as_string()));
  for (const Value& warning : row["warnings"]) facts.insert("warning: " + warning.str());
  return facts;
}

Facts answered(const Result<Answer>& answer, bool code_only) {
  if (answer.ok()) {
    Facts facts{std::to_string(answer->http)};
    for (const std::string& warning : answer->warnings) {
      if (!code_only) facts.insert("warning: " + warning);
    }
    return facts;
  }
  const Error& e = answer.error();
  Facts facts{std::to_string(api::http_code(e.code))};
  if (code_only) return facts;
  if (!e.details || e.details->causes.empty()) facts.insert(told(e.message));
  if (e.details) {
    for (const Cause& cause : e.details->causes) facts.insert(cause.field + " | " + cause.reason + " | " + scrubbed(cause.message));
  }
  return facts;
}

// Rows that are answered otherwise: names of runtime classes that are none, an empty overhead, and a namespace with dots in a
// field that is dropped.
bool known(const Value& row) {
  const std::string path = json::encode(row["set"]), to = json::encode(row["to"]);
  return (path.ends_with("\"runtimeClassName\"]") && (to == "\"\"" || to.find('/') != std::string::npos || to.find('%') != std::string::npos)) ||
         (path.ends_with("\"overhead\"]") && to == "{}") || path.ends_with("\"dataSourceRef\",\"namespace\"]");
}

class RecordedRequests : public RegistryFixture {};

TEST_F(RecordedRequests, PodsAndWorkloadsAreAnsweredAsRecorded) {
  const std::set<std::string_view> kinds = {"Pod",        "PodTemplate", "ReplicationController", "ReplicaSet", "Deployment",
                                            "StatefulSet", "DaemonSet",   "Job",                   "CronJob"};
  const Value bases = json::parse(unzipped("requests-bases.json.gz")).value();
  const std::string rows = unzipped("requests.jsonl.gz");
  int seen = 0;
  for (std::string_view line : split(rows, '\n')) {
    if (trim(line).empty()) continue;
    const Value row = json::parse(line).value();
    Value object = bases[row["base"].as_string()]["object"];
    if (!kinds.contains(object["kind"].as_string()) || known(row)) continue;
    ++seen;
    Call made = call(api::resources::kPods);
    made.kind = schema::builtin().find_kind(object["apiVersion"].as_string(), object["kind"].as_string());
    made.dry_run = true;
    const Value to = row["to"];
    write_at(object, row["set"], 0, row["op"].as_string() == "unset" ? nullptr : &to);
    made.body_start = "{";
    const Facts got = answered(wait([&](Done done) { registry_->create(made, object, std::move(done)); }), row.contains("varies"));
    EXPECT_EQ(got, recorded(row)) << row["base"].str() << " " << json::encode(row["set"]) << " " << json::encode(to);
  }
  EXPECT_GT(seen, 7000);
}

}  // namespace
}  // namespace berth::registry
