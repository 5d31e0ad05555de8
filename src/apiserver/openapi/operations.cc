#include "apiserver/openapi/operations.h"

#include <map>

namespace berth::apiserver::openapi {
namespace {

using api::schema::Kind;
using api::schema::Subresource;

// --- Parameters

#define BERTH_PARAMETER(variable, name, type, description) \
  const Parameter variable { name, type, description, false }
const Parameter kNamespace{"namespace", "string", "Namespace of the object.", true};
const Parameter kName{"name", "string", "Name of the object.", true};
const Parameter kProxyPath{"path", "string", "Path of the request that is passed on.", true};
BERTH_PARAMETER(kPretty, "pretty", "string", "Whether the answer is indented.");
BERTH_PARAMETER(kDryRun, "dryRun", "string", "All: check and answer, store nothing.");
BERTH_PARAMETER(kFieldManager, "fieldManager", "string", "Who is recorded as the owner of the fields changed.");
BERTH_PARAMETER(kFieldValidation, "fieldValidation", "string",
                "What unknown and duplicate fields lead to: Ignore, Warn or Strict.");
BERTH_PARAMETER(kForce, "force", "boolean", "Apply patches only: take over fields that others own.");
BERTH_PARAMETER(kContinue, "continue", "string", "Where the list goes on, as the last answer said.");
BERTH_PARAMETER(kLimit, "limit", "integer", "How many objects one answer has at most.");
BERTH_PARAMETER(kFieldSelector, "fieldSelector", "string", "Only objects with these field values.");
BERTH_PARAMETER(kLabelSelector, "labelSelector", "string", "Only objects with these labels.");
BERTH_PARAMETER(kResourceVersion, "resourceVersion", "string", "How recent the answer has to be, or a watch's begin.");
BERTH_PARAMETER(kVersionMatch, "resourceVersionMatch", "string",
                "How resourceVersion is meant: Exact or NotOlderThan.");
BERTH_PARAMETER(kTimeout, "timeoutSeconds", "integer", "After how many seconds the call ends.");
BERTH_PARAMETER(kWatch, "watch", "boolean", "Answer with changes as they happen.");
BERTH_PARAMETER(kBookmarks, "allowWatchBookmarks", "boolean", "Watches only: send bookmarks now and then.");
BERTH_PARAMETER(kInitialEvents, "sendInitialEvents", "boolean", "Watches only: begin with what is there.");
BERTH_PARAMETER(kGrace, "gracePeriodSeconds", "integer", "How long the object may take to end; 0 is at once.");
BERTH_PARAMETER(kOrphan, "orphanDependents", "boolean", "Old form of propagationPolicy.");
BERTH_PARAMETER(kPropagation, "propagationPolicy", "string",
                "What happens to dependents: Orphan, Background or Foreground.");
BERTH_PARAMETER(kContainer, "container", "string", "Which container; needed where there are several.");
BERTH_PARAMETER(kFollow, "follow", "boolean", "Go on with what is written from now on.");
BERTH_PARAMETER(kLimitBytes, "limitBytes", "integer", "Where the answer is cut off.");
BERTH_PARAMETER(kPrevious, "previous", "boolean", "Of the container's last run instead of this one.");
BERTH_PARAMETER(kSince, "sinceSeconds", "integer", "Only what is younger, in seconds.");
BERTH_PARAMETER(kStream, "stream", "string", "All, Stdout or Stderr.");
BERTH_PARAMETER(kTail, "tailLines", "integer", "Only so many lines at the end.");
BERTH_PARAMETER(kTimestamps, "timestamps", "boolean", "Put the time before each line.");
BERTH_PARAMETER(kSkipTls, "insecureSkipTLSVerifyBackend", "boolean", "Do not check the node's certificate.");
BERTH_PARAMETER(kCommand, "command", "string", "What to run; repeated for each argument.");
BERTH_PARAMETER(kStdin, "stdin", "boolean", "Connect standard input.");
BERTH_PARAMETER(kStdout, "stdout", "boolean", "Connect standard output.");
BERTH_PARAMETER(kStderr, "stderr", "boolean", "Connect standard error.");
BERTH_PARAMETER(kTty, "tty", "boolean", "Give the process a terminal.");
BERTH_PARAMETER(kPorts, "ports", "integer", "Ports of the pod to connect to.");
BERTH_PARAMETER(kPath, "path", "string", "Path of the request that is passed on.");
#undef BERTH_PARAMETER

using Parameters = std::vector<const Parameter*>;

const Parameters& list_parameters() {
  static const Parameters kAll = {&kBookmarks,       &kContinue,     &kFieldSelector, &kLabelSelector, &kLimit,
                                  &kResourceVersion, &kVersionMatch, &kInitialEvents, &kTimeout,       &kWatch};
  return kAll;
}

Parameters connect_parameters(std::string_view subresource) {
  if (subresource == "exec") return {&kCommand, &kContainer, &kStderr, &kStdin, &kStdout, &kTty};
  if (subresource == "attach") return {&kContainer, &kStderr, &kStdin, &kStdout, &kTty};
  if (subresource == "portforward") return {&kPorts};
  return {&kPath};
}

// --- Names

std::string capital(std::string_view text) {
  std::string out(text);
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z') out[0] = static_cast<char>(out[0] - 'a' + 'A');
  return out;
}
std::string_view first_label(std::string_view group) { return group.substr(0, group.find('.')); }

std::string version_camel(const Kind& kind) {
  return (kind.group.empty() ? "Core" : capital(first_label(kind.group))) + capital(kind.version);
}

GroupVersionKind gvk_of(const Kind& kind) { return {kind.group, kind.version, kind.kind}; }

std::string definition_of(const api::schema::Schema& schema, std::string_view group, std::string_view version,
                          std::string_view kind) {
  std::string api_version = group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version);
  const Kind* found = schema.find_kind(api_version, kind);
  return found ? found->type->name : std::string();
}

// --- Operations

// What the verbs of discovery are as HTTP methods; "" for those without a path of their own.
std::string_view method_of(std::string_view verb) {
  if (verb == "get" || verb == "list") return "get";
  if (verb == "create") return "post";
  if (verb == "update") return "put";
  if (verb == "patch") return "patch";
  if (verb == "delete" || verb == "deletecollection") return "delete";
  return "";
}

class Writer {
 public:
  Writer(const api::schema::Schema& schema, const Kind& kind)
      : schema_(schema), kind_(kind), root_("/" + root_of(kind)) {}

