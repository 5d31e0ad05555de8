#include "apiserver/registry/test_registry.h"

namespace berth::apiserver::registry {
namespace {

class RegistryTest : public RegistryFixture {
 protected:
  Result<Answer> create(const Call& c, std::string_view text) {
    return wait([&](Done done) { registry_->create(c, parsed(text), std::move(done)); });
  }
  Result<Answer> update(const Call& c, Value object) {
    return wait([&](Done done) { registry_->update(c, std::move(object), std::move(done)); });
  }
  Result<Answer> patch(const Call& c, std::string_view text, api::PatchType type = api::PatchType::kMerge,
                       bool force = false) {
    return wait([&](Done done) { registry_->patch(c, type, parsed(text), force, std::move(done)); });
  }
  Result<Answer> remove(const Call& c, api::DeleteOptions options = {}) {
    return wait([&](Done done) { registry_->remove(c, options, std::move(done)); });
  }
  Result<Answer> get(const Call& c) {
    return wait([&](Done done) { registry_->get(c, std::move(done)); });
  }
};

using namespace api::resources;

TEST_F(RegistryTest, BootstrapMakesWhatEveryClusterHas) {
  EXPECT_TRUE(get(call(kNamespaces, "kube-system")).ok());
  Result<Answer> service = get(call(kServices, "kubernetes"));
  ASSERT_TRUE(service.ok());
  EXPECT_EQ(service->value()["spec"]["clusterIP"].as_string(), "10.96.0.1");
  EXPECT_EQ(get(call(kNamespaces, "default"))->value()["spec"]["finalizers"][0].as_string(), "kubernetes");
  EXPECT_TRUE(get(call(kStorageClasses, "standard")).ok());
}

TEST_F(RegistryTest, PriorityClasses) {
  Call classes = call(kPriorityClasses);
  EXPECT_EQ(get(call(kPriorityClasses, "system-node-critical"))->value()["value"].as_int(), 2000001000);
  EXPECT_EQ(
      outcome(remove(call(kPriorityClasses, "system-cluster-critical"))),
      "403 priorityclasses.scheduling.k8s.io \"system-cluster-critical\" is forbidden: this is a system priority class and cannot be deleted");
  const char* kPodOf = R"({"metadata":{"name":"%"},"spec":{"containers":[{"name":"c","image":"i"}]#}})";
  auto pod = [&](const std::string& name, const std::string& more) {
    std::string text = kPodOf;
    text.replace(text.find('%'), 1, name);
    text.replace(text.find('#'), 1, more);
    return create(call(kPods), text);
  };
  EXPECT_EQ(outcome(pod("x", R"(,"priorityClassName":"none")")),
            "403 pods \"x\" is forbidden: no PriorityClass with name none was found");
  Value plain = pod("plain", "")->value();
  EXPECT_EQ(plain["spec"]["priority"].as_int(1), 0);
  EXPECT_EQ(plain["spec"]["preemptionPolicy"].as_string(), "PreemptLowerPriority");
  EXPECT_TRUE(plain["spec"]["priorityClassName"].is_null());

  Value high = create(classes, R"({"metadata":{"name":"high"},"value":1000,"preemptionPolicy":"Never"})")->value();
  EXPECT_EQ(high["metadata"]["generation"].as_int(), 1);
  Value made = pod("high", R"(,"priorityClassName":"high")")->value();
  EXPECT_EQ(made["spec"]["priority"].as_int(), 1000);
  EXPECT_EQ(made["spec"]["preemptionPolicy"].as_string(), "Never");
  EXPECT_EQ(
      outcome(pod("y", R"(,"priorityClassName":"high","priority":7)")),
      "403 pods \"y\" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 1000 "
      "from the given PriorityClass name");
  EXPECT_EQ(
      outcome(pod("y", R"(,"priorityClassName":"high","preemptionPolicy":"PreemptLowerPriority")")),
      "403 pods \"y\" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission "
      "controller computed Never from the given PriorityClass name");

  ASSERT_TRUE(create(classes, R"({"metadata":{"name":"usual"},"value":5,"globalDefault":true})").ok());
  EXPECT_EQ(
      outcome(create(classes, R"({"metadata":{"name":"other"},"value":6,"globalDefault":true})")),
      "403 priorityclasses.scheduling.k8s.io \"other\" is forbidden: PriorityClass usual is already marked as default. Only one default can exist");
  high.set("globalDefault", true);
  EXPECT_EQ(outcome(update(call(kPriorityClasses, "high"), high)).substr(0, 4), "403 ");
  Value usual = get(call(kPriorityClasses, "usual"))->value();
  EXPECT_TRUE(update(call(kPriorityClasses, "usual"), usual.set("description", "d")).ok());
  made = pod("of-default", "")->value();
  EXPECT_EQ(made["spec"]["priorityClassName"].as_string(), "usual");
  EXPECT_EQ(made["spec"]["priority"].as_int(), 5);

  usual = get(call(kPriorityClasses, "usual"))->value();
  EXPECT_EQ(
      outcome(update(call(kPriorityClasses, "usual"), usual.set("value", 6))),
      "422 PriorityClass.scheduling.k8s.io \"usual\" is invalid: value: Forbidden: may not be changed in an update.");
  usual = get(call(kPriorityClasses, "usual"))->value();
  EXPECT_EQ(
      outcome(update(call(kPriorityClasses, "usual"), usual.set("preemptionPolicy", "Never"))),
      "422 PriorityClass.scheduling.k8s.io \"usual\" is invalid: preemptionPolicy: Invalid value: \"Never\": field is immutable");
  EXPECT_EQ(
      outcome(create(classes, R"({"metadata":{"name":"system-x"},"value":1})")),
      "422 PriorityClass.scheduling.k8s.io \"system-x\" is invalid: metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for "
      "system use only. error: system-x is not a known system priority class");
  EXPECT_EQ(
      outcome(create(classes, R"({"metadata":{"name":"z"},"value":1000000001,"preemptionPolicy":"Maybe"})")),
      "422 PriorityClass.scheduling.k8s.io \"z\" is invalid: [value: Forbidden: maximum allowed value of a user defined priority is 1000000000, "
      "preemptionPolicy: Unsupported value: \"Maybe\": supported values: \"PreemptLowerPriority\", \"Never\"]");
}

TEST_F(RegistryTest, GatesAndLabelKeysOfNewPods) {
  Result<Answer> made =
      create(call(kPods),
             R"({"metadata":{"name":"p","labels":{"app":"a","rev":"7"}},"spec":{"containers":[{"name":"c","image":"i"}],
      "schedulingGates":[{"name":"example.com/wait"}],
      "affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[
        {"topologyKey":"zone","labelSelector":{"matchLabels":{"app":"a"}},"matchLabelKeys":["rev","none"]}]},
        "podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"podAffinityTerm":
        {"topologyKey":"zone","labelSelector":{},"mismatchLabelKeys":["rev"]}}]}},
      "topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{},"matchLabelKeys":["rev"]}]}})");
  ASSERT_TRUE(made.ok()) << made.error().message;
  const Value& spec = made->value()["spec"];
  const Value in = parsed(R"([{"key":"rev","operator":"In","values":["7"]}])");
  const Value not_in = parsed(R"([{"key":"rev","operator":"NotIn","values":["7"]}])");
  EXPECT_EQ(spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]["labelSelector"]
                ["matchExpressions"],
            in);
  EXPECT_EQ(spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"]
                ["labelSelector"]["matchExpressions"],
            not_in);
  EXPECT_EQ(spec["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"], in);
  const Value& condition = api::condition_of(made->value(), "PodScheduled");
  EXPECT_EQ(condition["status"].as_string(), "False");
  EXPECT_EQ(condition["reason"].as_string(), "SchedulingGated");
  EXPECT_EQ(condition["message"].as_string(), "Scheduling is blocked due to non-empty scheduling gates");

  EXPECT_EQ(
      outcome(create(call(kPods), R"({"metadata":{"name":"q"},"spec":{"containers":[{"name":"c","image":"i"}],
      "affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[
        {"topologyKey":"zone","labelSelector":{},"matchLabelKeys":["rev"],"mismatchLabelKeys":["rev"]}]}},
      "topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway","minDomains":2,"nodeTaintsPolicy":"Maybe","matchLabelKeys":["rev"]}]}})")),
      "422 Pod \"q\" is invalid: [spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]: Invalid value: \"rev\": "
      "exists in both matchLabelKeys and mismatchLabelKeys, spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if "
      "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway, spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: \"Maybe\": supported "
      "values: \"Honor\", \"Ignore\", spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set]");
}

