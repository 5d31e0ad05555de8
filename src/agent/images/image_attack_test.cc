// Images whose author wants to reach the node: what they name, link and mark must stay in the image. The targets are
// directories of the test's own.

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "agent/images/image_store.h"
#include "agent/images/unpack.h"
#include "base/files.h"
#include "base/fs/rooted_dir.h"
#include "base/loop.h"
#include "base/process/process.h"
#include "base/text.h"

namespace berth::agent {
namespace {

// A tar, written entry by entry, with names that no tool would write.
class Tar {
 public:
  explicit Tar(const std::string& file, bool gzip = false) : out_(archive_write_new()) {
    archive_write_set_format_pax(out_);
    if (gzip) archive_write_add_filter_gzip(out_);
    EXPECT_EQ(archive_write_open_filename(out_, file.c_str()), ARCHIVE_OK);
  }
  ~Tar() {
    archive_write_close(out_);
    archive_write_free(out_);
  }
  Tar& file(const std::string& name, const std::string& content, unsigned mode = 0644) {
    archive_entry* entry = begin(name, AE_IFREG, mode);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    EXPECT_GE(archive_write_header(out_, entry), ARCHIVE_WARN);
    EXPECT_EQ(archive_write_data(out_, content.data(), content.size()), static_cast<la_ssize_t>(content.size()));
    archive_entry_free(entry);
    return *this;
  }
  Tar& directory(const std::string& name, unsigned mode = 0755) { return end(begin(name, AE_IFDIR, mode)); }
  Tar& symlink(const std::string& name, const std::string& target) {
    archive_entry* entry = begin(name, AE_IFLNK, 0777);
    archive_entry_set_symlink(entry, target.c_str());
    return end(entry);
  }
  Tar& hard_link(const std::string& name, const std::string& target) {
    archive_entry* entry = begin(name, AE_IFREG, 0644);
    archive_entry_set_hardlink(entry, target.c_str());
    return end(entry);
  }
  Tar& node(const std::string& name, unsigned type, unsigned major = 0, unsigned minor = 0) {
    archive_entry* entry = begin(name, type, 0666);
    archive_entry_set_rdevmajor(entry, major);
    archive_entry_set_rdevminor(entry, minor);
    return end(entry);
  }
  Tar& with_xattr(const std::string& name, const std::string& xattr, const std::string& value) {
    archive_entry* entry = begin(name, AE_IFREG, 0644);
    archive_entry_xattr_add_entry(entry, xattr.c_str(), value.data(), value.size());
    return end(entry);
  }
  Tar& zeros(const std::string& name, std::int64_t size) {
    archive_entry* entry = begin(name, AE_IFREG, 0644);
    archive_entry_set_size(entry, size);
    EXPECT_GE(archive_write_header(out_, entry), ARCHIVE_WARN);
    std::string block(1 << 20, '\0');
    for (std::int64_t left = size; left > 0; left -= static_cast<std::int64_t>(block.size()))
      archive_write_data(out_, block.data(), std::min<std::size_t>(block.size(), static_cast<std::size_t>(left)));
    archive_entry_free(entry);
    return *this;
  }