  std::vector<Path> write() {
    std::string scoped = root_ + (kind_.namespaced ? "/namespaces/{namespace}/" : "/") + kind_.plural;
    Parameters base = kind_.namespaced ? Parameters{&kNamespace, &kPretty} : Parameters{&kPretty};
    collection(scoped, base);
    Parameters named = base;
    named.insert(named.begin(), &kName);
    object(scoped + "/{name}", named);
    for (const Subresource& sub : kind_.subresource_details) subresource(scoped + "/{name}/", named, sub);
    if (kind_.namespaced && kind_.has_verb("list")) {
      Path all{root_ + "/" + kind_.plural, {&kPretty}, {}};
      Operation list = operation("list", gvk_of(kind_), "", " in all namespaces");
      list.id = "list" + version_camel(kind_) + kind_.kind + "ForAllNamespaces";
      list.response = kind_.type->name + "List";
      list.parameters = list_parameters();
      all.operations.push_back(std::move(list));
      paths_.push_back(std::move(all));
    }
    return std::move(paths_);
  }

 private:
  // `suffix`: of the operation's name, for subresources.
  Operation operation(std::string_view verb, GroupVersionKind gvk, std::string_view suffix,
                      std::string_view where = {}) {
    static const std::map<std::string_view, std::pair<std::string_view, std::string_view>> kWords = {
        {"list", {"list", "List or watch"}},
        {"create", {"create", "Create"}},
        {"get", {"read", "Read"}},
        {"update", {"replace", "Replace"}},
        {"patch", {"patch", "Change parts of"}},
        {"delete", {"delete", "Delete"}},
        {"deletecollection", {"delete", "Delete many of"}}};
    Operation made;
    made.method = method_of(verb);
    made.action = verb == "list" || verb == "deletecollection" ? std::string(verb) : made.method;
    auto [stem, words] = kWords.at(verb);
    made.id = std::string(stem) + version_camel(kind_) + (verb == "deletecollection" ? "Collection" : "") +
              (kind_.namespaced ? "Namespaced" : "") + kind_.kind + std::string(suffix);
    made.description = std::string(words) + " " + (suffix.empty() ? "" : std::string(suffix) + " of ") + kind_.kind +
                       " objects" + std::string(where) + ".";
    made.kind = std::move(gvk);
    made.codes = {200};
    return made;
  }

  void write_body(Operation& made, std::string_view verb, const std::string& type) {
    made.body = made.response = type;
    made.parameters = {&kDryRun, &kFieldManager, &kFieldValidation};
    made.codes = {200, 201};
    if (verb == "create") made.codes.push_back(202);
    if (verb == "patch") {
      made.body = kPatchType;
      made.parameters.push_back(&kForce);
    }
  }

