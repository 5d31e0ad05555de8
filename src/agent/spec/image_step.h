#pragma once
// ImageStep: finds or pulls the image of one container as its pull policy says, with kubelet's events and reasons. It
// remembers failures for the back-off. Owner: the ContainerWorker, on the agent's loop.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/images/image_store.h"
#include "agent/pod/pod_hook.h"

namespace berth::agent {

class ImageStep {
 public:
  struct Outcome {
    std::shared_ptr<const Image> image;  // null on failure
    std::string reason, message;         // of the waiting state: "ErrImagePull", ...
    Time retry_at{};
  };
  using Event = std::function<void(std::string_view type, std::string_view reason, std::string_view message)>;

  // `pod` outlives the step. `done` may be called before run() returns.
  void run(const PodContext& pod, const Value& container, Event event, Function<void(Outcome)> done);

 private:
  void failed(const std::string& image, const Error& why, const Event& event, const Function<void(Outcome)>& done,
              Time now);
  Duration delay_{};
  Time next_try_{};
  std::string last_error_;
};

// The credentials for the image's registry in the pod's imagePullSecrets.
std::vector<PullCredentials> pull_credentials(const PodContext& pod, const std::string& image);

}  // namespace berth::agent
