// The recorded updates (tests/data/recorded-1.36), answered as Kubernetes 1.36.2 did: code, causes, message, warnings,
// and what changed. With BERTH_RECORDED_DIFFERENCES naming a file, each row that is not goes there as a line of JSON.
#include <cstdlib>
#include <fstream>

#include "apiserver/registry/test_recorded.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

using recorded::Facts;

// Without what differs from run to run, members in the order of their names.
std::string plain(const Value& value) {
  if (value.is_array()) {
    std::string out = "[";
    for (const Value& item : value) out += plain(item) + ",";
    return out + "]";
  }
  if (value.is_object()) {
    std::map<std::string, std::string> members;
    for (auto [key, member] : value.entries()) members[std::string(key)] = plain(member);
    std::string out = "{";
    for (const auto& [key, text] : members) out += key + ":" + text + ",";
    return out + "}";
  }
  if (value.is_string() && value.as_string().starts_with("20") && parse_time(value.as_string()).ok()) return "\"*\"";
  return recorded::scrubbed(json::encode(value));
}

// One line for each place where two values differ.
void compare(const Value& before, const Value& after, const std::string& path, Facts& facts) {
  if (before.is_object() && after.is_object()) {
    for (auto [key, member] : before.entries()) {
      const std::string inner = path + "/" + std::string(key);
      if (after.contains(key)) {
        compare(member, after[key], inner, facts);
      } else {
        facts.insert(inner + " is gone");
      }
    }
    for (auto [key, member] : after.entries()) {
      if (!before.contains(key)) facts.insert(path + "/" + std::string(key) + " = " + plain(member));
    }
    return;
  }
  if (before.is_array() && after.is_array() && before.size() == after.size()) {
    for (std::size_t i = 0; i < before.size(); ++i) compare(before[i], after[i], path + "/" + std::to_string(i), facts);
    return;
  }
  if (before != after) facts.insert(path + " = " + plain(after));
}

Value without_versions(Value object) {
  object.mut("metadata").erase("resourceVersion");
  object.mut("metadata").erase("managedFields");
  return object;
}

Facts expected(const Value& row) {
  Facts facts = recorded::refusal(row);
  if (row.contains("varies")) return facts;
  if (row["code"].as_int() >= 300) facts.insert("reason: " + row["reason"].str());
  for (const Value& warning : row["warnings"]) {
    if (row["code"].as_int() < 300 && !recorded::is_of_version(warning)) facts.insert("warning: " + warning.str());
  }
  for (const Value& difference : row["diff"]) {
    std::string path;
    for (const Value& step : difference[0]) path += "/" + (step.is_int() ? std::to_string(step.as_int()) : step.str());
    facts.insert(difference.size() == 1 ? path + " is gone" : path + " = " + plain(difference[1]));
  }
  return facts;
}

Facts answered(const Value& stored, const Result<Answer>& answer, bool code_only) {
  Facts facts;
  if (answer.ok()) {
    facts.insert(std::to_string(answer->http));
    for (const std::string& warning : answer->warnings) {
      if (!code_only) facts.insert("warning: " + warning);
    }
    if (!code_only) compare(without_versions(stored), without_versions(answer->value()), "", facts);
    return facts;
  }
  facts = recorded::refusal(answer.error(), code_only);
  if (!code_only) facts.insert("reason: " + api::to_status(answer.error())["reason"].str());
  return facts;
}

Value listed(const Facts& facts) {
  Value list = Value::array({});
  for (const std::string& fact : facts) list.push(fact);
  return list;
}

