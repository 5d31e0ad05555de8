// configMap, secret, downwardAPI and projected volumes. Their files are on a memory file system, and are written again
// when their sources change.

#include <algorithm>

#include "agent/pod/container_lists.h"
#include "agent/pod/object_cache.h"
#include "agent/spec/downward.h"
#include "agent/volumes/atomic_writer.h"
#include "agent/volumes/volume_hooks.h"
#include "agent/volumes/volume_ownership.h"
#include "api/object.h"
#include "base/lifetime.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

using json::Value;

struct Token {
  std::string text;
  Time renew_at{};  // wall clock, as in the token
};

constexpr Duration kTokenRetry = 30s;  // after a failed renewal, while the old token is valid

// The runAsUser that all containers of the pod have; -1 where they have none or several.
std::int64_t common_user(const Value& pod) {
  const Value& of_pod = pod["spec"]["securityContext"]["runAsUser"];
  std::optional<std::int64_t> user;
  for (const char* list : kContainerLists) {
    for (const Value& container : pod["spec"][list]) {
      const Value& own = container["securityContext"]["runAsUser"];
      std::int64_t one = own.is_int() ? own.as_int() : of_pod.as_int(-1);
      if (one < 0 || (user && *user != one)) return -1;
      user = one;
    }
  }
  return user.value_or(-1);
}

// Collects the files of one volume.
class Collector {
 public:
  Collector(PodContext& pod, std::map<std::string, Token>& tokens)
      : pod_(pod), tokens_(tokens), now_(pod.services.runtime.now()) {}

  Payload payload;
  std::optional<Error> failure;
  bool waiting = false;                     // the ObjectCache does not know a source yet
  std::vector<const Value*> token_sources;  // sources whose tokens are missing or due for renewal

  void add_object(const api::Resource& resource, const Value& source, const std::string& name, unsigned mode) {
    bool secret = resource == api::resources::kSecrets;
    bool optional = source["optional"].as_bool();
    api::Name key{std::string(api::namespace_of(pod_.pod)), name};
    if (!pod_.services.objects.known(resource, key)) {
      waiting = true;
      return;
    }
    const Value& object = pod_.services.objects.get(resource, key);
    if (object.is_null()) {
      if (!optional) fail((secret ? "secret " : "configmap ") + quoted(name) + " not found");
      return;
    }
    if (source["items"].empty()) {
      for (const char* field : {"data", "binaryData"}) {
        for (auto [file, value] : object[field].entries())
          add_file(std::string(file), value, secret || std::string_view(field) == "binaryData", mode);
      }
      return;
    }
    for (const Value& item : source["items"]) {
      std::string wanted = item["key"].str();
      const Value* text = object["data"].find(wanted);
      const Value* binary = object["binaryData"].find(wanted);
      if (!text && !binary) {
        if (!optional)
          fail((secret ? "references non-existent secret key: " : "configmap references non-existent config key: ") +
               wanted);
        continue;
      }
      unsigned own = item["mode"].is_int() ? static_cast<unsigned>(item["mode"].as_int()) : mode;
      add_file(item["path"].str(), text ? *text : *binary, secret || !text, own);
    }
  }

  void add_downward(const Value& source, unsigned mode) {
    for (const Value& item : source["items"]) {
      unsigned own = item["mode"].is_int() ? static_cast<unsigned>(item["mode"].as_int()) : mode;
      auto value = item["fieldRef"].is_null() ? resource_value(pod_, item["resourceFieldRef"], "")
                                              : field_value(pod_, item["fieldRef"]["fieldPath"].str());
      if (!value.ok()) {
        fail(value.error().message);
        continue;
      }
      payload[item["path"].str()] = FileContent{*value, own};
    }
  }

