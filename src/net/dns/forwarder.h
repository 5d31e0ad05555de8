#pragma once
// Forwarder: forwards questions about names outside the cluster to upstream servers, one after another; over UDP
// (truncated answers are passed on), and over TCP for questions that came over TCP.
//
// Each question is sent from its own socket, and so from a port that the kernel chooses, with a random id. A reply is
// accepted only with that id and the same question; others are ignored.
//
// An upstream that sent nothing at all while questions for several names timed out is skipped for a while, except for
// one question per second and client that tests whether it answers again: clients then get a failure at once instead of
// waiting for their own timeout. One name that no upstream answers does not affect other names. Nor can one client use
// up the capacity: it can have no more questions in flight than are left for all others. If no upstream is reachable
// (none is configured, or there is no route), names outside do not exist: resolvers retry after a failure, but not
// after NXDOMAIN.

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
  int port = 53;                       // of upstreams without a port
  Duration timeout = 2s;               // timeout per upstream; twice that for all of them together
  Duration skip_time = 10s;            // how long a silent upstream is skipped
};

class Forwarder {
 public:
  Forwarder(Loop& loop, ForwarderConfig config);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;

  // `client`: identifies the client, by its address. `answered` is called once with the reply: upstream's, SERVFAIL or
  // NXDOMAIN; during the call or later, and not after the forwarder was destroyed.
  void forward(std::string question, bool tcp, std::uint32_t client, Function<void(std::string)> answered);

 private:
  using Id = std::uint64_t;
  struct Upstream {
    std::string name;
    Duration silent_since{}, silent_until{};
    std::map<std::uint32_t, Duration> next_test{};  // by client: next test question, while it is silent
    Duration last_message{};                        // time of the last message from it
    std::set<std::string> timed_out_names{};        // names that timed out since then (at most kNamesUntilSilent)
  };
  struct ForwardedQuestion {
    Fd socket;
    TimerId timer = 0;
    std::size_t upstream = 0;
    bool tcp = false;
    bool reachable = false;  // at least one upstream was
    Duration until{};        // deadline for all upstreams
    Duration sent{};         // to the present upstream
    std::uint32_t client = 0;
    std::uint16_t id = 0;  // as sent to the upstream
    std::string question;  // as received from the client
    std::string out, in;   // of the TCP connection
    Function<void(std::string)> answered;
  };

  void try_upstream(ForwardedQuestion forwarded);
  Status send(ForwardedQuestion& forwarded) const;
  bool is_skipped(Upstream& upstream, std::uint32_t client) const;
  void on_timeout(const ForwardedQuestion& forwarded);
  void on_message(const ForwardedQuestion& forwarded);
  void read(Id number);
  void exchange_tcp(Id number);  // over TCP: each message follows its length in two bytes
  void handle_reply(Id number, std::string reply);
  void next_upstream(Id number);
  ForwardedQuestion release(Id number);

  Loop& loop_;
  const ForwarderConfig config_;
  std::vector<Upstream> upstreams_;
  Id last_ = 0;  // ids are not reused, unlike descriptors
  std::map<Id, ForwardedQuestion> in_flight_;
  std::map<std::uint32_t, std::size_t> per_client_;  // number of questions per client
};

// Parses "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "fe80::1%eth0", "[fe80::1%2]:5353".
struct UpstreamAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};
Result<UpstreamAddress> upstream_address(std::string_view text, int port);

// True for loopback addresses.
bool is_loopback(std::string_view upstream);

}  // namespace berth::net::dns
