#pragma once
// Recordings of Kubernetes 1.36.2 (tests/data/recorded-1.36), and what of an answer is compared with them. For tests.

#include <zlib.h>

#include <set>

#include "apiserver/registry/test_registry.h"
#include "base/text.h"

namespace berth::apiserver::registry::recorded {

inline std::string unzipped(const std::string& name) {
  gzFile file = gzopen((BERTH_SOURCE_DIR "/tests/data/recorded-1.36/" + name).c_str(), "rb");
  EXPECT_NE(file, nullptr) << name;
  std::string text;
  if (file == nullptr) return text;
  char part[1 << 16];
  for (int n; (n = gzread(file, part, sizeof part)) > 0;) text.append(part, static_cast<std::size_t>(n));
  gzclose(file);
  return text;
}

inline std::vector<Value> rows_of(const std::string& recording) {
  std::vector<Value> rows;
  const std::string text = unzipped(recording + ".jsonl.gz");
  for (std::string_view line : split(text, '\n')) {
    if (!trim(line).empty()) rows.push_back(json::parse(line).value());
  }
  return rows;
}

inline Value bases_of(const std::string& recording) {
  return json::parse(unzipped(recording + "-bases.json.gz")).value();
}

// Writes `to` (null: nothing, the member goes) where `path` leads from its step `at`; what is missing on the way is
// made.
inline void write_at(Value& object, const Value& path, std::size_t at, const Value* to) {
  const Value& step = path[at];
  const bool last = at + 1 == path.size();
  if (step.is_int()) {
    const auto index = static_cast<std::size_t>(step.as_int());
    while (object.size() <= index) object.push(Value::object());
    if (last) {
      object.mut(index) = to ? *to : Value();
    } else {
      write_at(object.mut(index), path, at + 1, to);
    }
    return;
  }
  const std::string_view key = step.as_string();
  if (last) {
    if (to) {
      object.set(key, *to);
    } else {
      object.erase(key);
    }
    return;
  }
  if (!object[key].is_object() && !object[key].is_array())
    object.set(key, path[at + 1].is_int() ? Value::array({}) : Value::object());
  write_at(object.mut(key), path, at + 1, to);
}

// Makes the row's change.
inline void change(Value& object, const Value& row) {
  const Value to = row["to"];
  if (row["op"].as_string() != "base")
    write_at(object, row["set"], 0, row["op"].as_string() == "unset" ? nullptr : &to);
}

inline std::string name_of(const Value& row) {
  return row["base"].str() + (row["sub"].is_null() ? "" : "/" + row["sub"].str()) + " " + json::encode(row["set"]) +
         " " + row["op"].str() + " " + json::encode(row["to"]);
}

// Names that are made up differ each time.
inline std::string scrubbed(std::string_view text) {
  std::string out(text);
  constexpr std::string_view kToken = "kube-api-access-", kShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  for (std::size_t at = 0; (at = out.find(kToken, at)) != std::string::npos;) {
    at += kToken.size();
    if (out.compare(at, 1, "*") != 0) out.replace(at, std::min<std::size_t>(5, out.size() - at), "*");
  }
  auto is_uid = [&](std::size_t at) {
    for (std::size_t i = 0; i < kShape.size(); ++i) {
      if (kShape[i] == '-' ? out[at + i] != '-' : std::isxdigit(static_cast<unsigned char>(out[at + i])) == 0)
        return false;
    }
    return true;
  };
  for (std::size_t at = 0; at + kShape.size() <= out.size(); ++at) {
    if (is_uid(at)) out.replace(at, kShape.size(), "*");
  }
  return out;
}

// Without the start of the body, whose spaces are the client's.
inline std::string told(std::string_view message) {
  if (message.starts_with("the object provided is unrecognized")) message = message.substr(0, message.find(" ({"));
  return scrubbed(message);
}

// What is warned of a whole version is said by rest/.
inline bool is_of_version(const Value& warning) {
  return warning.as_string().starts_with("v1 Endpoints is deprecated");
}

// What counts of an answer, one line a fact, in any order; upstream says some causes twice.
using Facts = std::set<std::string>;

inline Facts refusal(const Value& row) {
  Facts facts{std::to_string(row["code"].as_int())};
  if (row.contains("varies")) return facts;
  for (const Value& cause : row["causes"])
    facts.insert(cause[0].str() + " | " + cause[1].str() + " | " + cause[2].str());
  if (row["causes"].empty() && row["code"].as_int() >= 300) facts.insert(told(row["message"].as_string()));
  return facts;
}

inline Facts refusal(const Error& e, bool code_only) {
  Facts facts{std::to_string(api::http_code(e.code))};
  if (code_only) return facts;
  if (!e.details || e.details->causes.empty()) facts.insert(told(e.message));
  if (e.details) {
    for (const Cause& cause : e.details->causes)
      facts.insert(cause.field + " | " + cause.reason + " | " + scrubbed(cause.message));
  }
  return facts;
}

}  // namespace berth::apiserver::registry::recorded