 private:
  static archive_entry* begin(const std::string& name, unsigned type, unsigned mode) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, mode);
    archive_entry_set_mtime(entry, 1'600'000'000, 0);
    return entry;
  }
  Tar& end(archive_entry* entry) {
    EXPECT_GE(archive_write_header(out_, entry), ARCHIVE_WARN);
    archive_entry_free(entry);
    return *this;
  }
  archive* out_;
};

std::string sum_of(const std::string& file) { return sha256_hex(read_file(file).value()); }

class HostileImages : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (::access("/dev/shm", W_OK) == 0 ? "/dev/shm/" : ::testing::TempDir()) + "berth-hostile-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    ASSERT_TRUE(make_directories(outside("")).ok());
    ASSERT_TRUE(write_file(outside("file"), "precious", 0600).ok());
    reopen();
  }
  void TearDown() override {
    expect_untouched();
    store_.reset();
    EXPECT_TRUE(remove_all(top_).ok());
  }
  void reopen() {
    store_.reset();
    auto opened = open_image_store(loop_, top_ + "/store");
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
  }
  std::string outside(const std::string& path) const { return top_ + "/outside/" + path; }
  void expect_untouched() {
    EXPECT_EQ(list_directory(outside("")).value(), std::vector<std::string>{"file"});
    EXPECT_EQ(read_file(outside("file")).value(), "precious");
    struct stat at {};
    ASSERT_EQ(::stat(outside("file").c_str(), &at), 0);
    EXPECT_EQ(at.st_nlink, 1u);
    EXPECT_EQ(at.st_mode & 07777, 0600u);
    ASSERT_EQ(::stat(outside("").c_str(), &at), 0);
    EXPECT_EQ(at.st_mode & 07777, 0755u);
    EXPECT_LT(::getxattr(outside("").c_str(), "trusted.overlay.opaque", nullptr, 0), 0);
  }
  // A docker-archive with these layers, lowest first (files). `diff_ids`: other names than the true ones.
  std::string archive(const std::string& tag, const std::vector<std::string>& layers,
                      std::vector<std::string> diff_ids = {}) {
    std::string ids, names;
    if (diff_ids.empty())
      for (const auto& layer : layers) diff_ids.push_back("sha256:" + sum_of(layer));
    for (const auto& id : diff_ids) ids += (ids.empty() ? "\"" : ",\"") + id + "\"";
    for (std::size_t i = 0; i < layers.size(); ++i) names += (i ? ",\"" : "\"") + std::to_string(i) + "\"";
    std::string file = top_ + "/" + tag + ".tar";
    Tar out(file);
    out.file("config.json", R"({"config":{},"rootfs":{"diff_ids":[)" + ids + "]}}");
    out.file("manifest.json", R"([{"Config":"config.json","RepoTags":[")" + tag + R"(:1"],"Layers":[)" + names + "]}]");
    for (std::size_t i = 0; i < layers.size(); ++i) out.file(std::to_string(i), read_file(layers[i]).value());
    return file;
  }
  using Images = std::vector<std::shared_ptr<const Image>>;
  Result<Images> import(const std::string& file) {
    std::optional<Result<Images>> answer;
    store_->import(file, "", [&](auto result) { answer.emplace(std::move(result)); });
    while (!answer) loop_.run_once(10s);
    return *answer;
  }
  // Imports an image of one layer that `fill` writes, and answers with the layer's directory.
  Result<std::string> layer(const std::function<void(Tar&)>& fill) {
    std::string file = top_ + "/layer-" + std::to_string(++layers_);
    {
      Tar tar(file);
      fill(tar);
      tar.file("end", "reached");
    }
    auto images = import(archive("t" + std::to_string(layers_), {file}));
    if (!images.ok()) return images.error();
    return images->front()->layers.back();
  }
  std::string text(const std::string& file) { return read_file(file).value(); }

  Loop loop_{2};
  std::string top_;
  std::unique_ptr<ImageStore> store_;
  int layers_ = 0;
};

TEST_F(HostileImages, WhiteoutsStayBelowTheLayer) {
  auto at = layer([&](Tar& tar) {
    tar.symlink("link", outside(""))
        .file("link/.wh.new", "")
        .file("link/sub/.wh.deep", "")
        .file("link/.wh..wh..opq", "");
    tar.symlink("up", "../../../../../outside").file("up/.wh.file", "");
  });
  ASSERT_TRUE(at.ok()) << at.error().message;
  struct stat found {};
  ASSERT_EQ(::lstat((*at + outside("new")).c_str(), &found), 0) << "as the link leads inside the image";
  EXPECT_TRUE(S_ISCHR(found.st_mode));
  EXPECT_EQ(::lstat((*at + "/outside/file").c_str(), &found), 0);
}

