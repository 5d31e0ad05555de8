#pragma once
// Forwarder: takes questions about names outside of the cluster to upstream servers, one after the other; over UDP,
// whose truncated answers the asker hears of, and over TCP for askers that have come over TCP.
//
// Each question travels from a socket of its own, so from a port that the kernel chooses, and with an id of its own
// choice; what comes back is taken only with that id and the same question, and otherwise waited on for.
//
// An upstream that has said nothing at all while questions for several names waited for it in vain is left out for a
// while, but for a question a second of each asker that looks whether it is back, so that askers hear of a failure at
// once instead of after their own patience. A single name that nobody answers for takes nothing from the others. Nor
// does a single asker: it can have no more questions under way than are left for all others. Where no upstream can be
// reached at all, for none is known or no route leads to one, names outside do not exist: resolvers wait and ask again
// after a failure, not after a "no".

#include <sys/socket.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/function.h"
#include "base/loop.h"
#include "base/result.h"

namespace berth::net::dns {

struct ForwarderConfig {
  std::vector<std::string> upstreams;  // see upstream_address(); in order
  int port = 53;                       // of those that name none
  Duration patience = 2s;              // with each; twice that with all of them together
  Duration left_out = 10s;             // of one that did not answer
};

class Forwarder {
 public:
  Forwarder(Loop& loop, ForwarderConfig config);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;

  // `asker`: a number of its own for each, as its address. `answered` gets an answer for the asker of `question`:
  // upstream's, SERVFAIL or NXDOMAIN. Once, at once or later, and not after the end of the forwarder.
  void ask(std::string question, bool tcp, std::uint32_t asker, Function<void(std::string)> answered);

 private:
  using Id = std::uint64_t;
  struct Upstream {
    std::string name;
    Duration silent_since{}, silent_until{};
    std::map<std::uint32_t, Duration> look_again{};  // by asker, while it is silent
    Duration heard{};                                // when anything came from it last
    std::set<std::string> unanswered{};              // some names, since then
  };
  struct Asked {
    Fd socket;
    TimerId timer = 0;
    std::size_t upstream = 0;
    bool tcp = false;
    bool reachable = false;  // some upstream was
    Duration until{};        // with all upstreams
    Duration sent{};         // to the present one
    std::uint32_t asker = 0;
    std::uint16_t id = 0;  // on its way
    std::string question;  // as it came
    std::string out, in;   // of the connection
    Function<void(std::string)> answered;
  };

  void try_upstream(Asked asked);
  Status send(Asked& asked) const;
  bool left_out(Upstream& upstream, std::uint32_t asker) const;
  void unanswered(const Asked& asked);
  void heard(const Asked& asked);
  void read(Id number);
  void talk(Id number);  // over TCP: each message behind its length in two bytes
  void take(Id number, std::string reply);
  void next_upstream(Id number);
  Asked release(Id number);

  Loop& loop_;
  const ForwarderConfig config_;
  std::vector<Upstream> upstreams_;
  Id last_ = 0;  // numbers are not used again, as those of descriptors are
  std::map<Id, Asked> asked_;
  std::map<std::uint32_t, std::size_t> askers_;  // how many of these each has
};

// "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "fe80::1%eth0", "[fe80::1%2]:5353".
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};
Result<SocketAddress> upstream_address(std::string_view text, int port);

// Of the machine that it is used on.
bool is_loopback(std::string_view upstream);

}  // namespace berth::net::dns
