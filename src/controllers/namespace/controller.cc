#include "controllers/namespace/controller.h"

#include <map>

#include "controllers/namespace/plan.h"
#include "controllers/shared/live_reader.h"

namespace berth::controllers::namespaces {
namespace {

using namespace api::resources;  // NOLINT

class NamespaceController final : public Controller {
 public:
  NamespaceController(InformerSet& informers, std::vector<DeletableKind> kinds)
      : namespaces_(informers.get(kNamespaces)), reader_(informers) {
    for (DeletableKind& kind : kinds) {
      if (!kind.namespaced) continue;
      const bool watched = kind.resource.resource != "events";
      kinds_.push_back(Known{kind.resource, watched ? &informers.get(kind.resource) : nullptr});
    }
  }
  std::string name() const override { return "namespace"; }
  std::string component() const override { return "namespace-controller"; }

  std::vector<Watching> watches() override {
    std::vector<Watching> out;
    out.push_back(watch_mapped(namespaces_, [](const Value& before, const Value& after, Keys& keys) {
      if (after.is_null() || needs_emptying(after)) keys.emplace_back(api::name_of(after.is_null() ? before : after));
    }));
    for (const Known& kind : kinds_) {
      if (!kind.informer) continue;
      out.push_back(watch_mapped(*kind.informer, [this](const Value& before, const Value& after, Keys& keys) {
        // What is gone, and what comes although it should not.
        if (!before.is_null() && !after.is_null()) return;
        const std::string_view ns = api::namespace_of(after.is_null() ? before : after);
        if (needs_emptying(namespaces_.get("", ns))) keys.emplace_back(ns);
      }));
    }
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    View view;
    view.object = namespaces_.get("", key);
    if (!needs_emptying(view.object)) {
      gathered_.erase(key);
      return {};
    }
    for (const Known& kind : kinds_) {
      if (kind.informer) view.contents.push_back(Contents{kind.resource, kind.informer->list(key)});
    }
    if (is_empty(view.contents)) {
      Plan later;
      if (!ask_server(key, view, later)) return later;
    }
    Plan plan = plan_namespace(view, now);
    for (const Contents& one : view.contents) plan.members += one.items.size();
    return plan;
  }

 private:
  struct Known {
    api::Resource resource;
    Informer* informer;
  };

  // Reads every collection past the caches. False while answers are missing.
  bool ask_server(const std::string& ns, View& view, Plan& later) {
    auto& gathered = gathered_[ns];
    bool complete = true;
    for (const Known& kind : kinds_) {
      if (gathered.count(kind.resource)) continue;
      LiveReader::Answer answer = reader_.list(kind.resource, ns, api::uid_of(view.object));
      if (answer.known()) {
        gathered[kind.resource] = std::move(answer.items);
      } else {
        complete = false;
        LiveReader::wait(answer, later);
      }
    }
    if (!complete) return false;
    view.contents.clear();
    for (auto& [resource, items] : gathered) view.contents.push_back(Contents{resource, std::move(items)});
    view.live = true;
    gathered_.erase(ns);
    return true;
  }

  Informer& namespaces_;
  std::vector<Known> kinds_;
  LiveReader reader_;
  std::map<std::string, std::map<api::Resource, std::vector<Value>>> gathered_;  // answers so far, by namespace
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers, std::vector<DeletableKind> kinds) {
  return std::make_unique<NamespaceController>(informers, std::move(kinds));
}

}  // namespace berth::controllers::namespaces
