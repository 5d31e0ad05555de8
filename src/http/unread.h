#pragma once
// Bytes of answers on their way to peers that have not taken them: counted in all, by user and by connection. What a
// list or an object shares with the store costs nothing and is not counted; a watch's event is, since its version is
// soon an old one that nothing else holds.
//
// Whoever reads nothing fills a share of its own: a user has half of what there is, divided by the users that have
// anything unread and one more, a connection an eighth of it. Counts are kept by the bytes themselves, so they go down
// on any thread.

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "http/server.h"

namespace berth::http {

struct Unread {
  std::atomic<std::size_t> bytes{0};
  std::atomic<int> users{0};  // that have any
};

struct UnreadOfUser {
  std::atomic<std::size_t> bytes{0};
  // Texts that several answers of this user have, each counted once. Loop thread only.
  std::unordered_map<const std::string*, std::weak_ptr<const void>> shared;
  std::size_t look_at = 64;   // entries of `shared`: with so many, expired ones are looked for
  std::size_t looked_at = 0;  // entries, by all looks together
};

// Whom the bytes of one answer are counted for.
struct UnreadAccount {
  std::shared_ptr<Unread> all;
  std::shared_ptr<UnreadOfUser> user;                    // null: nobody's
  std::shared_ptr<std::atomic<std::size_t>> connection;  // null: of several

  void add(std::size_t bytes) const;
  void remove(std::size_t bytes) const;
  // `most`: of all.
  bool over_share(std::size_t most) const;
};
using UnreadAccountPtr = std::shared_ptr<const UnreadAccount>;

// Counts the pieces that were made for one answer, until the last of each is gone. Those below kChargedFrom are copied
// together on the way out, and are bounded by their number.
inline constexpr std::size_t kChargedFrom = 256;
void charge(const UnreadAccountPtr& account, std::vector<SharedBytes>& pieces);
// An owner of the text that counts it once for the account's user, as `bytes`, as long as any of these owners is there.
std::shared_ptr<const void> charge_shared(const UnreadAccount& account, const std::shared_ptr<const std::string>& text,
                                          std::size_t bytes);

// Users by name, as long as they have answers. Loop thread only.
class UnreadUsers {
 public:
  std::shared_ptr<UnreadOfUser> of(const std::string& name);

 private:
  std::unordered_map<std::string, std::weak_ptr<UnreadOfUser>> users_;
  std::size_t look_at_ = 64;
};

}  // namespace berth::http
