// Random patches: none ends the process, none changes its inputs, none leaves a directive in an object, and applying
// one twice is applying it once.

#include <random>

#include "api/patch/change_memo.h"
#include "api/patch/managers.h"
#include "api/patch/patch.h"
#include "api/patch/test_support.h"
#include "api/patch/typed_value.h"

namespace berth::api::patch {
namespace {

class Random {
 public:
  explicit Random(unsigned seed) : chance_(seed) {}
  int below(int limit) { return static_cast<int>(chance_() % static_cast<unsigned>(limit)); }

  // Anything, out of few enough words that things meet.
  Value value(int depth) {
    switch (below(depth > 0 ? 8 : 4)) {
      case 0: return below(3);
      case 1: return std::string(1, static_cast<char>('a' + below(3)));
      case 2: return nullptr;
      case 3: return below(2) == 0 ? Value(kDirectives[below(4)]) : Value(true);
      case 4:
      case 5: return object(depth);
      default: {
        Value list = Value::array();
        for (int i = below(4); i > 0; --i) list.push(value(depth - 1));
        return list;
      }
    }
  }
  Value object(int depth) {
    Value out = Value::object();
    for (int i = below(5); i > 0; --i) out.set(kWords[below(static_cast<int>(std::size(kWords)))], value(depth - 1));
    return out;
  }
  // A Pod of the right shape.
  Value pod() {
    Value list = Value::array();
    int mask = below(8);
    for (int i = 0; i < 3; ++i) {
      if ((mask & (1 << i)) == 0) continue;
      Value item = Value::object({{"name", std::string(1, static_cast<char>('a' + i))}});
      if (below(2) == 0) item.set("image", std::to_string(below(2)));
      if (below(2) == 0) item.set("args", j(R"(["x"])"));
      if (below(2) == 0)
        item.set("env", Value::array({Value::object({{"name", "E"}, {"value", std::to_string(below(2))}})}));
      list.insert(static_cast<std::size_t>(below(static_cast<int>(list.size()) + 1)), std::move(item));
    }
    Value out = j(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{}})");
    if (!list.empty()) out.mut("spec").set("containers", list);
    if (below(2) == 0)
      out.mut("metadata")
          .mut("labels")
          .set(std::string(1, static_cast<char>('a' + below(3))), std::to_string(below(2)));
    if (below(2) == 0) out.mut("metadata").mut("finalizers").push("f/" + std::to_string(below(3)));
    if (below(3) == 0) out.mut("spec").set("nodeName", std::to_string(below(2)));
    return out;
  }

