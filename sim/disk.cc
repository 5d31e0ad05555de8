#include "sim/disk.h"

#include "api/object.h"
#include "store/queued_store.h"

namespace berth::sim {

using store::Event;
using store::EventPtr;
using store::EventType;
using store::Revision;
using store::WriteBatch;

constexpr Revision kReserve = 10'000;

struct Disk::State {
  explicit State(World& world) : world(world) {}
  World& world;
  DiskFaults faults;
  std::vector<EventPtr> rows;
  Revision reserved = 0, compacted = 0;
  std::uint64_t opened = 0;  // number of opened stores; only the newest one may write
  std::shared_ptr<const WriteBatch> pending;
  Revision pending_reserve = 0;
  std::size_t rows_before_last = 0;
  std::set<std::string> deleted_at_the_end;

  void write(const WriteBatch& batch, Revision reserve) {
    rows_before_last = rows.size();
    for (const store::PendingWrite& one : batch.writes) {
      if (one.event && !one.ephemeral) rows.push_back(one.event);
    }
    reserved = std::max(reserved, reserve);
    compacted = std::max(compacted, batch.compacted);
  }
};

namespace {

class DiskLog final : public store::WriteLog {
 public:
  DiskLog(Lane& lane, std::shared_ptr<Disk::State> disk)
      : lane_(lane), disk_(std::move(disk)), turn_(disk_->opened), reserved_(disk_->reserved) {}

  void append(std::shared_ptr<const WriteBatch> batch, Function<void(Status)> done) override {
    if (turn_ != disk_->opened) return;
    const Revision reserve = batch->last_revision + kReserve / 2 > reserved_ ? batch->last_revision + kReserve : 0;
    const bool refused = disk_->world.chance(disk_->faults.refused);
    if (!refused) {
      disk_->pending = std::move(batch);
      disk_->pending_reserve = reserve;
    }
    lane_.after(disk_->world.between({}, disk_->faults.latency),
                [this, refused, disk = disk_, turn = turn_, done = std::move(done)] {
                  if (turn != disk->opened) return;
                  if (refused) return done(error(Code::kUnavailable, "the disk refused the write"));
                  disk->write(*disk->pending, disk->pending_reserve);
                  if (disk->pending_reserve != 0) reserved_ = disk->pending_reserve;
                  disk->pending.reset();
                  done(ok_status());
                });
  }
  Revision reserved() const override { return reserved_; }
  void close(Revision last) override {
    if (turn_ == disk_->opened) disk_->reserved = last;
  }

 private:
  Lane& lane_;
  std::shared_ptr<Disk::State> disk_;
  std::uint64_t turn_;
  Revision reserved_;
};

// A row with its `previous` recomputed: versions that were in memory only are gone.
EventPtr replayed(const EventPtr& row, const store::VersionedMap& map) {
  store::RecordPtr previous = map.get(row->record->key);
  const bool deletes = row->type == EventType::kDeleted;
  if (deletes && !previous) return nullptr;
  auto event = std::make_shared<Event>(*row);
  event->type = deletes ? EventType::kDeleted : previous ? EventType::kModified : EventType::kAdded;
  event->previous = std::move(previous);
  return event;
}

}  // namespace

Disk::Disk(World& world) : state_(std::make_shared<State>(world)) {}
Disk::~Disk() = default;

DiskFaults& Disk::faults() { return state_->faults; }
const std::set<std::string>& Disk::deleted_at_the_end() const { return state_->deleted_at_the_end; }

std::unique_ptr<store::Store> Disk::open(Lane& lane) {
  const store::StoreLimits limits;
  auto map = std::make_unique<store::VersionedMap>(limits, false);
  map->set_compacted(state_->compacted);
  for (const EventPtr& row : state_->rows) {
    EventPtr event = replayed(row, *map);
    if (!event) continue;
    if (event->revision <= state_->compacted) {
      map->restore(std::move(event));
    } else {
      map->apply(std::move(event), 0, true);
    }
  }
  map->advance(std::max(state_->reserved, state_->compacted));
  return std::make_unique<store::QueuedStore>(lane, limits, std::move(map), std::make_unique<DiskLog>(lane, state_));
}

void Disk::crash() { end(state_->world.chance(0.5), false); }
void Disk::close() { end(true, true); }

void Disk::rewrite(const std::function<Value(const Value& object)>& change) {
  for (EventPtr& row : state_->rows) {
    Value object = change(row->record->value);
    if (object.is_null()) continue;
    const store::Record& had = *row->record;
    auto event = std::make_shared<Event>(*row);
    event->record = std::make_shared<store::Record>(had.key, std::move(object), had.create_revision, had.mod_revision);
    row = std::move(event);
  }
}

void Disk::end(bool write_pending, bool orderly) {
  State& disk = *state_;
  disk.deleted_at_the_end.clear();
  if (disk.pending && write_pending) {
    for (const store::PendingWrite& one : disk.pending->writes) {
      if (one.event && one.event->type == EventType::kDeleted)
        disk.deleted_at_the_end.insert(std::string(api::uid_of(one.event->record->value)));
    }
    disk.write(*disk.pending, disk.pending_reserve);
  } else if (!orderly && disk.faults.lies) {
    disk.rows.resize(std::min(disk.rows.size(), disk.rows_before_last));
  }
  disk.pending.reset();
  if (!orderly) ++disk.opened;  // ignore later writes of the old store
}

}  // namespace berth::sim
