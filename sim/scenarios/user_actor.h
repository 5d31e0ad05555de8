#pragma once
// UserActor: the actions of a cluster's users on sets, pods, claims and nodes, drawn from the seed.

#include <map>
#include <memory>
#include <string>

#include "sim/cluster.h"

namespace berth::sim {

class UserActor {
 public:
  // `most`: the largest number of replicas. `all_options`: see HistoryOptions.
  UserActor(Cluster& cluster, int most, bool all_options);

  void create_sets(int count);
  void do_random_action();
  // Completes actions that may have met a server that was down, and sets budgets with which every set can complete.
  void tidy_up(bool pods_never_ready);
  // Runs `deed` after the delay.
  void later(Duration delay, Task deed) { lane_->after(delay, std::move(deed)); }

 private:
  // Properties of a set that stay when it is created again under its name.
  struct FixedTraits {
    bool ordered = true, claims = false;
    bool options = false;  // uses Berth's options
  };
  void create_set(const std::string& name);
  void change_set(const std::string& name, Value spec);
  void remove_set(const std::string& name);
  void change_image(const std::string& name);
  void restart(const std::string& name);
  void change_option(const std::string& name);
  void change_claim_templates(const std::string& name);
  void create_budget(const std::string& set);
  void change_budget();
  void relax_budgets(bool pods_never_ready);
  int any_replicas();
  const std::string& any_node();

  bool needs_user_action(const Value& pod) const;
  Value any_object(const api::Resource& resource);
  void delete_pod();
  void evict_pod();
  void orphan_pod();
  void relabel_pod();
  void delete_claim();
  void delete_claims_of_pending_pods();
  void cordon(bool all);
  void taint();
  void pin(const std::string& name);

  const char* any(std::initializer_list<const char*> words) { return *(words.begin() + world_.below(words.size())); }

  Cluster& cluster_;
  World& world_;
  int most_;
  bool all_options_;
  std::shared_ptr<Lane> lane_;
  std::map<std::string, FixedTraits> sets_;
};

}  // namespace berth::sim