class RecordedUpdates : public RegistryFixture {
 protected:
  // Of a base; without a kind where that is not served.
  Call call_of(const Value& base, const std::string& subresource) {
    Call made = call(api::resources::kPods, base["name"].str(), subresource);
    made.kind =
        api::schema::builtin().find_kind(base["create"]["apiVersion"].as_string(), base["create"]["kind"].as_string());
    made.body_start = "{";
    made.ns = made.kind != nullptr && made.kind->namespaced ? base["create"]["metadata"]["namespace"].str() : "";
    if (const std::string path = base["path"].str(); path.find("/namespaces/") != path.npos)
      made.ns = std::string(split(path, '/')[path.starts_with("/api/") ? 4 : 5]);
    return made;
  }
  bool make(const Value& base) {
    Call made = call_of(base, "");
    if (made.kind == nullptr) return false;
    const std::string name = made.name;
    made.name.clear();
    Result<Answer> created = wait([&](Done done) { registry_->create(made, base["create"], std::move(done)); });
    EXPECT_TRUE(created.ok()) << name << ": " << outcome(created);
    if (!created.ok()) return false;
    made.name = name;
    if (!base["then"].is_null()) {
      made.subresource = "binding";
      const Value target = Value::object({{"kind", "Node"}, {"name", "n1"}});
      const Value binding = Value::object({{"apiVersion", "v1"},
                                           {"kind", "Binding"},
                                           {"metadata", Value::object({{"name", name}})},
                                           {"target", target}});
      EXPECT_TRUE(wait([&](Done done) { registry_->create(made, binding, std::move(done)); }).ok()) << name;
    }
    if (!base["status"].is_null()) {
      Value object = created->value();
      object.set("status", base["status"]);
      // Long ago, so that a time that is given now is another one.
      if (made.kind->kind == "PersistentVolume")
        object.mut("status").set("lastPhaseTransitionTime", "2020-01-01T00:00:00Z");
      made.subresource = "status";
      Result<Answer> written = wait([&](Done done) { registry_->update(made, object, std::move(done)); });
      EXPECT_TRUE(written.ok()) << name << ": " << outcome(written);
    }
    return true;
  }
};

TEST_F(RecordedUpdates, AreAnsweredAsRecorded) {
  Call quota = call(api::resources::kNamespaces);
  ASSERT_TRUE(wait([&](Done done) {
                registry_->create(quota, parsed(R"({"metadata":{"name":"quota"}})"), std::move(done));
              }).ok());
  // The recorded cluster had no default class.
  const Call standard = call(api::resources::kStorageClasses, "standard");
  ASSERT_TRUE(wait([&](Done done) { registry_->remove(standard, {}, std::move(done)); }).ok());
  const Value bases = recorded::bases_of("updates");
  std::set<std::string> made;
  for (auto [name, base] : bases.entries()) {
    if (make(base)) made.insert(std::string(name));
  }
  const char* path = std::getenv("BERTH_RECORDED_DIFFERENCES");
  std::ofstream file(path != nullptr ? path : "/dev/null");
  int seen = 0, same = 0;
  std::string shown;
  for (const Value& row : recorded::rows_of("updates")) {
    if (!made.contains(row["base"].str())) continue;
    ++seen;
    const Value& base = bases[row["base"].as_string()];
    Call update = call_of(base, row["sub"].str());
    Call read = update;
    if (read.subresource != "scale") read.subresource.clear();
    const Result<Answer> stored = wait([&](Done done) { registry_->get(read, std::move(done)); });
    ASSERT_TRUE(stored.ok()) << outcome(stored);
    Value sent = stored->value();
    sent.mut("metadata").erase("managedFields");
    recorded::change(sent, row);
    update.dry_run = true;
    const Facts got =
        answered(stored->value(), wait([&](Done done) { registry_->update(update, sent, std::move(done)); }),
                 row.contains("varies"));
    const Facts wanted = expected(row);
    if (got == wanted) {
      ++same;
      continue;
    }
    const std::string name = recorded::name_of(row);
    if (seen - same <= 40) shown += name + "\n";
    file << json::encode(Value::object({{"row", name}, {"recorded", listed(wanted)}, {"got", listed(got)}})) << "\n";
  }
  EXPECT_GT(seen, 5000);
  EXPECT_EQ(same, seen) << "the first that are not:\n" << shown;
}

}  // namespace
}  // namespace berth::apiserver::registry