 private:
  static constexpr const char* kDirectives[] = {"delete", "replace", "merge", "spin"};
  static constexpr const char* kWords[] = {"spec",
                                           "metadata",
                                           "containers",
                                           "name",
                                           "image",
                                           "labels",
                                           "finalizers",
                                           "args",
                                           "env",
                                           "a",
                                           "$patch",
                                           "$retainKeys",
                                           "$setElementOrder/containers",
                                           "$setElementOrder/finalizers",
                                           "$deleteFromPrimitiveList/finalizers",
                                           "$deleteFromPrimitiveList/args",
                                           "volumes",
                                           "ports",
                                           "op",
                                           "path",
                                           "value",
                                           "from"};
  std::mt19937 chance_;
};

bool has_directive(const Value& value) {
  for (const Value& item : value) {
    if (has_directive(item)) return true;
  }
  for (auto [key, member] : value.entries()) {
    if (key.starts_with("$") || has_directive(member)) return true;
  }
  return false;
}

TEST(RandomPatches, StrategicMergeNeverStoresADirective) {
  Random random(1);
  const schema::Type& type = *kind_of("v1", "Pod").type;
  int applied = 0;
  for (int i = 0; i < 5'000; ++i) {
    const Value object = random.pod();
    const std::string before = json::encode(object);
    Value patch = random.object(5);
    auto result = apply_strategic_patch(type, object, patch);
    EXPECT_EQ(json::encode(object), before);
    if (!result.ok()) continue;
    ++applied;
    ASSERT_FALSE(has_directive(*result)) << json::encode(patch) << " -> " << json::encode(*result);
  }
  EXPECT_GT(applied, 300);
}

TEST(RandomPatches, JsonPatchesOfAnyShapeAreAnswered) {
  Random random(2);
  const char* operations[] = {"add", "remove", "replace", "move", "copy", "test"};
  const char* paths[] = {"",
                         "/",
                         "/spec",
                         "/spec/containers",
                         "/spec/containers/0",
                         "/spec/containers/-",
                         "/spec/containers/0/name",
                         "/metadata/labels/a",
                         "/metadata/finalizers/1",
                         "/spec/containers/9/x",
                         "/metadata/name/x",
                         "x"};
  int applied = 0;
  for (int i = 0; i < 5'000; ++i) {
    Value patch = Value::array();
    for (int n = random.below(4); n >= 0; --n) {
      patch.push(Value::object({{"op", operations[random.below(6)]},
                                {"path", paths[random.below(12)]},
                                {"from", paths[random.below(12)]},
                                {"value", random.value(2)}}));
    }
    applied += apply_json_patch(random.pod(), patch).ok();
  }
  EXPECT_GT(applied, 300);
}

// What is answered without decoding managedFields is what decoding them gives.
TEST(RandomPatches, AUsualUpdateIsRecordedLikeAnyOther) {
  Random random(4);
  const schema::Kind& kind = kind_of("v1", "Pod");
  int kept = 0, moved = 0;
  for (int i = 0; i < 500; ++i) {
    Value live;
    for (int step = 0; step < 10; ++step) {
      const Time now{std::chrono::seconds(i * 20 + step * random.below(2))};
      const std::string manager(1, static_cast<char>('m' + random.below(3)));
      Value wanted = live.is_null() || random.below(3) == 0 ? random.pod() : live;
      if (!wanted["spec"]["nodeName"].is_null()) wanted.mut("spec").set("nodeName", std::to_string(random.below(3)));
      if (random.below(4) == 0) wanted.mut("metadata").set("generation", random.below(3));
      const Value fields = live["metadata"]["managedFields"];
      wanted.mut("metadata").set("managedFields", fields);
      Value foreign = fields;  // the same, but not as it is stored: has to be decoded
      for (std::size_t at = 0; at < foreign.size(); ++at) foreign.mut(at).set("unknown", "x");
      Value other = wanted;
      other.mut("metadata").set("managedFields", foreign);
      const Value before = live;
      live = track_update(kind, before, wanted, manager, "", now);
      ASSERT_EQ(json::encode(live), json::encode(track_update(kind, before, other, manager, "", now)));
      (live["metadata"]["managedFields"] == fields ? kept : moved) += 1;
    }
  }
  EXPECT_GT(kept, 300);
  EXPECT_GT(moved, 300);
}

TEST(RandomPatches, ACreateIsRecordedLikeAnyOther) {
  Random random(5);
  const schema::Kind& kind = kind_of("v1", "Pod");
  int owned = 0;
  for (int i = 0; i < 2'000; ++i) {
    const Value wanted = random.pod();
    Value reset = wanted;  // says the same, the long way
    reset.mut("metadata").set("managedFields", j("[{}]"));
    const std::string manager(1, static_cast<char>('m' + random.below(2)));
    const Value made = track_update(kind, Value(), wanted, manager, "", {});
    ASSERT_EQ(json::encode(made), json::encode(track_update(kind, Value(), reset, manager, "", {})));
    owned += made["metadata"]["managedFields"].size() == 1;
  }
  EXPECT_GT(owned, 1'000);
}

bool same_comparison(const Comparison& a, const Comparison& b) {
  return a.added == b.added && a.modified == b.modified && a.removed == b.removed;
}

// Fields of every shape: maps, atomic and associative lists, sets, structs held by value, nulls, other kinds of value.
TEST(RandomPatches, ChangesOfTheSamePathsAreTakenForEachOtherAndNoOthers) {
  Random random(6);
  const SchemaPosition root = SchemaPosition::root(*kind_of("v1", "Pod").type);
  auto any = [&] {
    Value pod = random.pod();
    if (random.below(4) == 0) pod.mut("spec").set("emptyish", random.value(1));
    if (random.below(4) == 0) pod.set("status", random.below(2) == 0 ? Value::object() : Value());
    if (random.below(4) == 0)
      pod.mut("metadata").set("creationTimestamp", random.below(2) == 0 ? Value() : Value("now"));
    if (random.below(6) == 0) pod.mut("spec").set("containers", random.value(2));
    if (random.below(6) == 0) pod.mut("metadata").set("labels", random.value(2));
    if (random.below(6) == 0) pod.mut("metadata").set("finalizers", random.value(2));
    return pod;
  };
  int alike = 0, recognised = 0;
  for (int i = 0; i < 60'000; ++i) {
    const bool creates = random.below(3) == 0;
    Change a{creates ? Value::object() : any(), any()}, b{creates ? Value::object() : any(), any()};
    if (random.below(2) == 0) b.before = a.before;
    if (random.below(4) == 0) b.after = a.after;
    const bool same = same_comparison(compare(root, a.before, a.after), compare(root, b.before, b.after));
    const bool taken = same_paths(root, a, b);
    ASSERT_TRUE(same || !taken) << json::encode(a.before) << " -> " << json::encode(a.after) << "\n"
                                << json::encode(b.before) << " -> " << json::encode(b.after);
    alike += same;
    recognised += taken;
  }
  EXPECT_GT(recognised, 1'000);
  EXPECT_GT(recognised, alike / 4);
}

TEST(RandomPatches, ApplyingTwiceIsApplyingOnce) {
  Random random(3);
  const schema::Kind& kind = kind_of("v1", "Pod");
  const SchemaPosition root = SchemaPosition::root(*kind.type);
  for (int i = 0; i < 300; ++i) {
    Value live;
    for (int step = 0; step < 6; ++step) {
      const std::string manager(1, static_cast<char>('m' + random.below(3)));
      const Value wanted = random.pod();
      if (!live.is_null() && random.below(4) == 0) {
        Value updated = random.pod();
        live = track_update(kind, live, updated, manager, "", {});
      } else {
        auto result = apply(kind, live, wanted, manager, true, "", {});
        ASSERT_TRUE(result.ok()) << result.error().message;
        live = result->object;
        // What was sent is there, and is owned.
        Comparison change = compare(root, live, merged(root, live, wanted));
        ASSERT_TRUE(change.modified.empty()) << json::encode(change.modified.to_fields_v1());
        auto again = apply(kind, live, wanted, manager, false, "", {});
        ASSERT_TRUE(again.ok());
        ASSERT_TRUE(again->conflicts.empty());
        ASSERT_EQ(json::encode(again->object), json::encode(live));
      }
      // Absent fields have no owner.
      auto managers = Managers::decode(live["metadata"]["managedFields"]);
      ASSERT_TRUE(managers.ok());
      const FieldSet there = with_named_fields(root, field_set_of(root, live));
      for (const Manager& each : managers->entries()) {
        ASSERT_FALSE(each.set.empty());
        ASSERT_TRUE(each.set.without(there).empty())
            << each.name << " owns " << json::encode(each.set.without(there).to_fields_v1()) << " of "
            << json::encode(live);
      }
    }
  }
}

}  // namespace
}  // namespace berth::api::patch
