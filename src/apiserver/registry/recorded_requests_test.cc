// The recorded creates (tests/data/recorded-1.36), answered as Kubernetes 1.36.2 did: code, causes,
// message and warnings. tools/replay compares the objects too, over HTTP.
#include "apiserver/registry/test_recorded.h"

namespace berth::apiserver::registry {
namespace {

using recorded::Facts;

Facts expected(const Value& row) {
  Facts facts = recorded::refusal(row);
  if (row.contains("varies")) return facts;
  for (const Value& warning : row["warnings"]) {
    if (!recorded::is_of_version(warning)) facts.insert("warning: " + warning.str());
  }
  return facts;
}

Facts answered(const Result<Answer>& answer, bool code_only) {
  if (!answer.ok()) return recorded::refusal(answer.error(), code_only);
  Facts facts{std::to_string(answer->http)};
  for (const std::string& warning : answer->warnings) {
    if (!code_only) facts.insert("warning: " + warning);
  }
  return facts;
}

class RecordedRequests : public RegistryFixture {};

TEST_F(RecordedRequests, AreAnsweredAsRecorded) {
  const Value bases = recorded::bases_of("requests");
  int seen = 0;
  for (const Value& row : recorded::rows_of("requests")) {
    Value object = bases[row["base"].as_string()]["object"];
    Call made = call(api::resources::kPods);
    made.kind = api::schema::builtin().find_kind(object["apiVersion"].as_string(), object["kind"].as_string());
    // Questions are answered by rest/.
    if (made.kind == nullptr || !made.kind->has_verb("get")) continue;
    // The endpoints of the server itself are made with its address, which there is none of here.
    if (row["to"].as_string() == "kubernetes" && made.kind->kind.starts_with("Endpoint")) continue;
    ++seen;
    if (!made.kind->namespaced) made.ns.clear();
    made.dry_run = true;
    recorded::change(object, row);
    made.body_start = "{";
    const Facts got =
        answered(wait([&](Done done) { registry_->create(made, object, std::move(done)); }), row.contains("varies"));
    EXPECT_EQ(got, expected(row)) << recorded::name_of(row);
  }
  EXPECT_GT(seen, 12000);
}

}  // namespace
}  // namespace berth::apiserver::registry
