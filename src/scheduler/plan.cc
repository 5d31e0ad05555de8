#include "scheduler/plan.h"

#include <algorithm>

#include "base/text.h"
#include "scheduler/explain.h"
#include "scheduler/preempt.h"
#include "scheduler/score/score.h"

namespace berth::scheduler {
namespace {

constexpr std::size_t kAlwaysAll = 100;

std::string none_of(std::size_t nodes) { return "0/" + std::to_string(nodes) + " nodes are available: "; }

std::size_t best_of(const Question& question, const std::vector<const NodeInfo*>& candidates, Snapshot& snapshot) {
  if (candidates.size() == 1) return 0;
  const Scores scores = score(question, candidates, snapshot);
  std::size_t best = 0;
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    // Equal nodes: the emptier one, then the first by name.
    if (scores[i] > scores[best] ||
        (scores[i] == scores[best] && candidates[i]->pods.size() < candidates[best]->pods.size()))
      best = i;
  }
  return best;
}

// What the search over all nodes found.
struct Search {
  std::vector<const NodeInfo*> candidates;
  std::vector<const NodeInfo*> curable;  // with fewer pods on it, it might do
  int hopeless = 0;
  Reasons reasons;
  unsigned concerns = 0;
};

Search search(const Question& question, Snapshot& snapshot, std::size_t& turn) {
  Search found;
  const auto& nodes = snapshot.nodes();
  const std::size_t enough = enough_nodes(nodes.size());
  found.candidates.reserve(enough);
  std::size_t looked = 0;
  for (; looked < nodes.size() && found.candidates.size() < enough; ++looked) {
    const NodeInfo* node = nodes[(turn + looked) % nodes.size()];
    Verdict verdict = filter_with_nominated(question, *node, snapshot);
    if (verdict.fits()) {
      found.candidates.push_back(node);
      continue;
    }
    if (verdict.curable) {
      found.curable.push_back(node);
    } else {
      ++found.hopeless;
    }
    found.concerns |= verdict.concern;
    verdict.each_reason([&](std::string_view reason) { found.reasons.add(reason); });
  }
  if (looked < nodes.size()) turn = (turn + looked) % nodes.size();
  return found;
}

void settle(Decision& decision, const Question& question, const NodeInfo& chosen) {
  decision.node = chosen.name;
  choose_volumes(question.volumes, chosen.node, question.view, &decision.volumes);
}

// Nothing fits: who would have to go, and what there is to say.
void make_room(Decision& decision, const Question& question, Snapshot& snapshot, const Search& found,
               const std::string& why, std::size_t turn) {
  Preemption preemption = preempt(question, snapshot, found.curable, found.hopeless, turn);
  decision.message = none_of(snapshot.nodes().size()) + why + ".";
  if (preemption.node.empty()) {
    decision.message += " no new claims to deallocate, preemption: " + preemption.message;
    decision.withdraw = preemption.withdraw;
  } else {
    decision.nominated = std::move(preemption.node);
    decision.victims = std::move(preemption.victims);
  }
  const std::string help = explain_volumes(question, snapshot);
  if (!help.empty()) decision.message += " " + help;
}

}  // namespace

void Reasons::add(std::string_view reason, int count) {
  for (auto& [text, so_far] : counts) {
    if (text == reason) {
      so_far += count;
      return;
    }
  }
  counts.emplace_back(reason, count);
}

std::string Reasons::text() const {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : counts) parts.push_back(std::to_string(count) + " " + reason);
  std::sort(parts.begin(), parts.end());
  return join(parts, ", ");
}

std::size_t enough_nodes(std::size_t all) {
  if (all <= kAlwaysAll) return all;
  const std::size_t percent =
      static_cast<std::size_t>(std::max<std::ptrdiff_t>(5, 50 - static_cast<std::ptrdiff_t>(all / 125)));
  return std::max(kAlwaysAll, all * percent / 100);
}

bool fits_on(const PodInfo& pod, const NodeInfo& node, Snapshot& snapshot, const View& view) {
  const VolumeNeeds needs = volume_needs(pod, view, snapshot);
  if (!needs.problem.empty()) return false;
  const Neighbours neighbours = look_around(pod, snapshot, view);
  return filter_with_nominated(ask(pod, needs, view, neighbours), node, snapshot).fits();
}

Verdict filter_with_nominated(const Question& question, const NodeInfo& node, Snapshot& snapshot) {
  if (!snapshot.any_nominated()) return filter(question, node);
  std::vector<PodPtr> coming;
  for (const PodPtr& other : snapshot.nominated_for(node.name)) {
    if (other->uid != question.pod.uid && other->priority >= question.pod.priority && !snapshot.placed(other->uid))
      coming.push_back(other);
  }
  if (!coming.empty()) {
    for (const PodPtr& other : coming) snapshot.place(other, node.name);
    const Neighbours with_them = look_around(question.pod, snapshot, question.view);
    Verdict verdict = filter(ask(question.pod, question.volumes, question.view, with_them), node);
    for (const PodPtr& other : coming) snapshot.remove(other->uid);
    if (!verdict.fits()) return verdict;
  }
  // Whether they come is not certain, so it has to fit without them too.
  return filter(question, node);
}

Decision decide(const PodInfo& pod, Snapshot& snapshot, const View& view, std::size_t& turn) {
  Decision decision;
  const std::size_t all = snapshot.nodes().size();
  if (all == 0) {
    decision.message = "no nodes available to schedule pods";
    decision.concerns = kConcernNoNodes;
    return decision;
  }
  const VolumeNeeds needs = volume_needs(pod, view, snapshot);
  if (!needs.problem.empty()) {
    decision.message = none_of(all) + needs.problem +
                       ". preemption: " + nothing_to_preempt(pod, all, static_cast<int>(all), Reasons());
    decision.concerns = kConcernVolumes;
    decision.withdraw = true;
    return decision;
  }
  const Neighbours neighbours = look_around(pod, snapshot, view);
  const Question question = ask(pod, needs, view, neighbours);
  if (snapshot.any_nominated()) {
    // Where room was made for it, the pod goes without another look.
    const NodeInfo* nominated = snapshot.node(snapshot.nomination_of(pod.uid));
    if (nominated && filter_with_nominated(question, *nominated, snapshot).fits()) {
      settle(decision, question, *nominated);
      return decision;
    }
  }
  const std::size_t first = turn;
  Search found = search(question, snapshot, turn);
  if (found.candidates.empty()) {
    decision.concerns = found.concerns;
    make_room(decision, question, snapshot, found, found.reasons.text(), first);
    return decision;
  }
  settle(decision, question, *found.candidates[best_of(question, found.candidates, snapshot)]);
  return decision;
}

}  // namespace berth::scheduler
