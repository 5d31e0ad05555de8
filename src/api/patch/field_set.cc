#include "api/patch/field_set.h"

#include "base/text.h"

namespace berth::api::patch {

bool FieldSet::empty() const {
  for (const auto& [element, node] : nodes_) {
    if (node.member || !node.below.empty()) return false;
  }
  return true;
}

bool FieldSet::has(const std::string& element) const {
  auto it = nodes_.find(element);
  return it != nodes_.end() && it->second.member;
}

const FieldSet* FieldSet::below(const std::string& element) const {
  auto it = nodes_.find(element);
  return it == nodes_.end() || it->second.below.empty() ? nullptr : &it->second.below;
}

void FieldSet::insert(const FieldPath& path) {
  FieldSet* at = this;
  for (std::size_t i = 0; i < path.size(); ++i) {
    Node& node = at->nodes_[path[i]];
    if (i + 1 == path.size()) node.member = true;
    at = &node.below;
  }
}

FieldSet FieldSet::united(const FieldSet& other) const {
  FieldSet out = *this;
  out.unite(other);
  return out;
}

void FieldSet::unite(const FieldSet& other) {
  if (nodes_.empty()) {
    nodes_ = other.nodes_;
    return;
  }
  for (const auto& [element, theirs] : other.nodes_) {
    Node& mine = nodes_[element];
    mine.member = mine.member || theirs.member;
    mine.below.unite(theirs.below);
  }
}

bool FieldSet::intersects(const FieldSet& other) const {
  for (const auto& [element, mine] : nodes_) {
    auto theirs = other.nodes_.find(element);
    if (theirs == other.nodes_.end()) continue;
    if ((mine.member && theirs->second.member) || mine.below.intersects(theirs->second.below)) return true;
  }
  return false;
}

FieldSet FieldSet::without(const FieldSet& other) const {
  FieldSet out;
  for (const auto& [element, mine] : nodes_) {
    auto theirs = other.nodes_.find(element);
    Node left = theirs == other.nodes_.end()
                    ? mine
                    : Node{mine.member && !theirs->second.member, mine.below.without(theirs->second.below)};
    if (left.member || !left.below.empty()) out.nodes_.emplace(element, std::move(left));
  }
  return out;
}

FieldSet FieldSet::common(const FieldSet& other) const {
  FieldSet out;
  for (const auto& [element, mine] : nodes_) {
    auto theirs = other.nodes_.find(element);
    if (theirs == other.nodes_.end()) continue;
    Node both{mine.member && theirs->second.member, mine.below.common(theirs->second.below)};
    if (both.member || !both.below.empty()) out.nodes_.emplace(element, std::move(both));
  }
  return out;
}

bool FieldSet::operator==(const FieldSet& other) const { return to_fields_v1() == other.to_fields_v1(); }

void FieldSet::visit_from(FieldPath& prefix, const std::function<void(const FieldPath&)>& visit) const {
  for (const auto& [element, node] : nodes_) {
    if (!node.member) continue;
    prefix.push_back(element);
    visit(prefix);
    prefix.pop_back();
  }
  for (const auto& [element, node] : nodes_) {
    prefix.push_back(element);
    node.below.visit_from(prefix, visit);
    prefix.pop_back();
  }
}

void FieldSet::for_each(const std::function<void(const FieldPath&)>& visit) const {
  FieldPath prefix;
  visit_from(prefix, visit);
}

Value FieldSet::to_fields_v1() const {
  Value out = Value::object();
  for (const auto& [element, node] : nodes_) {
    Value below = node.below.to_fields_v1();
    if (below.empty() && !node.member) continue;
    if (!below.empty() && node.member) below.set(".", Value::object());
    out.set(element, std::move(below));
  }
  return out;
}

Result<FieldSet> FieldSet::from_fields_v1(const Value& fields) {
  FieldSet out;
  if (!fields.is_object()) return error(Code::kInvalid, "fieldsV1 must be an object");
  for (auto [element, below] : fields.entries()) {
    if (element == ".") continue;
    if (element.size() < 2 || element[1] != ':' ||
        std::string_view("fkvi").find(element[0]) == std::string_view::npos) {
      return error(Code::kInvalid, "fieldsV1: " + quoted(element) + " is no path element");
    }
    if (element[0] != 'f' && !json::parse(element.substr(2)).ok()) {
      return error(Code::kInvalid, "fieldsV1: " + quoted(element) + " is no path element");
    }
    Node& node = out.nodes_[std::string(element)];
    BERTH_ASSIGN(node.below, from_fields_v1(below));
    node.member = below.empty() || below.contains(".");
  }
  return out;
}

std::string to_string(const FieldPath& path) {
  std::string out;
  for (const std::string& element : path) {
    const std::string_view content = std::string_view(element).substr(2);
    switch (element[0]) {
      case 'f':
        out += '.';
        out += content;
        break;
      case 'v': out += "[=" + std::string(content) + "]"; break;
      case 'i': out += "[" + std::string(content) + "]"; break;
      default: {
        auto keys = json::parse(content);
        out += '[';
        bool first = true;
        for (auto [key, value] : (keys.ok() ? *keys : Value()).entries()) {
          if (!first) out += ',';
          first = false;
          out += std::string(key) + "=" + json::encode(value);
        }
        out += ']';
      }
    }
  }
  return out;
}

}  // namespace berth::api::patch
