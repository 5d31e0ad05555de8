#pragma once
// Bytes of answers that peers have not read: counted in total, by user and by connection. Bytes that a list or an
// object shares with the store cost nothing and are not counted; those of a watch event are, since the store soon
// replaces its version, and then only the event has it.
//
// A peer that reads nothing exhausts its own share, not the total. The share of a user is half of the limit, divided by
// the number of users that have unread bytes and one more; that of a connection is an eighth of the limit. The owners
// of the bytes subtract them when they are destroyed, on any thread.

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
  std::size_t sweep_at = 64;  // entries of `shared`: with so many, expired ones are erased
  std::size_t examined = 0;   // entries, by all sweeps together
};

// The counts to which the bytes of one answer are added.
struct UnreadAccount {
  std::shared_ptr<Unread> all;
  std::shared_ptr<UnreadOfUser> user;                    // null: of no user
  std::shared_ptr<std::atomic<std::size_t>> connection;  // null: of several connections

  void add(std::size_t bytes) const;
  void remove(std::size_t bytes) const;
  // `most`: the limit of the total.
  bool over_share(std::size_t most) const;
};
using UnreadAccountPtr = std::shared_ptr<const UnreadAccount>;

// Counts the pieces that were made for one answer, until the last copy of each is destroyed. Those below kChargedFrom
// are copied together on the way out, and are bounded by their number.
inline constexpr std::size_t kChargedFrom = 256;
void charge(const UnreadAccountPtr& account, std::vector<SharedBytes>& pieces);
// Returns an owner of the text that counts it once for the account's user, as `bytes`, until the last of these owners
// is destroyed.
std::shared_ptr<const void> charge_shared(const UnreadAccount& account, const std::shared_ptr<const std::string>& text,
                                          std::size_t bytes);

// Users by name, as long as they have answers. Loop thread only.
class UnreadUsers {
 public:
  std::shared_ptr<UnreadOfUser> find_or_add(const std::string& name);

 private:
  std::unordered_map<std::string, std::weak_ptr<UnreadOfUser>> users_;
  std::size_t sweep_at_ = 64;
};

}  // namespace berth::http
