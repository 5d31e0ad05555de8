#include "agent/images/image_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <thread>

#include "base/fault.h"
#include "base/files.h"
#include "base/loop.h"
#include "base/process/process.h"
#include "base/text.h"

namespace berth::agent {
namespace {

TEST(References, AreNormalized) {
  EXPECT_EQ(normalize_reference("nginx").value(), "docker.io/library/nginx:latest");
  EXPECT_EQ(normalize_reference("nginx:1.25").value(), "docker.io/library/nginx:1.25");
  EXPECT_EQ(normalize_reference("a/b").value(), "docker.io/a/b:latest");
  EXPECT_EQ(normalize_reference("localhost:5000/x:v1").value(), "localhost:5000/x:v1");
  EXPECT_EQ(normalize_reference("berth.dev/sample/web:1").value(), "berth.dev/sample/web:1");
  std::string digest = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(normalize_reference("x@" + digest).value(), "docker.io/library/x@" + digest);
}

TEST(References, RefuseWhatIsNone) {
  for (const char* bad : {"", "UPPER", "a b", "x:", "x:-bad", "x@sha256:12", "/x", "x//y"}) {
    Result<std::string> result = normalize_reference(bad);
    ASSERT_TRUE(result.failed_with(Code::kInvalid)) << bad;
    EXPECT_EQ(result.error().message,
              "couldn't parse image name \"" + std::string(bad) + "\": invalid reference format");
  }
}

class ImageStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-images-XXXXXX";
    directory_ = ::mkdtemp(name);
    reopen();
  }
  void TearDown() override {
    store_.reset();
    ASSERT_TRUE(remove_all(directory_).ok());
  }
  void reopen() {
    store_.reset();
    Result<std::unique_ptr<ImageStore>> opened = open_image_store(loop_, directory_ + "/store");
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
  }
  // The images are as if a registry had them.
  void take_for_pulled() {
    shell("sed -i 's/\"pulled\":false/\"pulled\":true/g' store/images.json");
    reopen();
  }
  void shell(const std::string& line) {
    Result<std::string> done = run_checked({.argv = {"/bin/sh", "-ec", line}, .directory = directory_});
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
  // A docker-archive of one layer with `prepare` run in its root. `wrong_sum`: the configuration names another layer.
  std::string archive(const std::string& tag, const std::string& prepare, const std::string& compress = "cat",
                      bool wrong_sum = false) {
    shell("rm -rf root out && mkdir -p root out && cd root && " + prepare);
    shell("tar -C root --numeric-owner --xattrs --xattrs-include='*' -cf layer.tar .");
    std::string sum(cut(run_checked({.argv = {"sha256sum", directory_ + "/layer.tar"}}).value(), " ").before);
    if (wrong_sum) sum[0] = sum[0] == '0' ? '1' : '0';
    shell(compress + " < layer.tar > out/layer");
    EXPECT_TRUE(
        write_file(directory_ + "/out/config.json",
                   R"({"config":{"Cmd":["x"]},"rootfs":{"type":"layers","diff_ids":["sha256:)" + sum + R"("]}})")
            .ok());
    EXPECT_TRUE(write_file(directory_ + "/out/manifest.json",
                           R"([{"Config":"config.json","RepoTags":[")" + tag + R"("],"Layers":["layer"]}])")
                    .ok());
    shell("tar -C out -cf image.tar .");
    return directory_ + "/image.tar";
  }
  Result<std::vector<std::shared_ptr<const Image>>> import(const std::string& file, const std::string& reference = "") {
    std::optional<Result<std::vector<std::shared_ptr<const Image>>>> answer;
    store_->import(file, reference, [&](auto result) { answer.emplace(std::move(result)); });
    while (!answer) loop_.run_once(10s);
    return *answer;
  }
  Status remove(const std::string& reference) {
    std::optional<Status> answer;
    store_->remove(reference, [&](Status status) { answer = status; });
    while (!answer) loop_.run_once(10s);
    return *answer;
  }

  Loop loop_{2};
  std::string directory_;
  std::unique_ptr<ImageStore> store_;
};

TEST_F(ImageStoreTest, ImportsAndFindsBySpelling) {
  auto images = import(archive("web:1", "echo hi > a && mkdir d && ln -s ../a d/link && ln a hard && chmod 4755 a"));
  ASSERT_TRUE(images.ok()) << images.error().message;
  std::shared_ptr<const Image> image = store_->find("docker.io/library/web:1");
  ASSERT_TRUE(image);
  EXPECT_EQ(store_->find("web:1"), image);
  EXPECT_EQ(store_->find(image->id), image);
  EXPECT_EQ(store_->find(image->id.substr(7, 12)), image);
  EXPECT_FALSE(store_->find("web:2"));
  EXPECT_EQ(image->config["Cmd"][0].as_string(), "x");
  ASSERT_EQ(image->layers.size(), 1u);
  EXPECT_EQ(read_file(image->layers[0] + "/d/link").value(), "hi\n");
  struct stat info {};
  ASSERT_EQ(::stat((image->layers[0] + "/hard").c_str(), &info), 0);
  EXPECT_EQ(info.st_nlink, 2u);
  EXPECT_EQ(info.st_mode & 07777, 04755u);
}

TEST_F(ImageStoreTest, ReadsCompressedLayersAndSurvivesARestart) {
  ASSERT_TRUE(import(archive("a:1", "echo 1 > x", "gzip")).ok());
  ASSERT_TRUE(import(archive("b:1", "echo 2 > x", "zstd -q")).ok());
  reopen();
  ASSERT_TRUE(store_->find("a:1"));
  EXPECT_EQ(read_file(store_->find("b:1")->layers[0] + "/x").value(), "2\n");
}

TEST_F(ImageStoreTest, WhiteoutsTakeOverlaysForm) {
  auto images = import(archive("w:1", "mkdir d && touch .wh.gone d/.wh..wh..opq d/kept"));
  ASSERT_TRUE(images.ok()) << images.error().message;
  std::string layer = images->front()->layers[0];
  struct stat info {};
  ASSERT_EQ(::stat((layer + "/gone").c_str(), &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  char value[2] = {};
  EXPECT_EQ(::getxattr((layer + "/d").c_str(), "trusted.overlay.opaque", value, 1), 1);
  EXPECT_FALSE(path_exists(layer + "/d/.wh..wh..opq"));
}

TEST_F(ImageStoreTest, DamageChangesNothingAndIsNamed) {
  auto wrong = import(archive("w:1", "echo 1 > x", "cat", true));
  ASSERT_TRUE(wrong.failed_with(Code::kInvalid));
  EXPECT_NE(wrong.error().message.find("is not the one its image names"), std::string::npos) << wrong.error().message;
  std::string good = archive("g:1", "head -c 300000 /dev/urandom > x");
  ASSERT_EQ(::truncate(good.c_str(), 100000), 0);
  auto torn = import(good);
  ASSERT_FALSE(torn.ok());
  EXPECT_NE(torn.error().message.find("damaged"), std::string::npos) << torn.error().message;
  EXPECT_TRUE(write_file(directory_ + "/text", "this is no archive at all\n").ok());
  EXPECT_TRUE(import(directory_ + "/text").failed_with(Code::kInvalid));
  EXPECT_TRUE(store_->list().empty());
  EXPECT_TRUE(list_directory(directory_ + "/store/layers")->empty());
  EXPECT_TRUE(list_directory(directory_ + "/store/tmp")->empty());
}

TEST_F(ImageStoreTest, NothingLeavesTheImage) {
  std::string file = archive("e:1", "echo 1 > x");
  shell("mkdir -p evil/in && echo bad > evil/escaped && cd evil/in && tar -P -cf ../../layer.tar ../escaped");
  std::string sum(cut(run_checked({.argv = {"sha256sum", directory_ + "/layer.tar"}}).value(), " ").before);
  ASSERT_TRUE(
      write_file(directory_ + "/out/config.json", R"({"config":{},"rootfs":{"diff_ids":["sha256:)" + sum + R"("]}})")
          .ok());
  shell("cp layer.tar out/layer && tar -C out -cf image.tar .");
  auto escaped = import(file);
  ASSERT_TRUE(escaped.failed_with(Code::kInvalid));
  EXPECT_NE(escaped.error().message.find("leads out of the image"), std::string::npos) << escaped.error().message;
  EXPECT_TRUE(store_->list().empty());
}

TEST_F(ImageStoreTest, ATagMovesAndSharedLayersStay) {
  ASSERT_TRUE(import(archive("t:1", "echo same > x")).ok());
  std::string first = store_->find("t:1")->id;
  ASSERT_TRUE(import(archive("t:1", "echo other > x")).ok());
  EXPECT_NE(store_->find("t:1")->id, first);
  EXPECT_TRUE(store_->find(first)->tags.empty());
  ASSERT_TRUE(remove(first).ok());
  EXPECT_EQ(list_directory(directory_ + "/store/layers")->size(), 1u);
  reopen();
  EXPECT_TRUE(list_directory(directory_ + "/store/tmp")->empty());
  EXPECT_TRUE(store_->find("t:1"));
  EXPECT_TRUE(remove("absent").failed_with(Code::kNotFound));
}

TEST_F(ImageStoreTest, CollectsTheLongestUnusedButNoneInUse) {
  for (const char* tag : {"a:1", "b:1", "c:1"})
    ASSERT_TRUE(import(archive(tag, std::string("echo ") + tag + " > x")).ok());
  take_for_pulled();
  std::optional<Result<std::int64_t>> freed;
  store_->collect({store_->find("a:1")->id}, 1, [&](Result<std::int64_t> bytes) { freed = bytes; });
  while (!freed) loop_.run_once(10s);
  ASSERT_TRUE(freed->ok());
  EXPECT_GT(**freed, 0);
  EXPECT_TRUE(store_->find("a:1"));
  EXPECT_EQ(store_->list().size(), 2u);
}

TEST_F(ImageStoreTest, CollectsNothingThatWasImportedAndCanBeNamed) {
  ASSERT_TRUE(import(archive("a:1", "echo 1 > x")).ok());
  ASSERT_TRUE(import(archive("a:1", "echo 2 > x")).ok());  // takes the tag from the one before
  ASSERT_EQ(store_->list().size(), 2u);
  reopen();
  std::optional<Result<std::int64_t>> freed;
  store_->collect({}, std::int64_t{1} << 40, [&](Result<std::int64_t> bytes) { freed = bytes; });
  while (!freed) loop_.run_once(10s);
  ASSERT_EQ(store_->list().size(), 1u);
  EXPECT_EQ(read_file(store_->find("a:1")->layers[0] + "/x").value(), "2\n");
}

TEST_F(ImageStoreTest, ARegistryThatDoesNotAnswerHoldsUpNothingElse) {
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 16), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  int answers = 0;
  for (int i = 0; i < 4; ++i) {
    std::string name = "127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/x" + std::to_string(i) + ":1";
    store_->pull(name, {}, [&answers](auto pulled) {
      EXPECT_FALSE(pulled.ok());
      ++answers;
    });
  }
  bool other = false;
  loop_.offload([] {}, [&other] { other = true; });
  while (!other) loop_.run_once(10s);
  EXPECT_EQ(answers, 0) << "no pull has ended";
  listener.reset();
  while (answers < 4) loop_.run_once(10s);
}

TEST_F(ImageStoreTest, TheIndexIsNotWrittenOnTheLoop) {
  static std::set<std::thread::id> writers;
  writers.clear();
  fault::on_step([](std::string_view name) {
    if (name == "images.index") writers.insert(std::this_thread::get_id());
  });
  ASSERT_TRUE(import(archive("a:1", "echo 1 > x")).ok());
  ASSERT_TRUE(remove("a:1").ok());
  store_.reset();
  fault::on_step(nullptr);
  EXPECT_EQ(writers.size(), 1u);
  EXPECT_FALSE(writers.contains(std::this_thread::get_id()));
}

TEST_F(ImageStoreTest, AFullDiskNeitherLosesNorHalvesTheIndex) {
  ASSERT_TRUE(import(archive("a:1", "echo 1 > x")).ok());
  const std::string index = directory_ + "/store/images.json";
  const std::string before = *read_file(index);
  const std::string file = archive("b:1", "echo 2 > x");
  // Where the bytes cannot be written, or not be kept.
  for (const char* point : {"files.write", "files.fsync", "files.rename"}) {
    fault::on_step([point](std::string_view name) {
      if (name == "images.index") fault::arm(point, 1);
    });
    EXPECT_FALSE(import(file).ok()) << point;
    fault::on_step(nullptr);
    fault::disarm_all();
    EXPECT_EQ(*read_file(index), before) << point;
    EXPECT_EQ(store_->list().size(), 1u) << "what the index does not have is not served";
    EXPECT_EQ(list_directory(directory_ + "/store/layers")->size(), 1u) << "and takes no space";
    EXPECT_EQ(list_directory(directory_ + "/store")->size(), 4u) << "nor does what was half written";
  }
  ASSERT_TRUE(import(file).ok());
  reopen();
  EXPECT_EQ(store_->list().size(), 2u);
}

// Removing images is what frees a full disk.
TEST_F(ImageStoreTest, AnImageCanBeRemovedWhereTheIndexCannotBeWritten) {
  ASSERT_TRUE(import(archive("a:1", "echo 1 > x")).ok());
  ASSERT_TRUE(import(archive("b:1", "echo 2 > x")).ok());
  fault::arm("files.write", 1'000);
  EXPECT_TRUE(remove("a:1").ok());
  fault::disarm_all();
  EXPECT_EQ(list_directory(directory_ + "/store/layers")->size(), 1u);
  EXPECT_EQ(store_->list().size(), 1u);
  reopen();
  EXPECT_FALSE(store_->find("a:1"));
  EXPECT_TRUE(store_->find("b:1"));
  // One whose layers all belong to another as well would free nothing: it stays as it is.
  ASSERT_TRUE(import(archive("a:1", "echo 1 > x")).ok());
  shell(
      "sed -i 's/\\[\"x\"\\]/[\"y\"]/' out/config.json; sed -i 's/a:1/c:1/' out/manifest.json; tar -C out -cf image.tar .");
  ASSERT_TRUE(import(directory_ + "/image.tar").ok());
  ASSERT_EQ(store_->find("a:1")->layers, store_->find("c:1")->layers);
  fault::arm("files.write", 1'000);
  EXPECT_FALSE(remove("a:1").ok());
  fault::disarm_all();
  EXPECT_TRUE(store_->find("a:1"));
  EXPECT_TRUE(remove("a:1").ok());
  EXPECT_TRUE(path_exists(store_->find("c:1")->layers[0]));
}

TEST_F(ImageStoreTest, ChangesOfTheIndexFollowEachOther) {
  ASSERT_TRUE(import(archive("a:1", "echo 1 > x")).ok());
  ASSERT_TRUE(import(archive("b:1", "echo 2 > x")).ok());
  take_for_pulled();
  std::vector<std::string> ended;
  store_->remove("a:1",
                 [&](const Status& status) { ended.push_back(status.ok() ? "removed" : status.error().message); });
  store_->remove("a:1", [&](const Status& status) { ended.push_back(status.ok() ? "removed" : "absent"); });
  store_->collect({}, 1, [&](const Result<std::int64_t>& freed) {
    ended.push_back(freed.ok() ? "collected" : freed.error().message);
  });
  store_->collect({}, 1, [&](const Result<std::int64_t>& freed) {
    ended.push_back(freed.ok() && *freed == 0 ? "nothing left" : "?");
  });
  while (ended.size() < 4) loop_.run_once(10s);
  EXPECT_EQ(ended, (std::vector<std::string>{"removed", "absent", "collected", "nothing left"}));
  reopen();
  EXPECT_TRUE(store_->list().empty());
}

TEST_F(ImageStoreTest, AnImageThatIsUsedWhileACollectionWaitsForItsTurnStays) {
  for (const char* tag : {"a:1", "b:1", "c:1"})
    ASSERT_TRUE(import(archive(tag, std::string("echo ") + tag + " > x")).ok());
  take_for_pulled();
  std::optional<Result<std::int64_t>> freed;
  store_->remove("c:1", [](const Status&) {});  // the turn before
  store_->collect({}, 1 << 30, [&](Result<std::int64_t> bytes) { freed = bytes; });
  store_->touch(store_->find("a:1")->id);
  while (!freed) loop_.run_once(10s);
  ASSERT_TRUE(freed->ok());
  ASSERT_TRUE(store_->find("a:1"));
  EXPECT_TRUE(path_exists(store_->find("a:1")->layers[0]));
  EXPECT_FALSE(store_->find("b:1"));
  EXPECT_FALSE(store_->find("c:1"));
}

TEST_F(ImageStoreTest, AMissingLayerIsNotServed) {
  ASSERT_TRUE(import(archive("a:1", "echo 1 > x")).ok());
  ASSERT_TRUE(remove_all(store_->find("a:1")->layers[0]).ok());
  reopen();
  EXPECT_FALSE(store_->find("a:1"));
}

}  // namespace
}  // namespace berth::agent
