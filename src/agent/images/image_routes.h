#pragma once
// /berth/images on the agent's socket: what `berth image import|list|remove` asks for.
//   GET                      {"images": [{id, tags, digests, size}]}
//   POST ?path=&reference=   imports a file of this machine; answers with what came in
//   DELETE ?reference=

#include <memory>

#include "agent/images/image_store.h"
#include "http/server.h"

namespace berth::agent {

class ImageRoutes {
 public:
  explicit ImageRoutes(ImageStore& images) : images_(images) {}
  bool handle(const std::shared_ptr<http::Exchange>& exchange);  // false: not ours

 private:
  ImageStore& images_;
};

}  // namespace berth::agent
