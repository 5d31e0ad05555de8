#include "http/unread.h"

#include <algorithm>
#include <utility>

namespace berth::http {

namespace {

struct Charged {
  std::shared_ptr<const void> owner;
  UnreadAccountPtr account;
  std::size_t bytes;
  Charged(std::shared_ptr<const void> o, UnreadAccountPtr a, std::size_t b)
      : owner(std::move(o)), account(std::move(a)), bytes(b) {
    account->add(bytes);
  }
  Charged(const Charged&) = delete;
  ~Charged() { account->remove(bytes); }
};

}  // namespace

void UnreadAccount::add(std::size_t bytes) const {
  all->bytes.fetch_add(bytes);
  if (user && user->bytes.fetch_add(bytes) == 0) all->users.fetch_add(1);
  if (connection) connection->fetch_add(bytes);
}

void UnreadAccount::remove(std::size_t bytes) const {
  all->bytes.fetch_sub(bytes);
  if (user && user->bytes.fetch_sub(bytes) == bytes) all->users.fetch_sub(1);
  if (connection) connection->fetch_sub(bytes);
}

bool UnreadAccount::over_share(std::size_t most) const {
  if (all->bytes.load() > most) return true;
  if (!user) return false;
  const auto users = static_cast<std::size_t>(std::max(1, all->users.load()));
  return user->bytes.load() > most / 2 / (users + 1) || (connection && connection->load() > most / 8);
}

void charge(const UnreadAccountPtr& account, std::vector<SharedBytes>& pieces) {
  for (SharedBytes& piece : pieces) {
    if (!piece.made_for_answer || piece.bytes.size() < kChargedFrom) continue;
    piece.owner = std::make_shared<const Charged>(std::move(piece.owner), account, piece.bytes.size());
    piece.made_for_answer = false;
  }
}

std::shared_ptr<const void> charge_shared(const UnreadAccount& account, const std::shared_ptr<const std::string>& text,
                                          std::size_t bytes) {
  if (!account.user) return text;
  UnreadOfUser& user = *account.user;
  if (user.shared.size() >= user.sweep_at) {
    user.examined += user.shared.size();
    std::erase_if(user.shared, [](const auto& one) { return one.second.expired(); });
    user.sweep_at = 2 * user.shared.size() + 64;
  }
  std::weak_ptr<const void>& entry = user.shared[text.get()];
  std::shared_ptr<const void> owner = entry.lock();
  if (!owner) {
    owner = std::make_shared<const Charged>(
        text, std::make_shared<const UnreadAccount>(UnreadAccount{account.all, account.user, nullptr}), bytes);
    entry = owner;
  }
  return owner;
}

std::shared_ptr<UnreadOfUser> UnreadUsers::find_or_add(const std::string& name) {
  if (users_.size() >= sweep_at_) {
    std::erase_if(users_, [](const auto& one) { return one.second.expired(); });
    sweep_at_ = 2 * users_.size() + 64;
  }
  std::weak_ptr<UnreadOfUser>& entry = users_[name];
  std::shared_ptr<UnreadOfUser> user = entry.lock();
  if (!user) entry = user = std::make_shared<UnreadOfUser>();
  return user;
}

}  // namespace berth::http