  void add_token(const Value& source, unsigned mode) {
    std::string key = token_key(source);
    auto found = tokens_.find(key);
    if (found == tokens_.end()) {
      token_sources.push_back(&source);
      waiting = true;
      return;
    }
    if (found->second.renew_at <= now_) token_sources.push_back(&source);
    // Readable for its owner only where all containers run as one user, or fsGroup owns the volumes.
    FileContent file{found->second.text, mode};
    file.owner = common_user(pod_.pod);
    if (file.owner >= 0 || pod_.pod["spec"]["securityContext"]["fsGroup"].is_int()) file.mode = 0600;
    payload[source["path"].str()] = std::move(file);
  }

  static std::string token_key(const Value& source) { return source["audience"].str() + " " + source["path"].str(); }

  void add_volume(const Value& volume) {
    if (const Value& source = volume["configMap"]; !source.is_null()) {
      add_object(api::resources::kConfigMaps, source, source["name"].str(), mode_of(source));
    } else if (const Value& secret = volume["secret"]; !secret.is_null()) {
      add_object(api::resources::kSecrets, secret, secret["secretName"].str(), mode_of(secret));
    } else if (const Value& downward = volume["downwardAPI"]; !downward.is_null()) {
      add_downward(downward, mode_of(downward));
    } else {
      const Value& projected = volume["projected"];
      unsigned mode = mode_of(projected);
      for (const Value& part : projected["sources"]) {
        if (!part["configMap"].is_null())
          add_object(api::resources::kConfigMaps, part["configMap"], part["configMap"]["name"].str(), mode);
        if (!part["secret"].is_null())
          add_object(api::resources::kSecrets, part["secret"], part["secret"]["name"].str(), mode);
        if (!part["downwardAPI"].is_null()) add_downward(part["downwardAPI"], mode);
        if (!part["serviceAccountToken"].is_null()) add_token(part["serviceAccountToken"], mode);
      }
    }
  }

 private:
  static unsigned mode_of(const Value& source) {
    return source["defaultMode"].is_int() ? static_cast<unsigned>(source["defaultMode"].as_int()) & 0777 : 0644;
  }
  void fail(std::string why) {
    if (!failure) failure = error(Code::kNotFound, std::move(why));
  }
  void add_file(const std::string& path, const Value& value, bool encoded, unsigned mode) {
    if (!encoded) {
      payload[path] = FileContent{value.str(), mode};
      return;
    }
    auto bytes = base64_decode(value.as_string());
    if (!bytes.ok()) return fail("key " + path + " is not base64");
    payload[path] = FileContent{std::move(*bytes), mode};
  }
  PodContext& pod_;
  std::map<std::string, Token>& tokens_;
  Time now_;
};

bool is_config_volume(const Value& volume) {
  for (const char* kind : {"configMap", "secret", "downwardAPI", "projected"}) {
    if (!volume[kind].is_null()) return true;
  }
  return false;
}

class ConfigVolumes final : public PodHook {
 public:
  ~ConfigVolumes() override {
    if (timer_) runtime_->cancel(timer_);
  }
  std::string_view name() const override { return "config volumes"; }

  void prepare(PodContext& pod, HookDone done) override {
    runtime_ = &pod.services.runtime;
    write_volumes(pod, std::move(done));
  }
  void update(PodContext& pod, HookDone done) override { write_volumes(pod, std::move(done)); }

 private:
  struct Written {
    std::string volume, directory;
    Payload payload;
  };

