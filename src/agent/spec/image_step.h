#pragma once
// Getting a container's image to this node, as its pull policy says: present, pulled, or why not, in kubelet's words.
// One for each container of a pod; it remembers failures for the back-off. Loop thread only.

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

  // The pod outlives the step. `done` may be called from inside.
  void run(const PodContext& pod, const Value& container, Event event, Function<void(Outcome)> done);

 private:
  void failed(const std::string& image, const Error& why, const Event& event, const Function<void(Outcome)>& done,
              Time now);
  Duration delay_{};
  Time next_try_{};
  std::string last_error_;
};

// Those of the pod's imagePullSecrets that are for the image's registry.
std::vector<PullCredentials> pull_credentials(const PodContext& pod, const std::string& image);

}  // namespace berth::agent
