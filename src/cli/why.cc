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

// Fetches missing objects in rounds; the requests of a round run in parallel.
class FetchedSource final : public berth::why::ObjectSource {
 public:
  FetchedSource(Loop& loop, client::Client& client) : loop_(loop), client_(client) {}

  Value object(const api::Resource& resource, const api::Name& name) override { return objects_.get({resource, name}); }

  std::vector<Value> list(const api::Resource& resource, const api::ListOptions& options) override {
    return lists_.get({resource, {options.ns, options.label_selector, options.field_selector}});
  }

  bool complete() const override { return objects_.missing.empty() && lists_.missing.empty(); }

  Status fetch() {
    waiting_ = objects_.missing.size() + lists_.missing.size();
    for (const ObjectKey& key : std::exchange(objects_.missing, {})) {
      client_.get(key.first, key.second,
                  [this, key](Result<Value> answer) { store_answer(objects_.answers[key], std::move(answer)); });
    }
    for (const ListKey& key : std::exchange(lists_.missing, {})) {
      const auto& [ns, labels, fields] = key.second;
      client_.list(key.first, {ns, labels, fields}, [this, key](Result<client::List> answer) {
        if (!answer.ok()) return store_answer(lists_.answers[key], Result<std::vector<Value>>(answer.error()));
        store_answer(lists_.answers[key], Result<std::vector<Value>>(std::move(answer->items)));
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
  struct FetchCache {
    std::map<Key, Answer> answers;
    std::set<Key> missing;
    Answer get(const Key& key) {
      if (auto found = answers.find(key); found != answers.end()) return found->second;
      missing.insert(key);
      return {};
    }
  };

  // A missing object, or a kind that this server does not have, is an answer, too.
  template <class Answer>
  void store_answer(Answer& into, Result<Answer> answer) {
    if (answer.ok()) {
      into = std::move(*answer);
    } else if (answer.error().code != Code::kNotFound && !failure_) {
      failure_ = answer.error();
    }
    if (--waiting_ == 0) loop_.stop();
  }

  Loop& loop_;
  client::Client& client_;
  FetchCache<ObjectKey, Value> objects_;
  FetchCache<ListKey, std::vector<Value>> lists_;
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

berth::why::RenderStyle style_of_terminal() {
  berth::why::RenderStyle style;
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
  Result<berth::why::WhyReport> report = berth::why::explain(*question, source, loop.now());
  while (!source.complete()) {
    if (Status fetched = source.fetch(); !fetched.ok()) return fail(fetched.error());
    report = berth::why::explain(*question, source, loop.now());
  }
  if (!report.ok()) return fail(report.error());
  if (options.output == "json") {
    print_line(json::encode_pretty(berth::why::to_json(*report, loop.now())));
  } else {
    const std::string text = berth::why::render(*report, loop.now(), style_of_terminal());
    print_line(std::string_view(text).substr(0, text.size() - 1));
  }
  return report->waiting() ? 3 : 0;
}

}  // namespace berth::cli
