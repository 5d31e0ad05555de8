// One container without its pod's worker: the order of phases, signals and hooks.

#include "agent/worker/container_worker.h"

#include <gtest/gtest.h>

#include "agent/pod/object_cache.h"
#include "agent/testing/test_cluster.h"
#include "base/text.h"
#include "client/event_recorder.h"

namespace berth::agent {
namespace {

constexpr const char* kPod =
    R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-0","namespace":"default","uid":"u"},
  "spec":{"restartPolicy":"Always","containers":[{"name":"c","image":"busybox","terminationMessagePath":""}]}})";

class ContainerWorkerTest : public ::testing::Test, private ContainerOwner {
 protected:
  ContainerWorkerTest() {
    images_.add("busybox");
    record_.uid = "u";
    record_.ns = "default";
    record_.name = "web-0";
    containers_.on_change([this](const ContainerStatus& status) {
      if (status.state == ContainerState::kExited) worker().on_exited(status);
    });
  }

  PodContext& context() override { return context_; }
  bool is_stopped() const override { return false; }
  bool is_ending() const override { return ending_; }
  void request_sync() override { ++syncs_; }
  void save_record() override {}
  void emit_event(std::string_view, std::string_view reason, std::string_view, std::string_view) override {
    events_.emplace_back(reason);
  }
  std::shared_ptr<void> keep_alive() override { return alive_; }

  ContainerWorker& worker() {
    if (!worker_) worker_ = std::make_unique<ContainerWorker>(static_cast<ContainerOwner&>(*this), "c");
    return *worker_;
  }
  std::string phase() { return std::string(name_of(worker().phase())); }
  void with_hook(const char* command = "bye") {
    Value handler = Value::object({{"exec", Value::object({{"command", Value::array({command})}})}});
    context_.pod.mut("spec")
        .mut("containers")
        .mut(0)
        .set("lifecycle", Value::object({{"preStop", std::move(handler)}}));
  }
  void start() {
    worker().start();
    runtime_.settle();
    ASSERT_EQ(phase(), "running");
    containers_.ignores_term = containers_.ignores_kill = {"c"};
    containers_.log.clear();
    events_.clear();
  }
  PodPlan::Stop order(std::int64_t grace, bool turn = true, bool at_once = false) {
    PodPlan::Stop out{"c", grace};
    out.turn = turn;
    out.at_once = at_once;
    return out;
  }
  std::string log() { return join(containers_.log, ", "); }
  std::string events() { return join(events_, ", "); }

  AgentConfig config_;
  testing::ManualRuntime runtime_;
  testing::FakeApi api_{runtime_};
  testing::FakeContainers containers_{runtime_};
  testing::FakeImages images_{runtime_};
  testing::FakeVolumes volumes_{runtime_, ""};
  testing::FakeNetwork network_;
  testing::FakeProbes probes_{runtime_};
  ObjectCache objects_{runtime_, api_};
  client::EventRecorder recorder_{runtime_, api_, "kubelet"};
  Services services_{config_, runtime_, api_, containers_, images_, volumes_, network_, objects_, recorder_, probes_};
  PodRecord record_;
  PodContext context_{services_, *json::parse(kPod), record_, {}, {}, {}, {}, {}, {}, {}, {}, {}};
  std::vector<std::string> events_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
  bool ending_ = false;
  int syncs_ = 0;
  std::unique_ptr<ContainerWorker> worker_;
};

TEST_F(ContainerWorkerTest, AStartGoesThroughItsPhases) {
  images_.images.clear();
  worker().start();
  EXPECT_EQ(phase(), "pulling_image");
  containers_.hold_runs = true;
  runtime_.settle();
  EXPECT_EQ(phase(), "starting");
  containers_.release_runs();
  runtime_.settle();
  EXPECT_EQ(phase(), "running");
  EXPECT_EQ(events(), "Pulling, Pulled, Created, Started");
  containers_.exit("c", 3);
  runtime_.settle();
  EXPECT_EQ(phase(), "idle");
  EXPECT_EQ(record_.at("c").ended.exit_code, 3);
}

TEST_F(ContainerWorkerTest, AStartIsAbandonedWhereThePodEndsOrTheImageChanges) {
  images_.images.clear();
  worker().start();
  ending_ = true;
  runtime_.settle();
  EXPECT_EQ(phase(), "idle");
  EXPECT_EQ(syncs_, 1);
  ending_ = false;
  images_.images.clear();
  worker().start();
  ASSERT_EQ(phase(), "pulling_image");
  context_.pod.mut("spec").mut("containers").mut(0).set("image", "other");
  runtime_.settle();
  EXPECT_EQ(phase(), "idle");
  EXPECT_EQ(syncs_, 2);
  EXPECT_TRUE(containers_.specs.empty());
}

