#include "api/validation/go_value.h"

#include <cctype>

#include "api/schema/schema.h"

namespace berth::validation {
namespace {

// The names of fields whose internal spelling is not the JSON name with a capital.
std::string go_name(std::string_view json) {
  if (json == "seLinuxOptions") return "SELinuxOptions";
  if (json == "gmsaCredentialSpecName") return "GMSACredentialSpecName";
  if (json == "gmsaCredentialSpec") return "GMSACredentialSpec";
  std::string name(json);
  name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
  return name;
}

void append(std::string& out, const Value& value, const schema::Field& field, bool internal);

void append_object(std::string& out, const Value& value, const schema::Type& type, bool internal) {
  out.push_back('{');
  bool first = true;
  for (const schema::Field& field : type.fields) {
    const Value& member = value[field.name];
    // Clients' types leave out what is empty; internal ones know no such thing.
    const bool holds_nothing = (member.is_string() && member.as_string().empty()) || ((field.shape == schema::Shape::kList || field.shape == schema::Shape::kMap) && member.empty());
    const bool empty = member.is_null() || (field.omit_empty && !field.pointer && holds_nothing);
    if (empty && !internal && field.omit_empty) continue;
    if (!first) out.push_back(',');
    first = false;
    json::append_string(internal ? go_name(field.name) : field.name, out);
    out.push_back(':');
    append(out, member, field, internal);
  }
  out.push_back('}');
}

void append(std::string& out, const Value& value, const schema::Field& field, bool internal) {
  using schema::Shape;
  if (!value.is_null() && field.shape == Shape::kObject) return append_object(out, value, *field.type, internal);
  if (!value.is_null() && field.shape == Shape::kList) {
    out.push_back('[');
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out.push_back(',');
      append(out, value[i], *field.element, internal);
    }
    out.push_back(']');
    return;
  }
  if (!value.is_null()) return json::encode_to(value, out);
  if (field.pointer || field.shape == Shape::kList || field.shape == Shape::kMap) {
    out.append("null");
    return;
  }
  switch (field.shape) {
    case Shape::kString: out.append("\"\""); break;
    case Shape::kBool: out.append("false"); break;
    case Shape::kObject: append_object(out, value, *field.type, internal); break;
    case Shape::kInt32:
    case Shape::kInt64:
    case Shape::kIntOrString:
    case Shape::kDouble: out.push_back('0'); break;
    case Shape::kQuantity: out.append("\"0\""); break;
    default: out.append("null"); break;
  }
}

std::string shown(const Value& value, std::string_view type_name, bool internal) {
  const schema::Type* type = schema::builtin().find_type(type_name);
  if (type == nullptr || value.is_null()) return json::encode(value);
  std::string out;
  append_object(out, value, *type, internal);
  return out;
}

}  // namespace

std::string shown_as_go(const Value& value, std::string_view type) { return shown(value, type, true); }
std::string shown_selector(const Value& selector) { return shown(selector, "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", false); }

}  // namespace berth::validation