TEST_F(RegistryTest, CreateFillsInWhatTheServerOwns) {
  Result<Answer> made = create(call(kConfigMaps), R"({"metadata":{"name":"c"},"data":{"a":"1"}})");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->http, 201);
  const Value& metadata = made->value()["metadata"];
  EXPECT_EQ(metadata["namespace"].as_string(), "default");
  EXPECT_EQ(metadata["uid"].as_string().size(), 36u);
  EXPECT_FALSE(metadata["creationTimestamp"].is_null());
  EXPECT_EQ(metadata["managedFields"][0]["manager"].as_string(), "test");
  EXPECT_EQ(made->value()["kind"].as_string(), "ConfigMap");
  EXPECT_EQ(outcome(create(call(kConfigMaps), R"({"metadata":{"name":"c"}})")), "409 configmaps \"c\" already exists");
  EXPECT_EQ(outcome(create(call(kConfigMaps, "", "", "absent"), R"({"metadata":{"name":"c"}})")),
            "404 namespaces \"absent\" not found");
}

TEST_F(RegistryTest, GeneratedNames) {
  Result<Answer> made = create(call(kConfigMaps), R"({"metadata":{"generateName":"g-"}})");
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(api::name_of(made->value()).size(), 7u);
}

TEST_F(RegistryTest, BadInputIsRefusedAndNothingStored) {
  EXPECT_EQ(
      outcome(create(call(kConfigMaps), R"({"kind":"Secret","apiVersion":"v1","metadata":{"name":"x"}})")),
      "400 Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion");
  EXPECT_EQ(outcome(create(call(kConfigMaps), R"({"metadata":{"name":"x","namespace":"other"}})")),
            "400 the namespace of the provided object does not match the namespace sent on the request");
  Call strict = call(kPods);
  strict.field_validation = Call::FieldValidation::kStrict;
  EXPECT_EQ(
      outcome(create(strict, R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","imag":1}]}})")),
      "400 Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.containers[0].imag\"");
  Result<Answer> warned =
      create(call(kPods), R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","imag":1}]}})");
  ASSERT_TRUE(warned.ok()) << warned.error().message;
  EXPECT_EQ(warned->warnings, std::vector<std::string>{"unknown field \"spec.containers[0].imag\""});
  // What is given as empty is seen by validation, and neither stored nor owned.
  const std::string bare =
      R"({"metadata":{"name":"bare"},"spec":{"volumes":[],"nodeSelector":{},"containers":[{"name":"c","image":"i","env":[]}])";
  Result<Answer> empty = create(call(kPods), bare + R"(,"resources":{"claims":[]}}})");
  ASSERT_FALSE(empty.ok());
  EXPECT_EQ(
      empty.error().message,
      "Pod \"bare\" is invalid: spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level");
  empty = create(call(kPods), bare + "}}");
  ASSERT_TRUE(empty.ok()) << empty.error().message;
  EXPECT_TRUE(empty->value()["spec"]["nodeSelector"].is_null());
  EXPECT_TRUE(empty->value()["spec"]["containers"][0]["env"].is_null());
  const std::string fields = json::encode(empty->value()["metadata"]["managedFields"]);
  EXPECT_NE(fields.find("f:image"), std::string::npos);
  for (const char* unowned : {"f:volumes", "f:nodeSelector", "f:env"})
    EXPECT_EQ(fields.find(unowned), std::string::npos) << unowned;
  const std::string owner = R"({"apiVersion":"v1","kind":"ConfigMap","name":"m","uid":"u"})";
  Result<Answer> owned = create(call(kPods), R"({"metadata":{"name":"owned","ownerReferences":[)" + owner + "," +
                                                 owner + R"(]},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  ASSERT_TRUE(owned.ok()) << owned.error().message;
  EXPECT_EQ(owned->value()["metadata"]["ownerReferences"].size(), 1u);
  ASSERT_EQ(owned->warnings.size(), 1u);
  EXPECT_TRUE(owned->warnings[0].ends_with("; duplicate UID(s) observed: u"));
  EXPECT_EQ(outcome(create(call(kPods), R"({"metadata":{"name":"Q"},"spec":{"containers":[]}})")).substr(0, 24),
            "422 Pod \"Q\" is invalid: ");
  EXPECT_FALSE(get(call(kPods, "Q")).ok());
}

TEST_F(RegistryTest, UpdatesHavePreconditions) {
  Value made = create(call(kConfigMaps), R"({"metadata":{"name":"c"},"data":{"a":"1"}})")->value();
  Value second = made;
  second.mut("data").set("a", "2");
  Result<Answer> updated = update(call(kConfigMaps, "c"), second);
  ASSERT_TRUE(updated.ok()) << updated.error().message;
  EXPECT_EQ(
      outcome(update(call(kConfigMaps, "c"), made)),
      "409 Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes to the latest "
      "version and try again");
  // Nothing changes: nothing is written.
  Result<Answer> same = update(call(kConfigMaps, "c"), updated->value());
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(api::resource_version_of(same->value()), api::resource_version_of(updated->value()));
  EXPECT_EQ(outcome(update(call(kConfigMaps, "zz"), parsed(R"({"metadata":{"name":"zz"}})"))),
            "404 configmaps \"zz\" not found");
}

TEST_F(RegistryTest, TwoWritersInOneCommit) {
  (void)create(call(kConfigMaps), R"({"metadata":{"name":"c"},"data":{"a":"1"}})");
  int done = 0;
  for (const char* text : {R"({"data":{"b":"2"}})", R"({"data":{"c":"3"}})"}) {
    registry_->patch(call(kConfigMaps, "c"), api::PatchType::kMerge, parsed(text), false, [&](Result<Answer> answer) {
      EXPECT_TRUE(answer.ok()) << answer.error().message;
      ++done;
    });
  }
  while (done < 2) loop_.run_once(1s);
  EXPECT_EQ(get(call(kConfigMaps, "c"))->value()["data"], parsed(R"({"a":"1","b":"2","c":"3"})"));
}

constexpr const char* kSet =
    R"({"metadata":{"name":"web"},"spec":{"serviceName":"web","replicas":2,"selector":{"matchLabels":{"app":"a"}},
  "template":{"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})";

TEST_F(RegistryTest, StatusAndSpecAreKeptApart) {
  Value set = create(call(kStatefulSets), kSet)->value();
  EXPECT_EQ(set["metadata"]["generation"].as_int(), 1);
  EXPECT_EQ(set["spec"]["podManagementPolicy"].as_string(), "OrderedReady");
  Result<Answer> status = patch(call(kStatefulSets, "web", "status"),
                                R"({"spec":{"replicas":9},"status":{"replicas":2,"readyReplicas":1}})");
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(status->value()["spec"]["replicas"].as_int(), 2);
  EXPECT_EQ(status->value()["status"]["readyReplicas"].as_int(), 1);
  EXPECT_EQ(status->value()["metadata"]["generation"].as_int(), 1);
  Result<Answer> spec = patch(call(kStatefulSets, "web"), R"({"spec":{"replicas":3},"status":{"readyReplicas":7}})");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->value()["status"]["readyReplicas"].as_int(), 1);
  EXPECT_EQ(spec->value()["metadata"]["generation"].as_int(), 2);
}

TEST_F(RegistryTest, Scale) {
  (void)create(call(kStatefulSets), kSet);
  Value scale = get(call(kStatefulSets, "web", "scale"))->value();
  EXPECT_EQ(scale["kind"].as_string(), "Scale");
  EXPECT_EQ(scale["status"]["selector"].as_string(), "app=a");
  ASSERT_TRUE(patch(call(kStatefulSets, "web", "scale"), R"({"spec":{"replicas":5}})").ok());
  EXPECT_EQ(get(call(kStatefulSets, "web"))->value()["spec"]["replicas"].as_int(), 5);
  EXPECT_FALSE(patch(call(kStatefulSets, "web", "scale"), R"({"spec":{"replicas":-1}})").ok());
}

// Numbers beyond their type are refused at every way in, as upstream words it, and nothing is stored.
TEST_F(RegistryTest, ScaleTakesWhatItsTypesTake) {
  (void)create(call(kStatefulSets), kSet);
  const Call scale = call(kStatefulSets, "web", "scale");
  auto put = [&](const std::string& spec) {
    return outcome(wait([&](Done done) {
      registry_->update(
          scale,
          parsed(R"({"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"web"},"spec":)" + spec + "}"),
          std::move(done));
    }));
  };
  for (const char* number : {"9223372036854775807", "2147483648", "-2147483649", "-9223372036854775808", "1e300"}) {
    const std::string text = json::encode(parsed(number));
    EXPECT_EQ(put(std::string("{\"replicas\":") + number + "}"),
              R"(400 Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal number )" + text +
                  " into Go struct field ScaleSpec.spec.replicas of type int32");
    for (api::PatchType type : {api::PatchType::kMerge, api::PatchType::kStrategic, api::PatchType::kJson}) {
      const std::string change = type == api::PatchType::kJson
                                     ? std::string(R"([{"op":"add","path":"/spec/replicas","value":)") + number + "}]"
                                     : std::string(R"({"spec":{"replicas":)") + number + "}}";
      for (const char* subresource : {"scale", ""}) {
        const std::string told = outcome(wait([&](Done done) {
          registry_->patch(call(kStatefulSets, "web", subresource), type, parsed(change), false, std::move(done));
        }));
        if (type == api::PatchType::kStrategic) {  // merged as typed objects, with words of their own
          EXPECT_TRUE(told.starts_with("422  \"\" is invalid: patch: Invalid value: \"map[")) << told;
          continue;
        }
        EXPECT_TRUE(told.starts_with("422  \"\" is invalid: patch: Invalid value: \"{")) << told;
        EXPECT_TRUE(told.ends_with("cannot unmarshal number " + text + " into Go struct field " +
                                   (*subresource ? "ScaleSpec" : "StatefulSetSpec") + ".spec.replicas of type int32"))
            << told;
      }
    }
  }
  EXPECT_EQ(
      put(R"({"replicas":"x"})"),
      R"(400 Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32)");
  EXPECT_EQ(get(call(kStatefulSets, "web"))->value()["spec"]["replicas"].as_int(),
            parsed(kSet)["spec"]["replicas"].as_int(1));
  EXPECT_EQ(put(R"({"replicas":2147483647})"), "ok");
  EXPECT_EQ(
      outcome(wait([&](Done done) {
        registry_->update(scale, parsed(R"({"apiVersion":"apps/v1","kind":"Deployment"})"), std::move(done));
      })),
      R"(400 Deployment in version "v1" cannot be handled as a Scale: converting (v1.Deployment) to (autoscaling.Scale): unknown conversion)");
}