// A whiteout beside a directory of the same name hides what the layers below have in it, in either order, and whether
// the layer lists the directory or only what is in it.
TEST_F(HostileImages, AWhiteoutBesideADirectoryHidesWhatIsBelowIt) {
  auto at = layer([](Tar& tar) {
    tar.file(".wh.before", "").directory("before").file("before/y", "1");
    tar.directory("after").file("after/y", "1").file(".wh.after", "");
    tar.file("deep/.wh.listed", "").file("deep/listed/in/y", "1");
    tar.directory("plain").file("plain/y", "1");
  });
  ASSERT_TRUE(at.ok()) << at.error().message;
  for (const char* directory : {"/before", "/after", "/deep/listed"}) {
    char value[2] = {};
    EXPECT_EQ(::getxattr((*at + directory).c_str(), "trusted.overlay.opaque", value, 1), 1) << directory;
  }
  for (const char* directory : {"/plain", "/deep", "/deep/listed/in"}) {
    char value[2] = {};
    EXPECT_LT(::getxattr((*at + directory).c_str(), "trusted.overlay.opaque", value, 1), 0) << directory;
  }
  for (const char* file : {"/before/y", "/after/y", "/deep/listed/in/y"}) EXPECT_EQ(text(*at + file), "1") << file;
}

TEST_F(HostileImages, WhiteoutsOfNothingAreRefused) {
  for (const char* name : {".wh.", ".wh..", ".wh...", "d/.wh..."}) {
    auto at = layer([&](Tar& tar) { tar.file(name, ""); });
    EXPECT_TRUE(at.failed_with(Code::kInvalid)) << name;
  }
  ASSERT_TRUE(layer([](Tar& tar) { tar.file("d/.wh..wh.plnk", "").file(".wh..wh.aufs", ""); }).ok());
}

TEST_F(HostileImages, WhatTheLayerHoldsIsNotHiddenByIt) {
  auto at = layer([](Tar& tar) { tar.file("a", "1").file(".wh.a", "").file(".wh.b", "").file("b", "2"); });
  ASSERT_TRUE(at.ok()) << at.error().message;
  EXPECT_EQ(text(*at + "/a"), "1");
  EXPECT_EQ(text(*at + "/b"), "2");
}

TEST_F(HostileImages, FilesAndDirectoriesStayBelowTheLayer) {
  auto at = layer([&](Tar& tar) {
    tar.symlink("out", outside("")).file("out/new", "evil", 0777).directory("out/dir", 0777);
    tar.symlink("file", outside("file")).file("file", "evil");
    tar.symlink("d", outside("")).directory("d", 0777).file("d/new", "evil");
    tar.symlink("a", outside("")).symlink("b", "a").file("b/chain", "evil");
    tar.symlink("long", std::string("../../../../../../../../../..") + outside("")).file("long/new", "evil");
    tar.symlink("p", "/proc/self/root" + outside("")).file("p/new", "evil");
  });
  ASSERT_TRUE(at.ok()) << at.error().message;
  EXPECT_EQ(text(*at + "/file"), "evil") << "the link was replaced";
  EXPECT_EQ(text(*at + "/d/new"), "evil");
  EXPECT_EQ(text(*at + outside("chain")), "evil");
}

TEST_F(HostileImages, HardLinksStayBelowTheLayer) {
  const std::vector<std::string> targets = {"link/file", "/" + outside("file"), outside("file"), "../outside/file",
                                            "."};
  for (const std::string& target : targets) {
    auto at = layer([&](Tar& tar) { tar.symlink("link", outside("")).hard_link("got", target); });
    EXPECT_TRUE(at.failed_with(Code::kInvalid)) << target;
  }
  auto at = layer([&](Tar& tar) { tar.symlink("link", outside("file")).hard_link("got", "link").file("got", "evil"); });
  ASSERT_TRUE(at.ok()) << at.error().message;
  EXPECT_TRUE(layer([](Tar& tar) { tar.file("a", "1").hard_link("a", "a"); }).failed_with(Code::kInvalid));
}

TEST_F(HostileImages, NamesThatLeadOutAreRefused) {
  std::string deep;
  for (int i = 0; i < 3000; ++i) deep += "d/";
  for (const std::string& name :
       {std::string("../new"), std::string("a/../../new"), outside("new"), "/" + outside("new"), deep + "f"}) {
    auto at = layer([&](Tar& tar) { tar.file(name, "evil"); });
    ASSERT_TRUE(at.failed_with(Code::kInvalid)) << name.substr(0, 80);
    EXPECT_NE(at.error().message.find("leads out of the image"), std::string::npos) << at.error().message;
  }
  EXPECT_TRUE(list_directory(top_ + "/store/layers")->empty());
  EXPECT_TRUE(list_directory(top_ + "/store/tmp")->empty());
}

