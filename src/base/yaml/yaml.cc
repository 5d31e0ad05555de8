#include "base/yaml/yaml.h"

#include <yaml.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/json/build.h"
#include "base/text.h"
#include "base/yaml/scalar.h"

namespace berth::yaml {
namespace {

// Documents are read by recursion; no real one comes near.
constexpr int kMaxDepth = 1000;

class Event {
 public:
  Event() : event_{} {}
  ~Event() { yaml_event_delete(&event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  bool read(yaml_parser_t* parser) {
    yaml_event_delete(&event_);
    return yaml_parser_parse(parser, &event_) == 1;
  }
  yaml_event_type_t type() const { return event_.type; }
  std::size_t line() const { return event_.start_mark.line + 1; }
  const yaml_event_t& raw() const { return event_; }
  std::string anchor() const {
    switch (event_.type) {
      case YAML_ALIAS_EVENT: return text(event_.data.alias.anchor);
      case YAML_SCALAR_EVENT: return text(event_.data.scalar.anchor);
      case YAML_SEQUENCE_START_EVENT: return text(event_.data.sequence_start.anchor);
      case YAML_MAPPING_START_EVENT: return text(event_.data.mapping_start.anchor);
      default: return {};
    }
  }
  std::string tag() const { return text(event_.data.scalar.tag); }
  std::string_view scalar() const {
    return {reinterpret_cast<const char*>(event_.data.scalar.value), event_.data.scalar.length};
  }
  bool plain() const { return event_.data.scalar.style == YAML_PLAIN_SCALAR_STYLE; }

 private:
  static std::string text(const yaml_char_t* chars) {
    return chars == nullptr ? std::string() : reinterpret_cast<const char*>(chars);
  }
  yaml_event_t event_;
};

class Reader {
 public:
  Reader(std::string_view text, std::vector<std::string>* duplicates, std::vector<std::string>* repeated)
      : duplicates_(duplicates), repeated_keys_(repeated) {
    ready_ = yaml_parser_initialize(&parser_) == 1;
    if (!ready_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  ~Reader() {
    if (ready_) yaml_parser_delete(&parser_);
  }

  // The next document into `out`; `more` is false at the end of the stream.
  Status next(Value& out, bool& more) {
    more = false;
    for (;;) {
      BERTH_TRY(advance());
      if (event_.type() == YAML_STREAM_END_EVENT) return ok_status();
      if (event_.type() != YAML_DOCUMENT_START_EVENT) continue;
      more = true;
      anchors_.clear();
      path_.clear();
      BERTH_TRY(advance());
      BERTH_TRY(node(out, 0));
      return advance();  // the document's end
    }
  }

 private:
  struct Anchored {
    Value value;
    std::size_t nodes;
    std::size_t bytes;  // of its text
  };

  Error problem(std::size_t line, const std::string& what) const {
    return error(Code::kBadRequest, "line " + std::to_string(line) + ": " + what);
  }

  Status advance() {
    if (!ready_) return error(Code::kInternal, "out of memory");
    if (event_.read(&parser_)) return ok_status();
    std::string what = parser_.problem != nullptr ? parser_.problem : "malformed";
    // As go-yaml counts: from zero, except for problems of its scanner; and line 0 is left out.
    std::size_t line = parser_.problem_mark.line;
    if (line != 0 && parser_.error == YAML_SCANNER_ERROR) ++line;
    if (line == 0) line = parser_.context_mark.line;
    return line == 0 ? error(Code::kBadRequest, what) : problem(line, what);
  }

  Status count(std::size_t nodes) {
    nodes_ += nodes;
    if (nodes_ > kMaxNodes) return problem(event_.line(), "the document unfolds to too many nodes");
    return ok_status();
  }

  // Aliases share their value in memory, but each is encoded in full.
  Status count_bytes(std::size_t bytes, bool again) {
    bytes_ += bytes;
    if (again) repeated_ += bytes;
    if (repeated_ > kMaxRepeatedBytes) return problem(event_.line(), "the document's aliases unfold to too many bytes");
    return ok_status();
  }

  // Reads the node that starts at the current event.
  Status node(Value& out, int depth) {
    if (depth > kMaxDepth) return problem(event_.line(), "nested too deeply");
    if (event_.type() == YAML_ALIAS_EVENT) return alias(out);
    std::size_t before = nodes_, bytes_before = bytes_;
    BERTH_TRY(count(1));
    if (event_.type() == YAML_SCALAR_EVENT) BERTH_TRY(count_bytes(event_.scalar().size(), false));
    std::string anchor = event_.anchor();
    switch (event_.type()) {
      case YAML_SCALAR_EVENT: BERTH_TRY(scalar(out)); break;
      case YAML_SEQUENCE_START_EVENT: BERTH_TRY(sequence(out, depth)); break;
      case YAML_MAPPING_START_EVENT: BERTH_TRY(mapping(out, depth)); break;
      default: return problem(event_.line(), "a value expected");
    }
    if (!anchor.empty()) anchors_[anchor] = Anchored{out, nodes_ - before, bytes_ - bytes_before};
    return ok_status();
  }

  Status alias(Value& out) {
    auto found = anchors_.find(event_.anchor());
    if (found == anchors_.end()) return problem(event_.line(), "unknown anchor " + quoted(event_.anchor()));
    BERTH_TRY(count(found->second.nodes));
    BERTH_TRY(count_bytes(found->second.bytes, true));
    out = found->second.value;
    return ok_status();
  }

  Status scalar(Value& out) {
    std::string tag = event_.tag();
    std::string_view text = event_.scalar();
    if (tag == YAML_STR_TAG || tag == "!" || (tag.empty() && !event_.plain())) {
      out = Value(text);
      return ok_status();
    }
    if (tag == "tag:yaml.org,2002:binary") {
      std::string packed;
      for (char c : text) {
        if (c != '\n' && c != ' ') packed += c;
      }
      auto bytes = base64_decode(packed);
      if (!bytes.ok()) return problem(event_.line(), "!!binary: " + bytes.error().message);
      out = Value(*bytes);
      return ok_status();
    }
    bool unprintable = false;
    out = resolve_plain(text, unprintable);
    if (unprintable) return problem(event_.line(), "JSON has no number " + std::string(text));
    bool fits = (tag == YAML_INT_TAG && out.is_int()) || (tag == YAML_FLOAT_TAG && out.is_number()) ||
                (tag == YAML_BOOL_TAG && out.is_bool()) || (tag == YAML_NULL_TAG && out.is_null());
    bool known = tag == YAML_INT_TAG || tag == YAML_FLOAT_TAG || tag == YAML_BOOL_TAG || tag == YAML_NULL_TAG;
    if (known && !fits) return problem(event_.line(), "cannot read " + quoted(text) + " as " + tag);
    // A tag outside of YAML's schema says nothing about the type; a timestamp is a string.
    if (!tag.empty() && !known && (!event_.plain() || tag == YAML_TIMESTAMP_TAG)) out = Value(text);
    return ok_status();
  }

  Status sequence(Value& out, int depth) {
    std::vector<Value> elements;
    for (;;) {
      BERTH_TRY(advance());
      if (event_.type() == YAML_SEQUENCE_END_EVENT) break;
      std::size_t mark = path_.size();
      if (duplicates_ != nullptr) path_ += '[' + std::to_string(elements.size()) + ']';
      BERTH_TRY(node(elements.emplace_back(), depth + 1));
      path_.resize(mark);
    }
    out = Value::array(std::move(elements));
    return ok_status();
  }

  using Members = std::map<std::string, Value, std::less<>>;

  Status mapping(Value& out, int depth) {
    Members members;
    Value merged = Value::object();
    for (;;) {
      BERTH_TRY(advance());
      if (event_.type() == YAML_MAPPING_END_EVENT) break;
      std::size_t line = event_.line();
      if (is_merge()) {
        BERTH_TRY(advance());
        Value source;
        BERTH_TRY(node(source, depth + 1));
        BERTH_TRY(merge(source, line, merged));
        continue;
      }
      BERTH_TRY(member(members, line, depth));
    }
    std::vector<std::pair<std::string_view, Value>> all;
    // Of two equal keys the later wins: the mapping's own override the merged ones.
    for (json::Entry entry : merged.entries()) all.emplace_back(entry.key, entry.value);
    for (auto& [key, value] : members) all.emplace_back(key, std::move(value));
    out = json::make_object(all);
    return ok_status();
  }

  bool is_merge() const {
    if (event_.type() != YAML_SCALAR_EVENT || event_.scalar() != "<<") return false;
    std::string tag = event_.tag();
    return tag == "tag:yaml.org,2002:merge" || (tag.empty() && event_.plain());
  }

  Status merge(const Value& source, std::size_t line, Value& merged) {
    if (source.is_array()) {
      for (const Value& each : source) {
        if (!each.is_object()) return problem(line, "a merge takes a mapping or a list of mappings");
        BERTH_TRY(merge(each, line, merged));
      }
      return ok_status();
    }
    if (!source.is_object()) return problem(line, "a merge takes a mapping or a list of mappings");
    for (json::Entry entry : source.entries()) {
      if (!merged.contains(entry.key)) merged.set(entry.key, entry.value);
    }
    return ok_status();
  }

  Status member(Members& out, std::size_t line, int depth) {
    Value key;
    BERTH_TRY(node(key, depth + 1));
    std::string name;
    if (key.is_string()) {
      name = key.str();
    } else if (key.is_bool() || key.is_number()) {
      name = json::encode(key);
    } else {
      return problem(line, std::string("a mapping's key must be a string, not ") + key.type_name());
    }
    constexpr std::size_t kMostDuplicates = 100;
    if (repeated_keys_ != nullptr && repeated_keys_->size() < kMostDuplicates && out.contains(name)) {
      repeated_keys_->push_back("line " + std::to_string(line) + ": key " + (key.is_string() ? quoted(name) : name) +
                                " already set in map");
    }
    std::size_t mark = path_.size();
    if (duplicates_ != nullptr) {
      if (mark > 0) path_ += '.';
      path_ += name;
      bool again = out.contains(name);
      if (again && duplicates_->size() < kMostDuplicates &&
          std::find(duplicates_->begin(), duplicates_->end(), path_) == duplicates_->end()) {
        duplicates_->push_back(path_);
      }
    }
    BERTH_TRY(advance());
    Value value;
    BERTH_TRY(node(value, depth + 1));
    out.insert_or_assign(std::move(name), std::move(value));
    path_.resize(mark);
    return ok_status();
  }

  yaml_parser_t parser_;
  bool ready_ = false;
  Event event_;
  std::unordered_map<std::string, Anchored> anchors_;
  std::size_t nodes_ = 0;
  std::size_t bytes_ = 0, repeated_ = 0;  // of scalars, aliases unfolded; of those, what aliases repeat
  std::vector<std::string>* duplicates_;
  std::vector<std::string>* repeated_keys_;
  std::string path_;  // of the current node; kept only where duplicates are wanted
};

}  // namespace

Result<Value> parse(std::string_view text, std::vector<std::string>* duplicates, std::vector<std::string>* repeated) {
  Reader reader(text, duplicates, repeated);
  Value first;
  bool more = false;
  BERTH_TRY(reader.next(first, more));
  return first;
}

Result<std::vector<Value>> parse_all(std::string_view text) {
  Reader reader(text, nullptr, nullptr);
  std::vector<Value> documents;
  for (;;) {
    Value document;
    bool more = false;
    BERTH_TRY(reader.next(document, more));
    if (!more) return documents;
    if (!document.is_null()) documents.push_back(std::move(document));
  }
}

}  // namespace berth::yaml