TEST_F(RegistryTest, BodiesOfSubresourcesAreDecoded) {
  (void)create(call(kPods), R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  EXPECT_EQ(
      outcome(create(call(kPods, "p", "binding"), R"({"target":{"name":7}})")),
      R"(400 Binding in version "v1" cannot be handled as a Binding: json: cannot unmarshal number into Go struct field ObjectReference.target.name of type string)");
  EXPECT_EQ(
      outcome(create(call(kPods, "p", "eviction"), R"({"deleteOptions":{"gracePeriodSeconds":"soon"}})")),
      R"(400 Eviction in version "v1" cannot be handled as a Eviction: json: cannot unmarshal string into Go struct field DeleteOptions.deleteOptions.gracePeriodSeconds of type int64)");
  EXPECT_EQ(
      outcome(create(call(kPods, "p", "eviction"), R"({"apiVersion":"v1","kind":"ConfigMap"})")),
      R"(400 ConfigMap in version "v1" cannot be handled as a Eviction: converting (v1.ConfigMap) to (policy.Eviction): unknown conversion)");
  EXPECT_EQ(outcome(create(call(kPods, "p", "eviction"), R"({"apiVersion":"policy/v1beta1","kind":"Eviction"})")),
            "ok");
  EXPECT_TRUE(
      outcome(create(call(kServiceAccounts, "default", "token"), R"({"spec":{"expirationSeconds":"x"}})"))
          .ends_with(
              "json: cannot unmarshal string into Go struct field TokenRequestSpec.spec.expirationSeconds of type int64"));
}

TEST_F(RegistryTest, Finalizers) {
  (void)create(call(kConfigMaps), R"({"metadata":{"name":"c","finalizers":["a.b/c"]}})");
  Result<Answer> removed = remove(call(kConfigMaps, "c"));
  ASSERT_TRUE(removed.ok());
  EXPECT_FALSE(removed->value()["metadata"]["deletionTimestamp"].is_null());
  ASSERT_TRUE(patch(call(kConfigMaps, "c"), R"({"metadata":{"finalizers":[]}})").ok());
  EXPECT_TRUE(get(call(kConfigMaps, "c")).failed_with(Code::kNotFound));
}

TEST_F(RegistryTest, DeleteAnswersAndPreconditions) {
  Value made = create(call(kConfigMaps), R"({"metadata":{"name":"c"}})")->value();
  api::DeleteOptions wrong;
  wrong.uid = "x";
  EXPECT_EQ(
      outcome(remove(call(kConfigMaps, "c"), wrong)),
      "409 Operation cannot be fulfilled on ConfigMap \"c\": the UID in the precondition (x) does not match the UID in record (" +
          std::string(api::uid_of(made)) + "). The object might have been deleted and then recreated");
  Result<Answer> removed = remove(call(kConfigMaps, "c"));
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(removed->value()["status"].as_string(), "Success");
  EXPECT_EQ(outcome(remove(call(kNamespaces, "default"))),
            "403 namespaces \"default\" is forbidden: this namespace may not be deleted");
}

TEST_F(RegistryTest, ResourcesOfTheWholePodDecideItsClass) {
  auto class_of = [&](const char* name, const std::string& spec) {
    (void)create(call(kPods), std::string(R"({"metadata":{"name":")") + name + R"("},"spec":{)" + spec +
                                  R"("containers":[{"name":"c","image":"i"}]}})");
    return get(call(kPods, name))->value()["status"]["qosClass"].str();
  };
  EXPECT_EQ(class_of("a", R"("resources":{"limits":{"cpu":"100m","memory":"64Mi"}},)"), "Guaranteed");
  EXPECT_EQ(class_of("b", R"("resources":{"limits":{"cpu":"100m","memory":"64Mi"},"requests":{"cpu":"50m"}},)"),
            "Burstable");
  EXPECT_EQ(class_of("c", R"("resources":{"requests":{"memory":"64Mi"}},)"), "Burstable");
  EXPECT_EQ(class_of("d", ""), "BestEffort");
}

TEST_F(RegistryTest, PodsEndGracefully) {
  (void)create(
      call(kPods),
      R"({"metadata":{"name":"p"},"spec":{"terminationGracePeriodSeconds":10,"containers":[{"name":"c","image":"i"}]}})");
  Value pod = get(call(kPods, "p"))->value();
  EXPECT_EQ(pod["spec"]["serviceAccountName"].as_string(), "default");
  EXPECT_EQ(pod["status"]["qosClass"].as_string(), "BestEffort");
  ASSERT_TRUE(create(call(kPods, "p", "binding"), R"({"target":{"kind":"Node","name":"n1"}})").ok());
  EXPECT_EQ(outcome(create(call(kPods, "p", "binding"), R"({"target":{"kind":"Node","name":"n2"}})")),
            "409 Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\"");
  ASSERT_TRUE(remove(call(kPods, "p")).ok());
  EXPECT_EQ(get(call(kPods, "p"))->value()["metadata"]["deletionGracePeriodSeconds"].as_int(), 10);
  api::DeleteOptions now;
  now.grace_seconds = 0;
  ASSERT_TRUE(remove(call(kPods, "p"), now).ok());
  EXPECT_TRUE(get(call(kPods, "p")).failed_with(Code::kNotFound));
}

TEST_F(RegistryTest, ABudgetForEverythingHoldsDeletionsToo) {
  for (const char* name : {"p", "q"}) {
    (void)create(call(kPods), std::string(R"({"metadata":{"name":")") + name +
                                  R"(","labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i"}]}})");
    (void)create(call(kPods, name, "binding"), R"({"target":{"name":"n1"}})");
    (void)patch(call(kPods, name, "status"),
                R"({"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}})");
  }
  (void)create(call(kPodDisruptionBudgets),
               R"({"metadata":{"name":"b","annotations":{"berth.dev/budget-everything":"true"}},
      "spec":{"maxUnavailable":1,"selector":{"matchLabels":{"app":"a"}}}})");
  auto allow = [&](const char* status) {
    (void)patch(call(kPodDisruptionBudgets, "b", "status"), std::string(R"({"status":)") + status + "}");
  };
  allow(R"({"observedGeneration":1,"disruptionsAllowed":0,"currentHealthy":2,"desiredHealthy":2})");
  EXPECT_EQ(
      outcome(remove(call(kPods, "p"))),
      "429 Cannot delete pod as it would violate the pod's disruption budget, which counts deletions too (berth.dev/budget-everything). The "
      "disruption budget b needs 2 healthy pods and has 2 currently");
  EXPECT_FALSE(api::is_terminating(get(call(kPods, "p"))->value()));
  allow(R"({"disruptionsAllowed":1})");
  EXPECT_EQ(outcome(remove(call(kPods, "p"))), "ok");
  EXPECT_EQ(get(call(kPodDisruptionBudgets, "b"))->value()["status"]["disruptionsAllowed"].as_int(), 0);
  EXPECT_EQ(outcome(remove(call(kPods, "q"))).substr(0, 3), "429") << "the budget is used up";
  EXPECT_EQ(outcome(remove(call(kPods, "p"))), "ok") << "what is on its way costs nothing";
  (void)patch(call(kPods, "q", "status"), R"({"status":{"conditions":[{"type":"Ready","status":"False"}]}})");
  EXPECT_EQ(outcome(remove(call(kPods, "q"))), "ok") << "what is not ready costs nothing";
}

