#include "agent/volumes/volume_keeper.h"

#include "api/metadata.h"
#include "api/quantity.h"
#include "base/text.h"
#include "controllers/shared/local_volume.h"

namespace berth::agent {
namespace {

namespace local = controllers;

constexpr Duration kRetry = 5s;

std::int64_t size_of(const Value& quantity) {
  Result<api::Quantity> parsed = api::Quantity::parse(quantity.as_string());
  return parsed.ok() ? parsed->value() : 0;
}

}  // namespace

VolumeKeeper::VolumeKeeper(Runtime& runtime, client::InformerSet& informers, client::Client& client,
                           LocalVolumes& disks, std::string node)
    : runtime_(runtime),
      client_(client),
      disks_(disks),
      node_(std::move(node)),
      volumes_(informers.get(api::resources::kPersistentVolumes)),
      claims_(informers.get(api::resources::kPersistentVolumeClaims)),
      events_(runtime, client, "kubelet", node_) {
  subscriptions_.push_back(volumes_.subscribe([this](const Value&, const Value& after) {
    if (after.is_object()) sync(std::string(api::name_of(after)));
  }));
  subscriptions_.push_back(claims_.subscribe([this](const Value&, const Value& after) {
    std::string_view volume = after["spec"]["volumeName"].as_string();
    if (!volume.empty()) sync(std::string(volume));
  }));
}

VolumeKeeper::~VolumeKeeper() {
  for (const auto& [name, timer] : timers_) runtime_.cancel(timer);
}

void VolumeKeeper::sync_after(const std::string& name, Duration delay) {
  TimerId& timer = timers_[name];
  if (timer != 0) runtime_.cancel(timer);
  timer = runtime_.after(delay, [this, name] {
    timers_.erase(name);
    sync(name);
  });
}

void VolumeKeeper::sync(const std::string& name) {
  const Value& volume = volumes_.get("", name);
  if (busy_.contains(name) || !volume.is_object() || !local::is_local(volume) || local::local_node(volume) != node_)
    return;
  if (api::is_terminating(volume)) {
    if (local::disk_may_go(volume)) remove_disk(volume);
    return;
  }
  for (const LocalVolume& disk : disks_.list()) {
    if (disk.name == name) return grow(volume);
  }
}

void VolumeKeeper::remove_disk(const Value& volume) {
  if (!local::disk_is_deleted(volume)) return remove_finalizer(volume);
  std::string name(api::name_of(volume));
  busy_.insert(name);
  disks_.remove(name, [this, volume, name, alive = lifetime_.guard()](Status removed) {
    if (!alive) return;
    busy_.erase(name);
    if (removed.ok()) return remove_finalizer(volume);
    events_.event(volume, client::kWarning, "VolumeFailedDelete", removed.error().message);
    sync_after(name, kRetry);
  });
}

void VolumeKeeper::remove_finalizer(const Value& volume) {
  std::string name(api::name_of(volume));
  Value patch = Value::object(
      {{"metadata", Value::object({{"uid", api::uid_of(volume)},
                                   {"resourceVersion", api::resource_version_of(volume)},
                                   {"finalizers", api::finalizers_without(volume, local::kLocalFinalizer)}})}});
  busy_.insert(name);
  client_.patch(api::resources::kPersistentVolumes, {"", name}, api::PatchType::kMerge, patch,
                {.field_manager = "berth-agent"}, [this, name, alive = lifetime_.guard()](Result<Value> done) {
                  if (!alive) return;
                  busy_.erase(name);
                  if (!done.ok() && !done.failed_with(Code::kNotFound)) sync_after(name, 1s);
                });
}

void VolumeKeeper::grow(const Value& volume) {
  const Value& reference = volume["spec"]["claimRef"];
  const Value& claim = claims_.get(reference["namespace"].as_string(), reference["name"].as_string());
  if (!claim.is_object() || api::uid_of(claim) != reference["uid"].as_string()) return;
  std::int64_t wanted = size_of(volume["spec"]["capacity"]["storage"]);
  if (wanted <= size_of(claim["status"]["capacity"]["storage"]) || claim["status"]["phase"].as_string() != "Bound")
    return;
  std::string name(api::name_of(volume));
  busy_.insert(name);
  disks_.expand(name, wanted,
                [this, name, volume, claim, alive = lifetime_.guard()](Result<LocalVolumes::Expanded> expanded) {
                  if (!alive) return;
                  busy_.erase(name);
                  if (!expanded.ok()) {
                    events_.event(claim, client::kWarning, "FileSystemResizeFailed", expanded.error().message);
                    return sync_after(name, 4 * kRetry);
                  }
                  // The kernel does not grow the mounted file system; the next mount will. Sync until then.
                  if (expanded->pending) return sync_after(name, kRetry);
                  events_.event(claim, client::kNormal, "FileSystemResizeSuccessful",
                                "MountVolume.NodeExpandVolume succeeded for volume \"" + name + "\"");
                  report_size(volume);
                });
}

void VolumeKeeper::report_size(const Value& volume) {
  std::string name(api::name_of(volume));
  const Value& reference = volume["spec"]["claimRef"];
  Value patch = Value::object(
      {{"metadata", Value::object({{"uid", reference["uid"]}})},
       {"status", Value::object({{"capacity", Value::object({{"storage", volume["spec"]["capacity"]["storage"]}})}})}});
  busy_.insert(name);
  client_.patch(api::resources::kPersistentVolumeClaims, {reference["namespace"].str(), reference["name"].str()},
                api::PatchType::kMerge, patch, {.subresource = "status", .field_manager = "berth-agent"},
                [this, name, alive = lifetime_.guard()](Result<Value> done) {
                  if (!alive) return;
                  busy_.erase(name);
                  if (!done.ok() && !done.failed_with(Code::kNotFound)) sync_after(name, 1s);
                });
}

}  // namespace berth::agent
