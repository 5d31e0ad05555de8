#include "cli/why.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "base/loop.h"
#include "base/text.h"
#include "cli/cluster_access.h"
#include "cli/console.h"
#include "client/http_client.h"
#include "why/render.h"

namespace berth::cli {
namespace {

constexpr Duration kAnswer = 10s;

// What is asked for and not known is fetched in rounds, each round at once.
class FetchedSource final : public berth::why::Source {
 public:
  FetchedSource(Loop& loop, client::Client& client) : loop_(loop), client_(client) {}

  Value object(const api::Resource& resource, const api::Name& name) override { return objects_.get({resource, name}); }

  std::vector<Value> list(const api::Resource& resource, const api::ListOptions& options) override {
    return lists_.get({resource, {options.ns, options.label_selector, options.field_selector}});
  }

  bool complete() const override { return objects_.wanted.empty() && lists_.wanted.empty(); }

  Status fetch() {
    waiting_ = objects_.wanted.size() + lists_.wanted.size();
    for (const ObjectKey& key : std::exchange(objects_.wanted, {})) {
      client_.get(key.first, key.second,
                  [this, key](Result<Value> answer) { take(objects_.known[key], std::move(answer)); });
    }
    for (const ListKey& key : std::exchange(lists_.wanted, {})) {
      const auto& [ns, labels, fields] = key.second;
      client_.list(key.first, {ns, labels, fields}, [this, key](Result<client::List> answer) {
        if (!answer.ok()) return take(lists_.known[key], Result<std::vector<Value>>(answer.error()));
        take(lists_.known[key], Result<std::vector<Value>>(std::move(answer->items)));
      });
    }
    const TimerId limit = loop_.after(kAnswer, [this] {
      failure_ = error(
          Code::kTimeout,
          "the API server takes connections and does not answer: nothing for 10 s; see berth status, and logs/server.log");
      loop_.stop();
    });
    loop_.run();
    loop_.cancel(limit);
    if (failure_) return *failure_;
    return ok_status();
  }

 private:
  using ObjectKey = std::pair<api::Resource, api::Name>;
  using ListKey = std::pair<api::Resource, std::tuple<std::string, std::string, std::string>>;

  template <class Key, class Answer>
  struct Asked {
    std::map<Key, Answer> known;
    std::set<Key> wanted;
    Answer get(const Key& key) {
      if (auto found = known.find(key); found != known.end()) return found->second;
      wanted.insert(key);
      return {};
    }
  };

  // What is not there, or a kind that this server does not know, is an answer too.
  template <class Answer>
  void take(Answer& into, Result<Answer> answer) {
    if (answer.ok()) {
      into = std::move(*answer);
    } else if (answer.error().code != Code::kNotFound && !failure_) {
      failure_ = answer.error();
    }
    if (--waiting_ == 0) loop_.stop();
  }

  Loop& loop_;
  client::Client& client_;
  Asked<ObjectKey, Value> objects_;
  Asked<ListKey, std::vector<Value>> lists_;
  std::size_t waiting_ = 0;
  std::optional<Error> failure_;
};

Result<berth::why::Question> question_of(const WhyOptions& options, const ClusterAccess& access) {
  std::vector<std::string> words = options.object;
  if (words.size() == 1) {
    const Cut parts = cut(words[0], "/");
    words = {std::string(parts.before), std::string(parts.after)};
  }
  if (words[1].empty() || words[1].find('/') != std::string::npos) {
    return error(Code::kInvalid,
                 "expected TYPE/NAME or TYPE NAME, such as sts/web, not " + quoted(join(options.object, " ")));
  }
  berth::why::Question question;
  BERTH_ASSIGN(question.resource, berth::why::resource_named(words[0]));
  question.name = {options.ns.empty() ? access.ns : options.ns, words[1]};
  question.spell_namespace = question.name.ns != access.ns;
  return question;
}

berth::why::Style style_of_terminal() {
  berth::why::Style style;
  const char* no_colour = std::getenv("NO_COLOR");
  style.colours = ::isatty(STDOUT_FILENO) != 0 && !(no_colour && *no_colour);
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) style.width = size.ws_col;
  return style;
}

}  // namespace

int why(const WhyOptions& options) {
  Result<ClusterAccess> access = open_access(options.data_dir, options.data_dir_named);
  if (!access.ok()) return fail(access.error());
  Result<berth::why::Question> question = question_of(options, *access);
  if (!question.ok()) return fail(question.error());
  Loop loop(1);
  std::unique_ptr<client::Client> client = client::make_http_client(loop, access->endpoint, "berth-why", access->token);
  FetchedSource source(loop, *client);
  Result<berth::why::Report> report = berth::why::explain(*question, source, loop.now());
  while (!source.complete()) {
    if (Status fetched = source.fetch(); !fetched.ok()) return fail(fetched.error());
    report = berth::why::explain(*question, source, loop.now());
  }
  if (!report.ok()) return fail(report.error());
  if (options.output == "json") {
    say(json::encode_pretty(berth::why::to_json(*report, loop.now())));
  } else {
    const std::string text = berth::why::render(*report, loop.now(), style_of_terminal());
    say(std::string_view(text).substr(0, text.size() - 1));
  }
  return report->waiting() ? 3 : 0;
}

}  // namespace berth::cli