TEST_F(RegistryTest, BudgetsHoldEvictions) {
  (void)create(call(kPods),
               R"({"metadata":{"name":"p","labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  (void)create(call(kPods, "p", "binding"), R"({"target":{"name":"n1"}})");
  (void)patch(call(kPods, "p", "status"),
              R"({"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}})");
  (void)create(call(kPodDisruptionBudgets),
               R"({"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"a"}}}})");
  (void)patch(
      call(kPodDisruptionBudgets, "b", "status"),
      R"({"status":{"observedGeneration":1,"disruptionsAllowed":0,"currentHealthy":1,"desiredHealthy":1,"expectedPods":1}})");
  EXPECT_EQ(outcome(create(call(kPods, "p", "eviction"), "{}")),
            "429 Cannot evict pod as it would violate the pod's disruption budget.");
  (void)patch(call(kPodDisruptionBudgets, "b", "status"), R"({"status":{"disruptionsAllowed":1,"currentHealthy":2}})");
  EXPECT_EQ(outcome(create(call(kPods, "p", "eviction"), "{}")), "ok");
  EXPECT_EQ(get(call(kPodDisruptionBudgets, "b"))->value()["status"]["disruptionsAllowed"].as_int(), 0);
  EXPECT_TRUE(api::is_terminating(get(call(kPods, "p"))->value()));
}

