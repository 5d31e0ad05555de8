#include "agent/pod/pod_record.h"

#include "api/object.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

std::int64_t ns(Time time) { return time.time_since_epoch().count(); }
Time time_of(const Value& value) { return Time(Duration(value.as_int())); }

Value to_json(const Termination& t) {
  return Value::object({{"exitCode", t.exit_code},
                        {"signal", t.signal},
                        {"reason", t.reason},
                        {"message", t.message},
                        {"id", t.container_id},
                        {"started", ns(t.started)},
                        {"finished", ns(t.finished)}});
}

Termination termination_of(const Value& v) {
  return Termination{static_cast<int>(v["exitCode"].as_int()),
                     static_cast<int>(v["signal"].as_int()),
                     v["reason"].str(),
                     v["message"].str(),
                     v["id"].str(),
                     time_of(v["started"]),
                     time_of(v["finished"])};
}

Value to_json(const ContainerRecord& c) {
  Value out = Value::object({{"state", static_cast<int>(c.state)},
                             {"id", c.id},
                             {"attempt", c.attempt},
                             {"image", c.image},
                             {"imageID", c.image_id},
                             {"started", ns(c.started)},
                             {"previous", c.previous_id},
                             {"waitingReason", c.waiting_reason},
                             {"waitingMessage", c.waiting_message},
                             {"retryAt", ns(c.retry_at)},
                             {"postStarted", c.post_started},
                             {"runningFully", c.startup_done},
                             {"ready", c.ready},
                             {"mustRestart", c.must_restart},
                             {"specImage", c.spec_image},
                             {"replace", c.replace},
                             {"backOff", c.back_off.count()},
                             {"backOffAt", ns(c.back_off_at)}});
  if (c.uid >= 0) {
    Value groups = Value::array();
    for (std::int64_t group : c.groups) groups.push(group);
    out.set("user", Value::object({{"uid", c.uid}, {"gid", c.gid}, {"groups", std::move(groups)}}));
  }
  if (c.state == ContainerRecord::State::kExited) out.set("ended", to_json(c.ended));
  if (c.last) out.set("last", to_json(*c.last));
  if (!c.in_force.is_null()) out.set("inForce", c.in_force);
  return out;
}

ContainerRecord container_of(const Value& v) {
  ContainerRecord c;
  c.state = static_cast<ContainerRecord::State>(v["state"].as_int());
  c.id = v["id"].str();
  c.attempt = static_cast<int>(v["attempt"].as_int(-1));
  c.image = v["image"].str();
  c.image_id = v["imageID"].str();
  c.started = time_of(v["started"]);
  c.uid = v["user"]["uid"].as_int(-1);
  c.gid = v["user"]["gid"].as_int(-1);
  for (const Value& group : v["user"]["groups"]) c.groups.push_back(group.as_int());
  if (v.contains("ended")) c.ended = termination_of(v["ended"]);
  if (v.contains("last")) c.last = termination_of(v["last"]);
  c.previous_id = v["previous"].str();
  c.waiting_reason = v["waitingReason"].str();
  c.waiting_message = v["waitingMessage"].str();
  c.retry_at = time_of(v["retryAt"]);
  c.startup_done = v["runningFully"].as_bool();
  c.post_started = v["postStarted"].as_bool(c.startup_done);  // absent in records of older agents
  c.ready = v["ready"].as_bool();
  c.must_restart = v["mustRestart"].as_bool();
  c.spec_image = v["specImage"].str();
  c.replace = v["replace"].as_bool();
  c.back_off = Duration(v["backOff"].as_int());
  c.back_off_at = time_of(v["backOffAt"]);
  c.in_force = v["inForce"];
  return c;
}

constexpr std::string_view kRejected = "Pod was rejected: ";  // written by PodWorker::reject()

Time api_time(const Value& value) {
  auto time = parse_time(value.as_string());
  return time.ok() ? *time : Time{};
}

Termination termination_from_status(const Value& v) {
  return Termination{static_cast<int>(v["exitCode"].as_int()),
                     static_cast<int>(v["signal"].as_int()),
                     v["reason"].str(),
                     v["message"].str(),
                     std::string(cut(v["containerID"].as_string(), "://").after),
                     api_time(v["startedAt"]),
                     api_time(v["finishedAt"])};
}

// The termination of a container that ran when the node went down.
Termination ended_with_node(const ContainerRecord& c, Time started, Time now, const ContainerEnds& ends) {
  auto known = ends.find(c.id);
  if (known == ends.end()) return Termination{255, 0, "Unknown", "", c.id, started, now};
  const ContainerEnd& end = known->second;
  const char* reason = end.oom_killed ? "OOMKilled" : end.exit_code == 0 ? "Completed" : "Error";
  return Termination{end.exit_code, 0, reason, "", c.id, started, std::max(end.finished, started)};
}

