#include "scheduler/snapshot/census.h"

#include <algorithm>

namespace berth::scheduler {
namespace {

constexpr std::size_t kTallies = 1024;
constexpr std::size_t kEmptyGroups = 256;

// A "key=value" label that every covered pod has, or "".
std::string needed_label(const api::LabelSelector& selector) {
  for (const auto& requirement : selector.requirements()) {
    if (requirement.op == api::LabelSelector::Operator::kIn && requirement.values.size() == 1)
      return requirement.key + "=" + requirement.values[0];
  }
  return {};
}

}  // namespace

// --- Tally

Tally::Domain* Tally::domain_of(const NodeInfo& node) {
  const auto key = static_cast<std::size_t>(spec_.key);
  if (node.node.is_null() || key >= node.domains.size()) return nullptr;
  const int domain = node.domains[key];
  if (domain == kNoDomain || (spec_.counts && !spec_.counts(node))) return nullptr;
  if (!has_domain(domain)) domains_.resize(static_cast<std::size_t>(domain) + 1);
  return &domains_[static_cast<std::size_t>(domain)];
}

void Tally::count_domain(int pods, int sign) {
  int& domains = by_pods_[pods];
  domains += sign;
  if (domains == 0) by_pods_.erase(pods);
}

void Tally::add_node(const NodeInfo& node, int sign) {
  Domain* domain = domain_of(node);
  if (!domain) return;
  const bool was = domain->nodes > 0;
  domain->nodes += sign;
  const bool is = domain->nodes > 0;
  if (was == is) return;
  count_ += is ? 1 : -1;
  count_domain(domain->pods, is ? 1 : -1);
}

void Tally::add_pod(const PodInfo& pod, const NodeInfo& node, int sign) {
  if (!spec_.matches(pod)) return;
  Domain* domain = domain_of(node);
  if (!domain) return;
  if (domain->nodes > 0) count_domain(domain->pods, -1);
  domain->pods += sign;
  total_ += sign;
  if (domain->nodes > 0) count_domain(domain->pods, 1);
}

// --- Census

void Census::add_pod(const PodInfo& pod, const NodeInfo& node, Topologies& topologies, int sign) {
  auto found = by_namespace_.find(pod.ns);
  if (found != by_namespace_.end()) {
    for (Tally* tally : found->second) tally->add_pod(pod, node, sign);
  }
  if (!pod.terms) return;
  add_terms(pod.terms->anti, TermKind::kAnti, node, topologies, sign);
  add_terms(pod.terms->affinity, TermKind::kAffinity, node, topologies, sign);
  add_terms(pod.terms->preferred_anti, TermKind::kPreferredAnti, node, topologies, sign);
  add_terms(pod.terms->preferred_affinity, TermKind::kPreferredAffinity, node, topologies, sign);
}

void Census::add_node(const NodeInfo& node, int sign) {
  for (auto& [signature, tally] : tallies_) tally.add_node(node, sign);
}

const Tally* Census::find_tally(const std::string& signature) {
  auto found = by_signature_.find(signature);
  if (found == by_signature_.end()) return nullptr;
  tallies_.splice(tallies_.begin(), tallies_, found->second);
  return &found->second->second;
}

Tally& Census::add_tally(TallySpec spec) {
  const std::string signature = spec.signature;
  tallies_.emplace_front(signature, Tally(std::move(spec)));
  by_signature_[signature] = tallies_.begin();
  Tally& tally = tallies_.front().second;
  for (const std::string& ns : tally.spec().namespaces) by_namespace_[ns].push_back(&tally);
  return tally;
}

void Census::trim() {
  while (tallies_.size() > kTallies) {
    Tally& last = tallies_.back().second;
    for (const std::string& ns : last.spec().namespaces) {
      auto found = by_namespace_.find(ns);
      std::erase(found->second, &last);
      if (found->second.empty()) by_namespace_.erase(found);
    }
    by_signature_.erase(tallies_.back().first);
    tallies_.pop_back();
  }
  if (empty_groups_ > kEmptyGroups) remove_empty_groups();
}

void Census::remove_empty_groups() {
  auto forget = [](Groups& list) { std::erase_if(list, [](const TermGroup* one) { return one->pods == 0; }); };
  forget(unlabelled_);
  for (auto at = by_label_.begin(); at != by_label_.end();) {
    forget(at->second);
    at = at->second.empty() ? by_label_.erase(at) : std::next(at);
  }
  std::erase_if(groups_, [](const auto& entry) { return entry.second->pods == 0; });
  empty_groups_ = 0;
}

TermGroup& Census::group(const AffinityTerm& term, TermKind kind, Topologies& topologies) {
  std::unique_ptr<TermGroup>& slot = groups_[std::to_string(static_cast<int>(kind)) + term.signature];
  if (slot) return *slot;
  bool fresh = false;
  slot = std::make_unique<TermGroup>(TermGroup{term, kind, topologies.key(term.topology_key, fresh), 0, {}});
  const std::string label = needed_label(term.selector);
  (label.empty() ? unlabelled_ : by_label_[label]).push_back(slot.get());
  ++empty_groups_;
  return *slot;
}

void Census::add_terms(const AffinityTerms& terms, TermKind kind, const NodeInfo& node, Topologies& topologies,
                       int sign) {
  for (const AffinityTerm& term : terms) {
    TermGroup& group = this->group(term, kind, topologies);
    if (group.pods == 0) --empty_groups_;
    group.pods += sign;
    if (group.pods == 0) ++empty_groups_;
    pods_with_[static_cast<std::size_t>(kind)] += static_cast<std::size_t>(sign);
    const auto key = static_cast<std::size_t>(group.key);
    const int domain = key < node.domains.size() ? node.domains[key] : kNoDomain;
    if (domain == kNoDomain) continue;
    const auto at = static_cast<std::size_t>(domain);
    if (at >= group.in_domain.size()) group.in_domain.resize(at + 1);
    group.in_domain[at] += sign;
  }
}

void Census::visit_covering(TermKind kind, const PodInfo& pod, const Value& ns_labels,
                            const std::function<void(const TermGroup&)>& visit) const {
  if (!any(kind)) return;
  auto look = [&](const Groups& list) {
    for (const TermGroup* one : list) {
      if (one->kind == kind && one->pods > 0 && one->term.covers(pod.ns, ns_labels, pod.labels)) visit(*one);
    }
  };
  look(unlabelled_);
  for (const auto& [key, value] : pod.labels.entries()) {
    auto found = by_label_.find(std::string(key) + "=" + value.str());
    if (found != by_label_.end()) look(found->second);
  }
}

}  // namespace berth::scheduler