TEST_F(RegistryTest, ServicesGetAddresses) {
  Value web = create(call(kServices), R"({"metadata":{"name":"web"},"spec":{"type":"NodePort","ports":[{"port":80}]}})")
                  ->value();
  std::string ip = web["spec"]["clusterIP"].str();
  EXPECT_TRUE(ip.starts_with("10.96."));
  EXPECT_GE(web["spec"]["ports"][0]["nodePort"].as_int(), 30000);
  EXPECT_NE(outcome(create(call(kServices),
                           R"({"metadata":{"name":"w2"},"spec":{"clusterIP":")" + ip + R"(","ports":[{"port":80}]}})"))
                .find("provided IP is already allocated"),
            std::string::npos);
  Value headless =
      create(call(kServices), R"({"metadata":{"name":"h"},"spec":{"clusterIP":"None","ports":[{"port":80}]}})")
          ->value();
  EXPECT_EQ(headless["spec"]["clusterIP"].as_string(), "None");
  ASSERT_TRUE(remove(call(kServices, "web")).ok());
  EXPECT_TRUE(create(call(kServices),
                     R"({"metadata":{"name":"w2"},"spec":{"clusterIP":")" + ip + R"(","ports":[{"port":80}]}})")
                  .ok());
}

TEST_F(RegistryTest, ListsInPagesAndWithSelectors) {
  for (int i = 0; i < 5; ++i) {
    (void)create(call(kConfigMaps), R"({"metadata":{"name":"c)" + std::to_string(i) + R"(","labels":{"odd":")" +
                                        std::to_string(i % 2) + R"("}}})");
  }
  ListCall page;
  page.limit = 2;
  std::vector<std::string> names;
  for (;;) {
    Result<ListAnswer> answer = registry_->list(call(kConfigMaps), page);
    ASSERT_TRUE(answer.ok());
    for (const store::RecordPtr& record : answer->records) names.emplace_back(api::name_of(record->value));
    if (answer->continue_token.empty()) break;
    page.continue_token = answer->continue_token;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"c0", "c1", "c2", "c3", "c4"}));
  ListCall odd;
  odd.label_selector = "odd=1";
  EXPECT_EQ(registry_->list(call(kConfigMaps), odd)->records.size(), 2u);
  ListCall named;
  named.field_selector = "metadata.name=c3";
  EXPECT_EQ(registry_->list(call(kConfigMaps), named)->records.size(), 1u);
  ListCall bad;
  bad.field_selector = "spec.bogus=x";
  EXPECT_EQ(registry_->list(call(kPods), bad).error().message, "field label not supported: spec.bogus");
  ListCall future;
  future.resource_version = "99999999";
  EXPECT_EQ(registry_->list(call(kConfigMaps), future).error().code, Code::kTimeout);
}