  void write_delete(Operation& made, bool many) {
    made.body = kDeleteOptionsType;
    made.body_required = false;
    made.response = kStatusType;
    if (many) made.parameters = list_parameters();
    for (const Parameter* p : {&kDryRun, &kGrace, &kOrphan, &kPropagation}) made.parameters.push_back(p);
    if (!many) made.codes = {200, 202};
  }

  void collection(const std::string& path, const Parameters& parameters) {
    Path made{path, parameters, {}};
    for (std::string_view verb : {"list", "create", "deletecollection"}) {
      if (!kind_.has_verb(verb)) continue;
      Operation op = operation(verb, gvk_of(kind_), "");
      if (verb == "list") {
        op.response = kind_.type->name + "List";
        op.parameters = list_parameters();
      } else if (verb == "create") {
        write_body(op, verb, kind_.type->name);
      } else {
        write_delete(op, true);
      }
      made.operations.push_back(std::move(op));
    }
    if (!made.operations.empty()) paths_.push_back(std::move(made));
  }

  void object(const std::string& path, const Parameters& parameters) {
    Path made{path, parameters, {}};
    for (std::string_view verb : {"get", "update", "patch", "delete"}) {
      if (!kind_.has_verb(verb)) continue;
      Operation op = operation(verb, gvk_of(kind_), "");
      op.response = kind_.type->name;
      if (verb == "delete") write_delete(op, false);
      if (verb == "update" || verb == "patch") write_body(op, verb, kind_.type->name);
      made.operations.push_back(std::move(op));
    }
    if (!made.operations.empty()) paths_.push_back(std::move(made));
  }

  void subresource(const std::string& prefix, const Parameters& parameters, const Subresource& sub) {
    Path made{prefix + sub.name, parameters, {}};
    GroupVersionKind gvk{sub.group, sub.version, sub.kind};
    std::string type = definition_of(schema_, sub.group, sub.version, sub.kind);
    for (const std::string& verb : sub.verbs) {
      if (type.empty()) {
        made.operations.push_back(connect(verb, gvk, sub.name, ""));
        continue;
      }
      Operation op = operation(verb, gvk, capital(sub.name));
      op.response = type;
      if (sub.name == "log") {
        op.response.clear();
        op.parameters = {&kContainer, &kFollow, &kSkipTls, &kLimitBytes, &kPrevious,
                         &kSince,     &kStream, &kTail,    &kTimestamps};
      } else if (verb != "get") {
        write_body(op, verb, type);
      }
      made.operations.push_back(std::move(op));
    }
    paths_.push_back(std::move(made));
    if (sub.name != "proxy") return;
    Path deeper{prefix + "proxy/{path}", parameters, {}};
    deeper.parameters.insert(deeper.parameters.begin() + 1, &kProxyPath);
    for (const std::string& verb : sub.verbs) deeper.operations.push_back(connect(verb, gvk, sub.name, "WithPath"));
    paths_.push_back(std::move(deeper));
  }

  Operation connect(std::string_view verb, GroupVersionKind gvk, std::string_view sub, std::string_view with_path) {
    Operation made;
    made.method = method_of(verb);
    made.action = "connect";
    made.id = "connect" + version_camel(kind_) + capital(made.method) + (kind_.namespaced ? "Namespaced" : "") +
              kind_.kind + capital(sub) + std::string(with_path);
    made.description =
        "Connect " + std::string(made.method) + " requests to " + std::string(sub) + " of a " + kind_.kind + ".";
    made.kind = std::move(gvk);
    if (with_path.empty()) made.parameters = connect_parameters(sub);
    made.codes = {200};
    return made;
  }

  const api::schema::Schema& schema_;
  const Kind& kind_;
  std::string root_;
  std::vector<Path> paths_;
};

}  // namespace

Value GroupVersionKind::value() const {
  return Value::object({{"group", group}, {"kind", kind}, {"version", version}});
}

std::string root_of(const api::schema::Kind& kind) {
  return kind.group.empty() ? "api/" + kind.version : "apis/" + kind.group + "/" + kind.version;
}

std::string tag_of(const api::schema::Kind& kind) {
  return (kind.group.empty() ? "core" : std::string(first_label(kind.group))) + "_" + kind.version;
}

std::vector<Path> paths_of(const api::schema::Schema& schema, const api::schema::Kind& kind) {
  return Writer(schema, kind).write();
}

}  // namespace berth::apiserver::openapi
