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
      kinds_.push_back(KindCache{kind.resource, watched ? &informers.get(kind.resource) : nullptr});
    }
  }
  std::string name() const override { return "namespace"; }
  std::string component() const override { return "namespace-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(namespaces_, [](const Value& before, const Value& after, Keys& keys) {
      if (after.is_null() || needs_emptying(after)) keys.emplace_back(api::name_of(after.is_null() ? before : after));
    }));
    for (const KindCache& kind : kinds_) {
      if (!kind.informer) continue;
      out.push_back(watch_mapped(*kind.informer, [this](const Value& before, const Value& after, Keys& keys) {
        // React to deletions, and to objects created in a terminating namespace.
        if (!before.is_null() && !after.is_null()) return;
        const std::string_view ns = api::namespace_of(after.is_null() ? before : after);
        if (needs_emptying(namespaces_.get("", ns))) keys.emplace_back(ns);
      }));
    }
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    NamespaceView view;
    view.object = namespaces_.get("", key);
    if (!needs_emptying(view.object)) {
      live_contents_.erase(key);
      return {};
    }
    for (const KindCache& kind : kinds_) {
      if (kind.informer) view.contents.push_back(NamespaceCollection{kind.resource, kind.informer->list(key)});
    }
    if (is_empty(view.contents)) {
      Plan retry;
      if (!read_live(key, view, retry)) return retry;
    }
    Plan plan = plan_namespace(view, now);
    for (const NamespaceCollection& one : view.contents) plan.members += one.items.size();
    return plan;
  }

 private:
  struct KindCache {
    api::Resource resource;
    Informer* informer;
  };

  // Lists every collection with live reads. Returns false while answers are missing.
  bool read_live(const std::string& ns, NamespaceView& view, Plan& retry) {
    auto& live_contents = live_contents_[ns];
    bool complete = true;
    for (const KindCache& kind : kinds_) {
      if (live_contents.count(kind.resource)) continue;
      LiveReader::Answer answer = reader_.list(kind.resource, ns, api::uid_of(view.object));
      if (answer.known()) {
        live_contents[kind.resource] = std::move(answer.items);
      } else {
        complete = false;
        LiveReader::requeue_until_known(answer, retry);
      }
    }
    if (!complete) return false;
    view.contents.clear();
    for (auto& [resource, items] : live_contents)
      view.contents.push_back(NamespaceCollection{resource, std::move(items)});
    view.live = true;
    live_contents_.erase(ns);
    return true;
  }

  Informer& namespaces_;
  std::vector<KindCache> kinds_;
  LiveReader reader_;
  std::map<std::string, std::map<api::Resource, std::vector<Value>>> live_contents_;  // answers so far, by namespace
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers, std::vector<DeletableKind> kinds) {
  return std::make_unique<NamespaceController>(informers, std::move(kinds));
}

}  // namespace berth::controllers::namespaces