TEST_F(HostileImages, DirectoriesDeeperThanPathsAreNoHarm) {
  std::string deep;
  for (int i = 0; i < 1500; ++i) deep += "d/";
  auto at = layer([&](Tar& tar) {
    tar.directory(deep).symlink("l", deep).directory("l/" + deep).symlink("d2", "l/" + deep.substr(0, 600));
  });
  EXPECT_TRUE(!at.ok() || path_exists(*at + "/end"));
  EXPECT_TRUE(list_directory(top_ + "/store/tmp")->empty());
}

TEST_F(HostileImages, MarksOfTheOverlayAreNotTheImagesToSet) {
  auto at = layer([](Tar& tar) {
    tar.with_xattr("f", "trusted.overlay.redirect", "/etc").with_xattr("g", "trusted.overlay.metacopy", "");
    tar.with_xattr("h", "security.selinux", "x")
        .with_xattr("i", "user.overlay.redirect", "/etc")
        .with_xattr("j", "user.mine", "yes");
  });
  ASSERT_TRUE(at.ok()) << at.error().message;
  EXPECT_LT(::getxattr((*at + "/f").c_str(), "trusted.overlay.redirect", nullptr, 0), 0);
  EXPECT_LT(::getxattr((*at + "/g").c_str(), "trusted.overlay.metacopy", nullptr, 0), 0);
  EXPECT_LT(::getxattr((*at + "/h").c_str(), "security.selinux", nullptr, 0), 0);
  EXPECT_LT(::getxattr((*at + "/i").c_str(), "user.overlay.redirect", nullptr, 0), 0);
}

TEST_F(HostileImages, NodesAreMadeAsTheyAre) {
  auto at = layer([](Tar& tar) {
    tar.node("null", AE_IFCHR, 1, 3).node("pipe", AE_IFIFO).file("pipe", "now a file").node("disk", AE_IFBLK, 7, 200);
  });
  ASSERT_TRUE(at.ok()) << at.error().message;
  struct stat found {};
  ASSERT_EQ(::lstat((*at + "/null").c_str(), &found), 0);
  EXPECT_EQ(found.st_rdev, makedev(1, 3));
  EXPECT_EQ(found.st_mode & 07777, 0666u);
  EXPECT_EQ(text(*at + "/pipe"), "now a file");
}

TEST_F(HostileImages, ALayersNameIsADigestAndNothingElse) {
  std::string file = top_ + "/plain";
  Tar(file).file("x", "1");
  const std::vector<std::string> ids = {
      "sha256:../../../outside",        "sha256:/" + outside(""),         "sha256:..", "sha256:", "../outside",
      "sha256:" + std::string(64, 'G'), "sha512:" + std::string(128, 'a')};
  for (const std::string& id : ids) {
    auto images = import(archive("d", {file}, {id}));
    ASSERT_TRUE(images.failed_with(Code::kInvalid)) << id;
    EXPECT_NE(images.error().message.find("only sha256 digests"), std::string::npos) << images.error().message;
  }
  EXPECT_TRUE(store_->list().empty());
  // Neither is it where it was written by somebody else.
  ASSERT_TRUE(write_file(top_ + "/store/images.json", R"({"images":[{"id":"sha256:)" + std::string(64, 'a') +
                                                          R"(","diffIDs":["sha256:../../outside"]}]})")
                  .ok());
  reopen();
  EXPECT_TRUE(store_->list().empty());
}

