#include "agent/volumes/disk_annotation.h"

#include "api/object.h"
#include "controllers/shared/local_volume.h"

namespace berth::agent {

void annotate_disk(Services& services, const Value& volume, Function<void(Status)> done) {
  if (!controllers::is_local(volume) || !api::annotation_of(volume, kDiskAnnotation).empty()) return done({});
  Value note = Value::object({{kDiskAnnotation, services.config.node_name}});
  Value metadata = Value::object({{"uid", volume["metadata"]["uid"]}, {"annotations", std::move(note)}});
  services.client.patch(api::resources::kPersistentVolumes, api::Name{"", std::string(api::name_of(volume))},
                        api::PatchType::kMerge, Value::object({{"metadata", std::move(metadata)}}),
                        api::WriteOptions{"", "kubelet"}, [done = std::move(done)](Result<Value> written) {
                          if (!written.ok()) return done(written.error().in("noting where the disk is"));
                          done({});
                        });
}

}  // namespace berth::agent