struct Seen final : ObjectWatchSink {
  std::vector<std::string> events;
  bool on_event(std::string_view type, const store::RecordPtr& record) override {
    events.push_back(std::string(type) + " " + std::string(api::name_of(record->value)));
    return true;
  }
  void on_bookmark(store::Revision, bool) override { events.emplace_back("BOOKMARK"); }
  void on_end(const Error& error) override { events.push_back("END " + error.message); }
};

TEST_F(RegistryTest, WatchesThroughSelectors) {
  (void)create(call(kConfigMaps), R"({"metadata":{"name":"old","labels":{"a":"1"}}})");
  Seen seen;
  WatchCall options;
  options.label_selector = "a=1";
  options.send_initial_events = true;
  options.bookmarks = true;
  auto watch = std::move(registry_->watch(call(kConfigMaps), options, &seen).value());
  (void)create(call(kConfigMaps), R"({"metadata":{"name":"x"}})");
  (void)patch(call(kConfigMaps, "x"), R"({"metadata":{"labels":{"a":"1"}}})");
  (void)patch(call(kConfigMaps, "x"), R"({"data":{"k":"v"}})");
  (void)patch(call(kConfigMaps, "x"), R"({"metadata":{"labels":{"a":"2"}}})");
  (void)remove(call(kConfigMaps, "old"));
  for (int i = 0; i < 20; ++i) loop_.run_once(1ms);
  EXPECT_EQ(seen.events,
            (std::vector<std::string>{"ADDED old", "BOOKMARK", "ADDED x", "MODIFIED x", "DELETED x", "DELETED old"}));
}