TEST_F(HostileImages, TheArchiveItselfStaysInItsPlace) {
  std::string good = top_ + "/good";
  Tar(good).file("x", "1");
  auto outer = [&](const std::function<void(Tar&)>& fill, const std::string& config = "c",
                   const std::string& layer = "l") {
    std::string file = top_ + "/outer.tar";
    Tar tar(file);
    fill(tar);
    tar.file("c", R"({"rootfs":{"diff_ids":["sha256:)" + sum_of(good) + R"("]}})");
    tar.file("l", read_file(good).value());
    tar.file("manifest.json", R"([{"Config":")" + config + R"(","RepoTags":["o:1"],"Layers":[")" + layer + "\"]}]");
    return file;
  };
  EXPECT_TRUE(import(outer([&](Tar& tar) {
                tar.symlink("x", outside("")).file("x/new", "evil");
              })).failed_with(Code::kInvalid));
  EXPECT_TRUE(import(outer([&](Tar& tar) {
                tar.symlink("y", "../../../../../.." + outside("file"));
              })).failed_with(Code::kInvalid));
  EXPECT_TRUE(import(outer([&](Tar& tar) { tar.hard_link("x", outside("file")); })).ok());
  EXPECT_TRUE(import(outer([&](Tar& tar) { tar.file("../new", "evil"); })).failed_with(Code::kInvalid));
  EXPECT_TRUE(import(outer([](Tar&) {}, "../outside/file")).failed_with(Code::kInvalid));
  EXPECT_TRUE(import(outer([](Tar&) {}, "c", "../../../outside/file")).failed_with(Code::kInvalid));
  EXPECT_TRUE(import(outer([&](Tar& tar) { tar.symlink("s", "c").file("s/x", ""); })).ok());
}

TEST_F(HostileImages, IndexesOfThemselvesEnd) {
  // A blob cannot name its own digest, so one that claims to is damaged; and chains are short.
  std::string file = top_ + "/loop.tar";
  std::string digest(64, 'a');
  Tar(file)
      .file("index.json", R"({"manifests":[{"digest":"sha256:)" + digest + "\"}]}")
      .file("blobs/sha256/" + digest, R"({"manifests":[{"digest":"sha256:)" + digest + "\"}]}");
  auto images = import(file);
  ASSERT_TRUE(images.failed_with(Code::kInvalid));
  EXPECT_NE(images.error().message.find("damaged"), std::string::npos) << images.error().message;
  std::string inner = R"({"config":{}})";
  {
    Tar chain(file);
    for (int i = 0; i < 10; ++i) {
      chain.file("blobs/sha256/" + sha256_hex(inner), inner);
      inner = R"({"manifests":[{"digest":"sha256:)" + sha256_hex(inner) + "\"}]}";
    }
    chain.file("index.json", inner);
  }
  EXPECT_TRUE(import(file).failed_with(Code::kInvalid));
}

TEST_F(HostileImages, DocumentsAreBounded) {
  std::string file = top_ + "/big.tar";
  Tar(file).file("manifest.json", "[" + std::string(kLongestDocument, ' ') + "]");
  auto big = import(file);
  ASSERT_TRUE(big.failed_with(Code::kInvalid));
  EXPECT_NE(big.error().message.find("larger than"), std::string::npos) << big.error().message;
  std::string many;
  for (std::size_t i = 0; i <= kMostLayers; ++i) many += std::string(i ? "," : "") + "\"l\"";
  Tar(file).file("c", "{}").file("l", "").file("manifest.json",
                                               R"([{"Config":"c","RepoTags":[],"Layers":[)" + many + "]}]");
  auto layers = import(file);
  ASSERT_TRUE(layers.failed_with(Code::kInvalid));
  EXPECT_NE(layers.error().message.find("201 layers"), std::string::npos) << layers.error().message;
  std::string deep(100'000, '[');
  Tar(file).file("manifest.json", deep);
  EXPECT_TRUE(import(file).failed_with(Code::kInvalid));
  std::string images, config(1 << 20, ' ');
  for (int i = 0; i < 100; ++i) images += std::string(i ? "," : "") + R"({"Config":"c","RepoTags":[],"Layers":[]})";
  Tar(file).file("c", "{}" + config).file("manifest.json", "[" + images + "]");
  EXPECT_TRUE(import(file).failed_with(Code::kInvalid)) << "100 copies of a large configuration";
}

TEST_F(HostileImages, ALayerLargerThanTheDiskIsRefusedInTime) {
  std::string bomb = top_ + "/bomb", many = top_ + "/many", disk = top_ + "/disk";
  Tar(bomb, true).zeros("zeros", 48 << 20);
  {
    Tar files(many, true);
    for (int i = 0; i < 3000; ++i) files.file(std::to_string(i), "");
  }
  ASSERT_TRUE(make_directories(disk).ok());
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=16m,nr_inodes=1000"), 0);
    auto files = RootedDir::open(top_), into = RootedDir::open(disk);
    ASSERT_TRUE(files.ok() && into.ok());
    auto full = unpack_layer(*files, "bomb", "sha256:" + std::string(64, '0'), *into, *into, {});
    ASSERT_TRUE(full.failed_with(Code::kUnavailable)) << full.error().message;
    EXPECT_NE(full.error().message.find("no room for the image"), std::string::npos) << full.error().message;
    ASSERT_TRUE(into->remove_tree("zeros").ok());
    auto files_full = unpack_layer(*files, "many", "sha256:" + std::string(64, '0'), *into, *into, {});
    ASSERT_FALSE(files_full.ok());
  }).join();
}

