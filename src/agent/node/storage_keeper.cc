#include "agent/node/storage_keeper.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "agent/disk/disk_usage.h"
#include "agent/node/images_in_use.h"
#include "agent/pod/storage_limits.h"
#include "api/object.h"
#include "base/log.h"
#include "client/event_recorder.h"

namespace berth::agent {
namespace {

constexpr Duration kCalm = 10s;                // without shortage before the pressure condition is cleared
constexpr Duration kHeartbeat = 10s;           // how often look() is called anyway
constexpr Duration kPressed = 1s;              // while the disk is short
constexpr Duration kVictimEnds = 30s;          // then the next one is chosen
constexpr int kRestsPerWork = 19;              // measuring takes a twentieth of the time
constexpr std::int64_t kFastWriter = 1 << 30;  // bytes a second
constexpr std::int64_t kLeastWorthwhile = 64 << 20;

struct Measured {
  std::weak_ptr<PodWorker> worker;  // owned by the loop
  StoragePaths places;
  StorageUse use;
};

void measure(Measured& pod, const std::atomic<bool>& stop) {
  auto add = [&](const StoragePaths::Entry& place, std::map<std::string, DiskUse>& to) {
    DiskUse& sum = to[place.name];
    for (const auto& path : place.paths) {
      DiskUse use = disk_usage(path, stop);
      sum.bytes += use.bytes;
      sum.inodes += use.inodes;
    }
  };
  for (const auto& place : pod.places.empty_dirs) add(place, pod.use.empty_dirs);
  for (const auto& place : pod.places.containers) add(place, pod.use.containers);
}

std::int64_t allocated(const std::string& file) {
  struct stat at {};
  return ::stat(file.c_str(), &at) == 0 ? static_cast<std::int64_t>(at.st_blocks) * 512 : 0;
}

}  // namespace

struct StorageKeeper::Impl : std::enable_shared_from_this<Impl> {
  Services& services;
  Workers workers;
  std::function<void()> pressure_changed;
  BackgroundThread* aside;
  std::function<DiskSpace()> read_space;
  TimerId timer = 0;
  bool over = false;
  bool pressure = false;
  Duration last_short{};
  bool measuring = false, reclaiming = false, asking = false;
  std::map<std::string, std::int64_t>
      calm_sizes;  // of the files of overcommitted volumes, when the disk last had space
  Duration next_measuring{}, next_reclaiming{};
  std::weak_ptr<PodWorker> victim;
  Duration victim_until{};

  Impl(Services& s, Workers w, std::function<void()> changed, BackgroundThread* a)
      : services(s),
        workers(std::move(w)),
        pressure_changed(std::move(changed)),
        aside(a),
        read_space([directory = s.config.data_dir] { return read_disk_space(directory); }) {}

  Duration now() const { return services.runtime.monotonic(); }

  void look() {
    if (timer) services.runtime.cancel(std::exchange(timer, 0));
    if (Duration wait = check_disk(); wait < kHeartbeat) {
      timer = services.runtime.after(wait, [self = weak_from_this()] {
        auto state = self.lock();
        if (!state || state->over) return;
        state->timer = 0;
        state->look();
      });
    }
    check_limits();
    check_volumes();
  }

  // --- Volumes

  void check_volumes() {
    if (std::exchange(asking, true)) return;
    services.volumes.find_stopped([self = weak_from_this()](std::vector<VolumeProvider::Stopped> stopped) {
      auto state = self.lock();
      if (!state || state->over) return;
      state->asking = false;
      for (const auto& volume : stopped) state->free_volume(volume);
    });
  }

  void free_volume(const VolumeProvider::Stopped& stopped) {
    for (auto& worker : workers()) {
      const auto& users = stopped.pod_uids;
      if (std::find(users.begin(), users.end(), worker->record().uid) == users.end()) continue;
      worker->evict("Volume " + stopped.volume +
                        " takes no more writes: its file system was stopped after an I/O error, as of a full disk. " +
                        "It is checked, and mounted again, for the next pod that uses it. ",
                    true);
    }
  }

  void remember_sizes() {
    std::map<std::string, std::int64_t> sizes;
    for (const auto& worker : workers()) {
      for (const auto& file : services.volumes.growing_files(worker->record().uid)) sizes[file] = allocated(file);
    }
    calm_sizes = std::move(sizes);
  }

  std::int64_t growth_of(const PodWorker& worker) const {
    std::int64_t sum = 0;
    for (const auto& file : services.volumes.growing_files(worker.record().uid)) {
      auto before = calm_sizes.find(file);
      sum += std::max<std::int64_t>(0, allocated(file) - (before == calm_sizes.end() ? 0 : before->second));
    }
    return sum;
  }

  // --- Limits of pods

  void check_limits() {
    if (measuring || now() < next_measuring) return;
    std::vector<Measured> pods;
    for (auto& worker : workers()) {
      if (!worker->may_be_evicted() || !storage_limits(worker->pod()).any()) continue;
      pods.push_back({worker, worker->storage_paths(), {}});
    }
    if (pods.empty()) return;
    measuring = true;
    measure_aside(std::move(pods), [](Impl& state, std::vector<Measured>& measured, Duration took) {
      state.measuring = false;
      state.next_measuring = state.now() + kRestsPerWork * took;
      for (const Measured& pod : measured) {
        auto worker = pod.worker.lock();
        if (!worker) continue;
        if (auto why = over_limit(storage_limits(worker->pod()), pod.use)) worker->evict(*why, false);
      }
    });
  }