  void write_volumes(PodContext& pod, HookDone done) {
    auto writes = std::make_shared<std::vector<Written>>();
    std::int64_t group = volume_ownership(pod.pod).group;
    for (const Value& volume : pod.pod["spec"]["volumes"]) {
      if (!is_config_volume(volume)) continue;
      std::string name = volume["name"].str();
      Collector collector(pod, tokens_);
      collector.add_volume(volume);
      if (collector.failure) return done(mount_failure(name, collector.failure->message));
      if (!collector.token_sources.empty())
        return request_token(pod, *collector.token_sources.front(), name, std::move(done));
      // The arrival of the objects makes the worker refresh.
      if (collector.waiting) return done(HookFailure{"", "waiting for the objects of volume " + quoted(name)});
      std::string directory = pod.memory + "/volumes/" + name;
      if (group >= 0) {
        // As kubelet does for read-only volumes: the group may read every file.
        for (auto& [path, file] : collector.payload) file.mode |= 0440;
      }
      pod.volumes[name] = PodVolume{directory, true};
      writes->push_back({name, directory, std::move(collector.payload)});
    }
    if (writes->empty()) return done(std::nullopt);
    auto failed = std::make_shared<std::string>();
    blocking(
        pod.services.runtime,
        [writes, group, failed, now = pod.services.runtime.now(), random = pod.services.runtime.random()]() -> Status {
          for (const auto& one : *writes) {
            auto written = write_atomically(one.directory, one.payload, group, now, random);
            if (!written.ok()) {
              *failed = one.volume;
              return written.error();
            }
          }
          return {};
        },
        [failed, done = std::move(done)](Status written) {
          if (!written.ok()) return done(mount_failure(*failed, written.error().message));
          done(std::nullopt);
        });
  }

  void request_token(PodContext& pod, const Value& source, const std::string& volume, HookDone done) {
    std::string account = pod.pod["spec"]["serviceAccountName"].str("default");
    Value spec = Value::object(
        {{"audiences", Value::array()},
         {"expirationSeconds", source["expirationSeconds"].as_int(3600)},
         {"boundObjectRef",
          Value::object(
              {{"apiVersion", "v1"}, {"kind", "Pod"}, {"name", pod.pod["metadata"]["name"]}, {"uid", pod.uid()}})}});
    if (std::string audience = source["audience"].str(); !audience.empty())
      spec.set("audiences", Value::array({audience}));
    Value request = Value::object(
        {{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenRequest"}, {"spec", std::move(spec)}});
    api::Name name{std::string(api::namespace_of(pod.pod)), account};
    std::string key = Collector::token_key(source);
    pod.services.client.create_sub(
        api::resources::kServiceAccounts, name, std::move(request), api::WriteOptions{"token"},
        [this, &pod, key, volume, alive = lifetime_.guard(), done = std::move(done)](Result<Value> answer) mutable {
          if (!alive) return;
          Time now = pod.services.runtime.now();
          if (!answer.ok()) {
            auto old = tokens_.find(key);
            if (old == tokens_.end())
              return done(mount_failure(volume, "failed to fetch token: " + answer.error().message));
            log_warning("agent", "cannot renew a token",
                        {{"pod", pod_in_messages(pod.record)}, {"error", answer.error().message}});
            old->second.renew_at = now + kTokenRetry;
            schedule_renewal(pod);
            return write_volumes(pod, std::move(done));
          }
          auto expires = parse_time((*answer)["status"]["expirationTimestamp"].as_string());
          Duration life = expires.ok() ? *expires - now : Duration(1h);
          // As kubelet: after 80 % of the token's lifetime, and at least once a day.
          Time renew = now + std::clamp<Duration>(life * 4 / 5, kTokenRetry, 24h);
          tokens_[key] = Token{(*answer)["status"]["token"].str(), renew};
          schedule_renewal(pod);
          write_volumes(pod, std::move(done));
        });
  }

  void schedule_renewal(PodContext& pod) {
    if (timer_) runtime_->cancel(timer_);
    Time first = tokens_.begin()->second.renew_at;
    for (const auto& [key, token] : tokens_) first = std::min(first, token.renew_at);
    timer_ = runtime_->after(std::max<Duration>(first - runtime_->now(), 1s), [this, &pod] {
      timer_ = 0;
      write_volumes(pod, [](std::optional<HookFailure>) {});
    });
  }

  Runtime* runtime_ = nullptr;
  TimerId timer_ = 0;
  std::map<std::string, Token> tokens_;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<PodHook> make_config_volumes_hook() { return std::make_unique<ConfigVolumes>(); }

}  // namespace berth::agent