TEST_F(HostileImages, ALayerOfCompressedZerosEnds) {
  // Behind the end of the tar, where nothing is written to the disk.
  std::string plain = top_ + "/plain", bomb = top_ + "/bomb.zst";
  Tar(plain).file("x", "1");
  auto made = run_checked(
      {.argv = {"/bin/sh", "-ec", "(cat " + plain + "; head -c 700000000 /dev/zero) | zstd -q -3 > " + bomb}});
  ASSERT_TRUE(made.ok()) << made.error().message;
  auto files = RootedDir::open(top_);
  ASSERT_TRUE(files.ok() && files->make_directory("into", 0755).ok());
  auto into = files->directory("into");
  ASSERT_TRUE(into.ok());
  auto unpacked = unpack_layer(*files, "bomb.zst", "sha256:" + std::string(64, '0'), *into, *into, {});
  ASSERT_FALSE(unpacked.ok());
  EXPECT_NE(unpacked.error().message.find("bytes when decompressed"), std::string::npos) << unpacked.error().message;
}

// The tree of no packages, which a build would have mmdebstrap make, is taken from the cache.
TEST_F(HostileImages, ABuildPutsFilesInItsOwnTree) {
  std::string cache = top_ + "/cache", source = top_ + "/source", output = top_ + "/built.tar";
  ASSERT_TRUE(make_directories(cache).ok());
  ASSERT_TRUE(write_file(source, "mine").ok());
  Tar(cache + "/bookworm-" + sha256_hex("bookworm\n").substr(0, 16) + ".tar")
      .directory("var")
      .symlink("var/run", outside(""))
      .symlink("var/file", outside("file"));
  BuildOptions options;
  options.reference = "built:1";
  options.files = {{source, "/var/run/new"}, {source, "/var/file"}, {source, "/opt/deep/file"}};
  auto built = build_image(options, cache, output, [](std::string_view) {});
  ASSERT_TRUE(built.ok()) << built.error().message;
  auto images = import(output);
  ASSERT_TRUE(images.ok()) << images.error().message;
  std::string at = images->front()->layers.back();
  EXPECT_EQ(text(at + outside("new")), "mine") << "where the link leads inside of the image";
  EXPECT_EQ(text(at + "/var/file"), "mine") << "the link was replaced";
  EXPECT_EQ(text(at + "/opt/deep/file"), "mine");
}

