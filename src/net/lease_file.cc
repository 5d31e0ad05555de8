#include "net/lease_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/json/json.h"
#include "base/log.h"

namespace berth::net {

Status LeaseFile::load(AddressPool& pool) {
  Result<std::string> text = read_file(path_);
  if (text.failed_with(Code::kNotFound)) return {};
  if (!text.ok()) return text.error();
  const std::string_view all = *text;
  std::size_t end = std::min(all.find('\n'), all.size());
  if (all.empty()) return {};  // the file was created, but its content was lost in a power failure
  Result<Value> saved = json::parse(all.substr(0, end));
  if (!saved.ok()) {
    log_warning("net", "the addresses of pods cannot be read; those that do not run get new ones",
                {{"file", path_}, {"kept as", path_ + ".damaged"}, {"error", saved.error().message}});
    if (::rename(path_.c_str(), (path_ + ".damaged").c_str()) != 0) return errno_error("putting " + path_ + " aside");
    return {};
  }
  Value leases = (*saved)["leases"].is_object() ? (*saved)["leases"] : Value::object();
  int changes = 0;
  while (end + 1 < all.size()) {
    const std::size_t begin = end + 1, next = all.find('\n', begin);
    const Result<Value> change = json::parse(all.substr(begin, next == std::string_view::npos ? next : next - begin));
    if (next == std::string_view::npos || !change.ok() || (*change)["uid"].as_string().empty()) {
      log_warning("net", "the last changes of pod addresses are lost", {{"file", path_}});
      break;
    }
    const std::string uid((*change)["uid"].as_string());
    const Value& ip = (*change)["ip"];
    if (ip.is_string()) {
      // The release of the earlier owner could not be recorded: the later entry is valid.
      const Value before = leases;
      for (auto [owner, address] : before.entries()) {
        if (address == ip) leases.erase(owner);
      }
      leases.set(uid, ip);
      if (Result<std::uint32_t> address = parse_ipv4(ip.as_string()); address.ok())
        saved->set("next", format_ipv4(*address + 1));
    } else {
      leases.erase(uid);
    }
    ++changes;
    end = next;
  }
  saved->set("leases", leases);
  pool.restore(*saved);
  if (end + 1 != all.size()) return {};  // an incomplete last line: the next change rewrites the file
  file_ = Fd(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  if (!file_) return errno_error("opening " + path_);
  size_ = static_cast<std::int64_t>(all.size());
  changes_ = changes;
  return {};
}

Status LeaseFile::record(const AddressPool& pool, const std::string& pod_uid) {
  if (changes_ >= kChanges) return replace(pool);
  Value change = Value::object({{"uid", pod_uid}});
  if (auto lease = pool.leases().find(pod_uid); lease != pool.leases().end())
    change.set("ip", format_ipv4(lease->second));
  const std::string line = json::encode(change) + "\n";
  const ssize_t written = ::write(file_.get(), line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) {
    Error why = errno_error("writing " + path_, written < 0 ? errno : ENOSPC);
    (void)!::ftruncate(file_.get(), size_);
    changes_ = kChanges;  // the next change writes the complete pool, including the failed change
    return why;
  }
  size_ += written;
  ++changes_;
  return {};
}

Status LeaseFile::replace(const AddressPool& pool) {
  const std::string line = json::encode(pool.to_json()) + "\n";
  BERTH_TRY(write_file_durably(path_, line));
  changes_ = kChanges;
  file_ = Fd(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  if (!file_) return errno_error("opening " + path_);
  size_ = static_cast<std::int64_t>(line.size());
  changes_ = 0;
  return {};
}

}  // namespace berth::net
