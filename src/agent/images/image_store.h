#pragma once
// ImageStore: images on this node. Content-addressed blobs, each layer unpacked once and shared as an overlay lower
// layer. Lives on the agent's loop; blocking work goes to the pool. Layout below its root directory:
//   blobs/sha256/<hex>   layers/<diff id hex>/   images.json   tmp/

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/json/json.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth::agent {

struct Image {
  std::string id;                    // "sha256:<hex>" of the config
  std::vector<std::string> tags;     // normalised: "docker.io/library/nginx:1.25"
  std::vector<std::string> digests;  // "docker.io/library/nginx@sha256:..."
  std::int64_t size_bytes = 0;
  bool pulled = false;              // from a registry, and so may be again; false: imported from a file at least once
  std::vector<std::string> layers;  // unpacked directories, lowest first
  Value config;                     // the OCI image config's "config": Env, Entrypoint, Cmd, WorkingDir, User, ...
};

struct PullCredentials {
  std::string user, password;
};

// "nginx" -> "docker.io/library/nginx:latest". Error kInvalid with upstream's wording (InvalidImageName) where it is
// none.
Result<std::string> normalize_reference(std::string_view reference);

class ImageStore {
 public:
  virtual ~ImageStore() = default;
  // By reference (any spelling), digest or id; null where not here.
  virtual std::shared_ptr<const Image> find(std::string_view reference) const = 0;
  virtual std::vector<std::shared_ptr<const Image>> list() const = 0;

  // From a registry, by skopeo. Concurrent pulls of one reference are one pull.
  virtual void pull(const std::string& reference, const std::vector<PullCredentials>& credentials,
                    Function<void(Result<std::shared_ptr<const Image>>)> done) = 0;
  // A docker-archive or OCI archive (tar, also compressed). Answers with what was imported. `reference` overrides the
  // tag where not empty. A damaged archive changes nothing.
  virtual void import(const std::string& file, const std::string& reference,
                      Function<void(Result<std::vector<std::shared_ptr<const Image>>>)> done) = 0;
  virtual void remove(const std::string& reference, Function<void(Status)> done) = 0;
  // Removes unused images, oldest use first, until at least `bytes` are free again. `in_use`: image ids. An image that
  // was imported stays while it has a tag: nothing would bring it back.
  virtual void collect(std::vector<std::string> in_use, std::int64_t bytes,
                       Function<void(Result<std::int64_t>)> done) = 0;
  // Remembers the use, for collect().
  virtual void touch(const std::string& id) = 0;
};
// Recovers what is there; leftovers of an interrupted import or pull are removed. `pull_network`: a network namespace's
// path in which pulls run (the agent's own has no way to a registry); empty: where the process is.
Result<std::unique_ptr<ImageStore>> open_image_store(Runtime& runtime, const std::string& root,
                                                     const std::string& pull_network = {});

// `berth image build REF --packages "..."`: an image from Debian packages, by mmdebstrap, cached by package list.
struct BuildOptions {
  std::string reference;
  std::vector<std::string> packages;
  std::vector<std::string> entrypoint, command;
  std::vector<std::string> environment;
  std::string working_directory, user;
  std::vector<std::pair<std::string, std::string>> files;  // {path on this machine, path in the image}
  std::vector<std::string> run;                            // shell lines run in the image's root while it is built
  std::string suite = "bookworm";
};
// Blocks. Writes a docker-archive to `output`; `cache` is a directory that may be shared by builds. `progress` gets
// lines.
Status build_image(const BuildOptions& options, const std::string& cache, const std::string& output,
                   const std::function<void(std::string_view)>& progress);

}  // namespace berth::agent