TEST_F(HostileImages, ABuildThatFailsTellsWhatDpkgSaid) {
  std::string programs = top_ + "/bin";
  ASSERT_TRUE(make_directories(programs).ok());
  ASSERT_TRUE(
      write_file(programs + "/mmdebstrap",
                 "#!/bin/sh\necho 'I: installing' >&2\necho 'dpkg: error processing package x (--configure)' >&2\n"
                 "echo 'E: mmdebstrap failed to run' >&2\nexit 25\n",
                 0755)
          .ok());
  std::string before = ::getenv("PATH");
  ::setenv("PATH", (programs + ":" + before).c_str(), 1);
  BuildOptions options;
  options.reference = "built:1";
  options.packages = {"x"};
  std::string told;
  auto built = build_image(options, top_ + "/cache", top_ + "/built.tar",
                           [&](std::string_view line) { told += std::string(line) + "\n"; });
  ::setenv("PATH", before.c_str(), 1);
  ASSERT_FALSE(built.ok());
  EXPECT_EQ(built.error().message,
            "installing packages: mmdebstrap: exit code 25: dpkg: error processing package x (--configure)");
  EXPECT_NE(told.find("dpkg: error processing package x"), std::string::npos) << told;
}

TEST_F(HostileImages, ADirectoryOfALowerLayerKeepsItsOwnerAndMode) {
  std::string low = top_ + "/low", high = top_ + "/high";
  Tar(low).directory("tmp", 01777).directory("home", 0750);
  Tar(high).file("tmp/f", "1").file("home/new/f", "2");
  auto images = import(archive("inherit", {low, high}));
  ASSERT_TRUE(images.ok()) << images.error().message;
  struct stat at {};
  ASSERT_EQ(::stat((images->front()->layers[1] + "/tmp").c_str(), &at), 0);
  EXPECT_EQ(at.st_mode & 07777, 01777u);
  ASSERT_EQ(::stat((images->front()->layers[1] + "/home").c_str(), &at), 0);
  EXPECT_EQ(at.st_mode & 07777, 0750u);
  ASSERT_EQ(::stat((images->front()->layers[1] + "/home/new").c_str(), &at), 0);
  EXPECT_EQ(at.st_mode & 07777, 0755u);
}

TEST_F(HostileImages, ModesAndTimesAreTheImagesWhateverTheUmask) {
  ::mode_t before = ::umask(077);
  auto at = layer([](Tar& tar) { tar.directory("d", 0755).file("d/f", "x", 0644).file("implied/f", "x", 04755); });
  ::umask(before);
  ASSERT_TRUE(at.ok()) << at.error().message;
  for (auto [path, mode] : {std::pair<const char*, unsigned>{"", 0755},
                            {"/d", 0755},
                            {"/d/f", 0644},
                            {"/implied", 0755},
                            {"/implied/f", 04755}}) {
    struct stat found {};
    ASSERT_EQ(::stat((*at + path).c_str(), &found), 0) << path;
    EXPECT_EQ(found.st_mode & 07777, mode) << path;
    EXPECT_TRUE(found.st_mtim.tv_sec == 1'600'000'000 || !std::string(path).starts_with("/d")) << path;
  }
}

TEST_F(HostileImages, ADataDirectoryBehindALinkIsLeftAlone) {
  ASSERT_TRUE(make_directories(top_ + "/real").ok());
  ASSERT_EQ(::symlink("real", (top_ + "/alias").c_str()), 0);
  store_.reset();
  auto opened = open_image_store(loop_, top_ + "/alias/store");
  ASSERT_TRUE(opened.ok());
  store_ = std::move(*opened);
  auto at = layer([](Tar& tar) { tar.file("d/f", "x").file("d/f", "y"); });
  ASSERT_TRUE(at.ok()) << at.error().message;
  struct stat link {};
  ASSERT_EQ(::lstat((top_ + "/alias").c_str(), &link), 0);
  EXPECT_TRUE(S_ISLNK(link.st_mode));
  EXPECT_EQ(text(*at + "/d/f"), "y");
}

TEST_F(HostileImages, NamesInAnyWritingAreKept) {
  auto at =
      layer([](Tar& tar) { tar.file("F\xc5\x91tan\xc3\xbas\xc3\xadtv\xc3\xa1ny.crt", "x").file("latin\xe9", "y"); });
  ASSERT_TRUE(at.ok()) << at.error().message;
  EXPECT_TRUE(path_exists(*at + "/F\xc5\x91tan\xc3\xbas\xc3\xadtv\xc3\xa1ny.crt"));
  EXPECT_TRUE(path_exists(*at + "/latin\xe9"));
}

}  // namespace
}  // namespace berth::agent