  void measure_aside(std::vector<Measured> pods, void (*then)(Impl&, std::vector<Measured>&, Duration)) {
    auto shared = std::make_shared<std::vector<Measured>>(std::move(pods));
    Duration began = now();
    auto done = [self = weak_from_this(), shared, began, then] {
      if (auto state = self.lock(); state && !state->over) then(*state, *shared, state->now() - began);
    };
    auto work = [shared](const std::atomic<bool>& stop) {
      for (Measured& pod : *shared) measure(pod, stop);
    };
    if (!aside) {
      return services.runtime.offload(
          [work] {
            static const std::atomic<bool> never{false};
            work(never);
          },
          done);
    }
    aside->submit([work, done, runtime = &services.runtime](const std::atomic<bool>& stop) {
      work(stop);
      // What was measured in part says nothing.
      if (!stop) runtime->post(done);
    });
  }

  // --- Space of the node

  // How soon it has to be looked at again.
  Duration check_disk() {
    DiskSpace space = read_space();
    DiskShortage shortage = disk_shortage(space);
    if (shortage != DiskShortage::kNone) {
      last_short = now();
      set_pressure(true);
      reclaim(space, shortage);
    } else if (pressure && now() - last_short >= kCalm) {
      set_pressure(false);
    }
    if (pressure) return kPressed;
    remember_sizes();
    if (space.total == 0 || workers().empty()) return kHeartbeat;
    auto milliseconds = (space.free - pressure_threshold(space)) / (kFastWriter / 1000);
    return std::max<Duration>(std::chrono::milliseconds(milliseconds), kPressed);
  }

  void set_pressure(bool value) {
    if (pressure == value) return;
    pressure = value;
    log_warning("agent", value ? "the disk is almost full" : "the disk has space again",
                {{"directory", services.config.data_dir}});
    tell(client::kNormal, value ? "NodeHasDiskPressure" : "NodeHasNoDiskPressure",
         "Node " + services.config.node_name +
             " status is now: " + (value ? "NodeHasDiskPressure" : "NodeHasNoDiskPressure"));
    pressure_changed();
  }

  void tell(std::string_view type, std::string_view reason, const std::string& message) {
    Value node = Value::object(
        {{"apiVersion", "v1"},
         {"kind", "Node"},
         {"metadata", Value::object({{"name", services.config.node_name}, {"uid", services.config.node_name}})}});
    services.events.event(node, type, reason, message);
  }

  static std::string resource_of(DiskShortage shortage) {
    return shortage == DiskShortage::kInodes ? "inodes" : "ephemeral-storage";
  }

  void reclaim(const DiskSpace& space, DiskShortage shortage) {
    if (reclaiming || now() < next_reclaiming) return;
    if (auto ending = victim.lock(); ending && !ending->record().cleaned_up && now() < victim_until) return;
    victim.reset();
    reclaiming = true;
    tell(client::kWarning, "EvictionThresholdMet", "Attempting to reclaim " + resource_of(shortage));
    services.images.collect(images_in_use(workers(), services.images), 2 * pressure_threshold(space) - space.free,
                            [self = weak_from_this()](Result<std::int64_t> freed) {
                              auto state = self.lock();
                              if (!state || state->over) return;
                              if (freed.ok() && *freed > 0)
                                log_info("agent", "unused images removed", {{"bytes", std::to_string(*freed)}});
                              state->find_victim();
                            });
  }

  void find_victim() {
    if (disk_shortage(read_space()) == DiskShortage::kNone) {
      reclaiming = false;
      return;
    }
    std::vector<Measured> pods;
    for (auto& worker : workers()) {
      if (worker->may_be_evicted()) pods.push_back({worker, worker->storage_paths(), {}});
    }
    measure_aside(std::move(pods),
                  [](Impl& state, std::vector<Measured>& measured, Duration took) { state.evict_one(measured, took); });
  }

  void evict_one(const std::vector<Measured>& measured, Duration took) {
    reclaiming = false;
    next_reclaiming = now() + std::max<Duration>(kRestsPerWork * took, kHeartbeat);
    DiskSpace space = read_space();
    DiskShortage shortage = disk_shortage(space);
    if (shortage == DiskShortage::kNone) return;
    bool inodes = shortage == DiskShortage::kInodes;
    std::vector<EvictionCandidate> candidates;
    std::vector<std::shared_ptr<PodWorker>> owners;
    for (const Measured& pod : measured) {
      auto worker = pod.worker.lock();
      if (!worker || !worker->may_be_evicted()) continue;
      candidates.push_back({worker->pod(), pod.use});
      candidates.back().use.volumes_growth = growth_of(*worker);
      owners.push_back(std::move(worker));
    }
    std::int64_t least = inodes ? space.inodes / 100 : std::min(kLeastWorthwhile, space.total / 20);
    auto chosen = choose_victim(candidates, resource_of(shortage), least);
    if (!chosen) return;
    owners[*chosen]->evict(shortage_message(candidates[*chosen], resource_of(shortage),
                                            inodes ? inode_threshold(space) : pressure_threshold(space),
                                            inodes ? space.inodes_free : space.free),
                           true);
    victim = owners[*chosen];
    victim_until = now() + kVictimEnds;
    next_reclaiming = {};
  }
};

StorageKeeper::StorageKeeper(Services& services, Workers workers, std::function<void()> pressure_changed,
                             BackgroundThread* aside)
    : impl_(std::make_shared<Impl>(services, std::move(workers), std::move(pressure_changed), aside)) {}

StorageKeeper::~StorageKeeper() {
  impl_->over = true;
  if (impl_->timer) impl_->services.runtime.cancel(impl_->timer);
}

void StorageKeeper::look() { impl_->look(); }
bool StorageKeeper::disk_pressure() const { return impl_->pressure; }
void StorageKeeper::read_space_by(std::function<DiskSpace()> read) { impl_->read_space = std::move(read); }

}  // namespace berth::agent