TEST_F(ContainerWorkerTest, AFailedStartIsRecorded) {
  containers_.run_error = "no such file";
  worker().start();
  runtime_.settle();
  EXPECT_EQ(phase(), "idle");
  EXPECT_EQ(record_.at("c").waiting_reason, "RunContainerError");
  EXPECT_EQ(record_.at("c").ended.exit_code, 128);
}

TEST_F(ContainerWorkerTest, WithoutAHookTheSignalComesAtOnceAndSigkillAfterTheGracePeriod) {
  start();
  worker().stop(order(5));
  EXPECT_EQ(phase(), "signalled");
  runtime_.advance(4900ms);
  EXPECT_EQ(log(), "signal c 15");
  runtime_.advance(200ms);
  EXPECT_EQ(phase(), "killed");
  runtime_.advance(10s);
  EXPECT_EQ(log(), "signal c 15, kill c, kill c") << "again, where it has not ended";
  containers_.ignores_kill.clear();
  runtime_.advance(10s);
  EXPECT_EQ(phase(), "idle");
  EXPECT_EQ(runtime_.timers(), 0u);
}

TEST_F(ContainerWorkerTest, AHookBeforeItsTurnAndATurnBeforeItsHookBothDelayTheSignal) {
  with_hook();
  probes_.takes = 3s;
  start();
  worker().stop(order(30, false));
  EXPECT_EQ(phase(), "pre_stop_out_of_turn");
  runtime_.advance(1s);
  worker().stop(order(30, true));
  EXPECT_EQ(phase(), "pre_stop");
  EXPECT_EQ(log(), "");
  runtime_.advance(2s);
  EXPECT_EQ(phase(), "signalled");

  containers_.ignores_kill.clear();
  worker().stop(order(30, true, true));
  runtime_.settle();
  ASSERT_EQ(phase(), "idle");
  start();
  worker().stop(order(30, false));
  runtime_.advance(3s);
  EXPECT_EQ(phase(), "awaiting_turn");
  EXPECT_EQ(log(), "");
  worker().stop(order(30, true));
  EXPECT_EQ(phase(), "signalled");
}

TEST_F(ContainerWorkerTest, ASidecarIsSignalledAtItsDeadlineWhateverItsTurn) {
  start();
  worker().stop(order(4, false));
  EXPECT_EQ(phase(), "awaiting_turn");
  worker().stop(order(2, false));
  runtime_.advance(1900ms);
  EXPECT_EQ(log(), "");
  runtime_.advance(200ms);
  EXPECT_EQ(phase(), "signalled") << "a shorter grace period counts, from the first order";
  worker().stop(order(60, false));
  runtime_.advance(2s);
  EXPECT_EQ(phase(), "killed") << "a longer one does not";
}

TEST_F(ContainerWorkerTest, AHookThatOutlastsTheGracePeriodIsReportedAfterTheSignal) {
  with_hook();
  probes_.takes = 3s;
  probes_.results["bye"] = false;
  start();
  worker().stop(order(2));
  runtime_.advance(2s);
  EXPECT_EQ(phase(), "signalled");
  EXPECT_EQ(events(), "Killing");
  runtime_.advance(1s);
  EXPECT_EQ(phase(), "signalled");
  EXPECT_EQ(events(), "Killing, FailedPreStopHook");
  EXPECT_EQ(log(), "signal c 15");
}

TEST_F(ContainerWorkerTest, AtOnceMeansSigkillAndNoHook) {
  with_hook();
  start();
  worker().stop(order(30, true, true));
  EXPECT_EQ(phase(), "killed_at_once");
  worker().stop(order(30, true, true));
  EXPECT_EQ(log(), "kill c");
  EXPECT_TRUE(probes_.log.empty());
}

TEST_F(ContainerWorkerTest, AtOnceIgnoresAHookThatRuns) {
  with_hook();
  probes_.takes = 3s;
  probes_.results["bye"] = false;
  start();
  worker().stop(order(30));
  worker().stop(order(30, true, true));
  runtime_.advance(4s);
  EXPECT_EQ(phase(), "killed_at_once");
  EXPECT_EQ(events(), "Killing");
  EXPECT_EQ(log(), "kill c");
}

TEST_F(ContainerWorkerTest, ThePhaseFollowsFromTheRecord) {
  record_.containers["c"].state = ContainerRecord::State::kRunning;
  record_.containers["c"].id = "old";
  record_.containers["c"].post_started = true;
  EXPECT_EQ(phase(), "running");
  worker().resume();
  EXPECT_EQ(phase(), "running");
  worker().end_lost_container();
  EXPECT_EQ(phase(), "idle");
  EXPECT_EQ(record_.at("c").ended.reason, "ContainerStatusUnknown");
}

}  // namespace
}  // namespace berth::agent