TEST_F(RegistryTest, ServerSideApply) {
  Call m1 = call(kConfigMaps, "sa"), m2 = m1;
  m1.field_manager = "m1";
  m2.field_manager = "m2";
  const char* text = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"sa"},"data":{"x":"1"}})";
  Result<Answer> made = patch(m1, text, api::PatchType::kApply);
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->http, 201);
  const char* other = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"sa"},"data":{"x":"2"}})";
  EXPECT_EQ(outcome(patch(m2, other, api::PatchType::kApply)),
            "409 Apply failed with 1 conflict: conflict with \"m1\": .data.x");
  EXPECT_TRUE(patch(m2, other, api::PatchType::kApply, true).ok());
}

TEST_F(RegistryTest, EventsHaveTwoForms) {
  (void)create(
      call(kEvents),
      R"({"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p","namespace":"default"},"message":"hello","reason":"R","type":"Normal"})");
  Result<Answer> other = get(call({"events.k8s.io", "v1", "events"}, "e"));
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->value()["note"].as_string(), "hello");
  EXPECT_EQ(other->value()["regarding"]["name"].as_string(), "p");
  EXPECT_EQ(other->value()["apiVersion"].as_string(), "events.k8s.io/v1");
}

TEST_F(RegistryTest, SecretsTakePlainText) {
  Value secret = create(call(kSecrets), R"({"metadata":{"name":"s"},"stringData":{"a":"b"}})")->value();
  EXPECT_EQ(secret["data"]["a"].as_string(), "Yg==");
  EXPECT_TRUE(secret["stringData"].is_null());
  EXPECT_EQ(secret["type"].as_string(), "Opaque");
}

