#include "agent/spec/image_step.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "agent/pod/object_cache.h"
#include "api/object.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr Duration kFirstDelay = 10s, kLongestDelay = 300s;

std::string registry_of(const std::string& image) {
  auto normal = normalize_reference(image);
  return std::string(cut(normal.ok() ? *normal : image, "/").before);
}

bool is_for(std::string_view server, const std::string& registry) {
  for (std::string_view scheme : {"https://", "http://"}) {
    if (server.starts_with(scheme)) server.remove_prefix(scheme.size());
  }
  std::string host(cut(server, "/").before);
  return host == registry || (registry == "docker.io" && (host == "index.docker.io" || host == "registry-1.docker.io"));
}

// A duration in Go's format, to the millisecond: "152ms", "1.2s".
std::string go_duration(Duration d) {
  const double ms = static_cast<double>(d.count()) / 1e6;
  if (ms < 1000) return std::to_string(static_cast<long>(ms)) + "ms";
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.3fs", ms / 1000);
  return text.data();
}

}  // namespace

std::vector<PullCredentials> pull_credentials(const PodContext& pod, const std::string& image) {
  std::vector<PullCredentials> out;
  std::string registry = registry_of(image);
  std::string ns(api::namespace_of(pod.pod));
  for (const Value& reference : pod.pod["spec"]["imagePullSecrets"]) {
    const Value& secret = pod.services.objects.get(api::resources::kSecrets, api::Name{ns, reference["name"].str()});
    bool legacy = secret["data"][".dockerconfigjson"].is_null();
    auto text = base64_decode(secret["data"][legacy ? ".dockercfg" : ".dockerconfigjson"].as_string());
    if (!text.ok()) continue;
    auto config = json::parse(*text);
    if (!config.ok()) continue;
    const Value& servers = legacy ? *config : (*config)["auths"];
    for (auto [server, entry] : servers.entries()) {
      if (!is_for(server, registry)) continue;
      PullCredentials one{entry["username"].str(), entry["password"].str()};
      if (auto pair = base64_decode(entry["auth"].as_string()); pair.ok() && !pair->empty()) {
        Cut parts = cut(*pair, ":");
        one = {std::string(parts.before), std::string(parts.after)};
      }
      out.push_back(std::move(one));
    }
  }
  return out;
}

void ImageStep::run(const PodContext& pod, const Value& container, Event event, Function<void(Outcome)> done) {
  std::string image = container["image"].str();
  Runtime& runtime = pod.services.runtime;
  if (auto normal = normalize_reference(image); !normal.ok()) {
    std::string why = "Failed to apply default image tag " + quoted(image) + ": couldn't parse image name " +
                      quoted(image) + ": invalid reference format";
    event("Warning", "InspectFailed", why);
    event("Warning", "Failed", "Error: InvalidImageName");
    return done({nullptr, "InvalidImageName", why, runtime.now() + kFirstDelay});
  }
  std::string policy = container["imagePullPolicy"].str("IfNotPresent");
  auto present = pod.services.images.find(image);
  if (present && policy != "Always") {
    event("Normal", "Pulled", "Container image " + quoted(image) + " already present on machine");
    pod.services.images.touch(present->id);
    return done({present, "", "", {}});
  }
  if (policy == "Never") {
    std::string why = "Container image " + quoted(image) + " is not present with pull policy of Never";
    event("Warning", "ErrImageNeverPull", why);
    event("Warning", "Failed", "Error: ErrImageNeverPull");
    return done({nullptr, "ErrImageNeverPull", why, runtime.now() + kFirstDelay});
  }
  if (next_try_ > runtime.now()) {
    event("Normal", "BackOff", "Back-off pulling image " + quoted(image));
    event("Warning", "Failed", "Error: ImagePullBackOff");
    return done({nullptr, "ImagePullBackOff",
                 "Back-off pulling image " + quoted(image) + ": ErrImagePull: " + last_error_, next_try_});
  }
  event("Normal", "Pulling", "Pulling image " + quoted(image));
  Duration began = runtime.monotonic();
  pod.services.images.pull(
      image, pull_credentials(pod, image),
      [this, &runtime, image, event, began, done = std::move(done)](Result<std::shared_ptr<const Image>> pulled) {
        if (!pulled.ok()) return failed(image, pulled.error(), event, done, runtime.now());
        delay_ = {};
        std::string took = go_duration(runtime.monotonic() - began);
        event("Normal", "Pulled",
              "Successfully pulled image " + quoted(image) + " in " + took + " (" + took +
                  " including waiting). Image size: " + std::to_string((*pulled)->size_bytes) + " bytes.");
        done({*pulled, "", "", {}});
      });
}

void ImageStep::failed(const std::string& image, const Error& why, const Event& event,
                       const Function<void(Outcome)>& done, Time now) {
  delay_ = delay_ == Duration::zero() ? kFirstDelay : std::min<Duration>(2 * delay_, kLongestDelay);
  next_try_ = now + delay_;
  last_error_ = why.message;
  event("Warning", "Failed", "Failed to pull image " + quoted(image) + ": " + why.message);
  event("Warning", "Failed", "Error: ErrImagePull");
  // The next attempt is due soon, and reports ImagePullBackOff.
  done({nullptr, "ErrImagePull", why.message, now + 1s});
}

}  // namespace berth::agent