ContainerRecord container_from_status(const Value& s, Time now, const ContainerEnds& ends) {
  ContainerRecord c;
  c.id = std::string(cut(s["containerID"].as_string(), "://").after);
  c.image = s["image"].str();
  c.image_id = s["imageID"].str();
  const Value& user = s["user"]["linux"];
  c.uid = user["uid"].as_int(-1);
  c.gid = user["gid"].as_int(-1);
  for (const Value& group : user["supplementalGroups"]) c.groups.push_back(group.as_int());
  const Value& running = s["state"]["running"];
  const Value& terminated = s["state"]["terminated"];
  const Value& last = s["lastState"]["terminated"];
  if (!running.is_null() || !terminated.is_null() || !last.is_null())
    c.attempt = static_cast<int>(s["restartCount"].as_int());
  if (!terminated.is_null()) {
    c.state = ContainerRecord::State::kExited;
    c.ended = termination_from_status(terminated);
    if (!last.is_null()) c.last = termination_from_status(last);
  } else if (!running.is_null()) {
    c.state = ContainerRecord::State::kExited;
    c.ended = ended_with_node(c, api_time(running["startedAt"]), now, ends);
    if (!last.is_null()) c.last = termination_from_status(last);
  } else if (!last.is_null()) {
    c.state = ContainerRecord::State::kExited;
    c.ended = termination_from_status(last);
  }
  return c;
}

}  // namespace

const ContainerRecord& PodRecord::at(std::string_view container) const {
  static const ContainerRecord none;
  auto found = containers.find(std::string(container));
  return found == containers.end() ? none : found->second;
}

Value to_json(const PodRecord& r) {
  Value containers = Value::object();
  for (const auto& [name, c] : r.containers) containers.set(name, to_json(c));
  Value claims = Value::array();
  for (const auto& claim : r.claims) claims.push(claim);
  Value volume_images = Value::object();
  for (const auto& [volume, image] : r.volume_images) volume_images.set(volume, image);
  return Value::object({{"uid", r.uid},
                        {"namespace", r.ns},
                        {"name", r.name},
                        {"started", ns(r.started)},
                        {"ip", r.ip},
                        {"prepared", r.prepared},
                        {"initialized", r.initialized},
                        {"tornDown", r.cleaned_up},
                        {"restartingAll", r.restarting_all},
                        {"restartedAll", ns(r.restarted_all)},
                        {"firstUser", r.first_user},
                        {"claims", std::move(claims)},
                        {"volumeImages", std::move(volume_images)},
                        {"failedReason", r.failed_reason},
                        {"failedMessage", r.failed_message},
                        {"rejected", r.rejected},
                        {"disruption", r.disruption},
                        {"granted", r.granted},
                        {"podInForce", r.pod_in_force},
                        {"resizeRefused", r.resize_refused},
                        {"resizeMessage", r.resize_message},
                        {"resizing", r.resizing},
                        {"resizeFailure", r.resize_failure},
                        {"containers", std::move(containers)}});
}

Result<PodRecord> record_from_json(const Value& v) {
  PodRecord r;
  r.uid = v["uid"].str();
  if (r.uid.empty()) return error(Code::kInvalid, "a pod record without a uid");
  r.ns = v["namespace"].str();
  r.name = v["name"].str();
  r.started = time_of(v["started"]);
  r.ip = v["ip"].str();
  r.prepared = v["prepared"].as_bool();
  r.initialized = v["initialized"].as_bool();
  r.cleaned_up = v["tornDown"].as_bool();
  r.restarting_all = v["restartingAll"].as_bool();
  r.restarted_all = time_of(v["restartedAll"]);
  r.first_user = v["firstUser"].as_int();
  for (const Value& claim : v["claims"]) r.claims.push_back(claim.str());
  for (auto [volume, image] : v["volumeImages"].entries()) r.volume_images[std::string(volume)] = image.str();
  r.failed_reason = v["failedReason"].str();
  r.failed_message = v["failedMessage"].str();
  r.rejected = v["rejected"].as_bool();
  r.disruption = v["disruption"].as_bool();
  r.granted = v["granted"];
  r.pod_in_force = v["podInForce"];
  r.resize_refused = v["resizeRefused"].str();
  r.resize_message = v["resizeMessage"].str();
  r.resizing = v["resizing"].as_bool();
  r.resize_failure = v["resizeFailure"].str();
  for (auto [name, c] : v["containers"].entries()) r.containers[std::string(name)] = container_of(c);
  return r;
}

PodRecord record_from_status(const Value& pod, Time now, const ContainerEnds& ends) {
  PodRecord r;
  r.uid = api::uid_of(pod);
  r.ns = api::namespace_of(pod);
  r.name = api::name_of(pod);
  const Value& status = pod["status"];
  r.started = api_time(status["startTime"]);
  if (status["phase"].as_string() == "Failed" && !status["reason"].as_string().empty()) {
    r.failed_reason = status["reason"].str();
    r.failed_message = status["message"].str();
    r.rejected = r.failed_message.starts_with(kRejected);
    r.disruption = api::condition_is_true(pod, "DisruptionTarget");
  }
  bool over = api::is_pod_terminal(pod);
  r.cleaned_up = over;
  // An init container that has failed stays the reason why the pod is over.
  if (over) r.initialized = api::condition_is_true(pod, "Initialized") || status["initContainerStatuses"].empty();
  for (const char* list : {"containerStatuses", "ephemeralContainerStatuses"}) {
    for (const Value& s : status[list]) r.containers[s["name"].str()] = container_from_status(s, now, ends);
  }
  for (const Value& s : status["initContainerStatuses"]) {
    ContainerRecord c = container_from_status(s, now, ends);
    // In a new sandbox the init containers run again.
    if (!over && c.state == ContainerRecord::State::kExited) {
      c.last = c.ended;
      c.state = ContainerRecord::State::kWaiting;
    }
    r.containers[s["name"].str()] = std::move(c);
  }
  return r;
}

std::string pod_in_messages(const PodRecord& r) { return r.name + "_" + r.ns + "(" + r.uid + ")"; }

}  // namespace berth::agent