TEST_F(RegistryTest, DryRunsLeaveNothing) {
  Call dry = call(kConfigMaps);
  dry.dry_run = true;
  ASSERT_TRUE(create(dry, R"({"metadata":{"name":"d"}})").ok());
  EXPECT_FALSE(get(call(kConfigMaps, "d")).ok());
}

TEST_F(RegistryTest, NamespacesGoWhenTheyAreFinalized) {
  (void)create(call(kNamespaces), R"({"metadata":{"name":"n1"}})");
  ASSERT_TRUE(remove(call(kNamespaces, "n1")).ok());
  Value ns = get(call(kNamespaces, "n1"))->value();
  EXPECT_EQ(ns["status"]["phase"].as_string(), "Terminating");
  EXPECT_EQ(outcome(create(call(kConfigMaps, "", "", "n1"), R"({"metadata":{"name":"c"}})")).substr(0, 4), "403 ");
  ns.mut("spec").set("finalizers", Value::array());
  ASSERT_TRUE(update(call(kNamespaces, "n1", "finalize"), ns).ok());
  EXPECT_TRUE(get(call(kNamespaces, "n1")).failed_with(Code::kNotFound));
}

TEST_F(RegistryTest, WhoAppliesOwnsExactlyWhatItSent) {
  Call c = call(kDeployments, "d");
  c.field_manager = "m";
  Result<Answer> applied = patch(
      c,
      R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},
      "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})",
      api::PatchType::kApply);
  ASSERT_TRUE(applied.ok()) << applied.error().message;
  const Value& fields = applied->value()["metadata"]["managedFields"][0]["fieldsV1"];
  EXPECT_FALSE(fields.contains("f:status"));
  EXPECT_FALSE(fields["f:spec"].contains("f:strategy"));
  EXPECT_FALSE(fields["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"].contains("f:resources"));
  EXPECT_EQ(applied->value()["spec"]["strategy"]["type"].as_string(), "RollingUpdate");
}

TEST_F(RegistryTest, TheLastFinalizerTakesTheObjectWithIt) {
  ASSERT_TRUE(create(call(kConfigMaps), R"({"metadata":{"name":"c","finalizers":["a.b/c"]}})").ok());
  ASSERT_TRUE(remove(call(kConfigMaps, "c")).ok());
  Result<Answer> released = patch(call(kConfigMaps, "c"), R"({"metadata":{"finalizers":[]}})");
  ASSERT_TRUE(released.ok());
  EXPECT_TRUE(released->value()["metadata"]["finalizers"].is_null());
  EXPECT_FALSE(released->value()["metadata"]["resourceVersion"].as_string().empty());
  EXPECT_EQ(outcome(get(call(kConfigMaps, "c"))), "404 configmaps \"c\" not found");
}

TEST_F(RegistryTest, DuplicateAndUnknownFieldsAreReportedTogether) {
  Call c = call(kConfigMaps);
  c.field_validation = Call::FieldValidation::kStrict;
  c.duplicates = {"data.k"};
  EXPECT_EQ(
      outcome(create(c, R"({"metadata":{"name":"c"},"dota":1})")),
      "400 ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field \"data.k\", unknown field \"dota\"");
}

}  // namespace
}  // namespace berth::apiserver::registry
