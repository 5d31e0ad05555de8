// The loader: schema text (docs/formats/schema.md) to Types and Kinds. Two passes: first every name, then every field.
#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "api/schema/default_plan.h"
#include "api/schema/schema.h"
#include "base/json/intern.h"
#include "base/text.h"

namespace berth {
std::vector<std::pair<std::string_view, std::string_view>> embedded_schema_files();
}

namespace berth::api::schema {

const Field* Type::find(std::string_view json_name) const {
  auto at = std::lower_bound(by_name.begin(), by_name.end(), json_name,
                             [](const Field* field, std::string_view name) { return field->name < name; });
  return at != by_name.end() && (*at)->name == json_name ? *at : nullptr;
}

std::string_view Type::short_name() const {
  std::string_view text = name;
  return text.substr(text.rfind('.') + 1);
}

bool Kind::has_subresource(std::string_view name) const {
  return std::find(subresources.begin(), subresources.end(), name) != subresources.end();
}

bool Kind::has_verb(std::string_view verb) const { return std::find(verbs.begin(), verbs.end(), verb) != verbs.end(); }

const Subresource* Kind::subresource(std::string_view name) const {
  for (const Subresource& sub : subresource_details) {
    if (sub.name == name) return &sub;
  }
  return nullptr;
}

namespace {

struct ResourceHash {
  std::size_t operator()(const api::Resource& resource) const {
    const std::hash<std::string_view> hash;
    return hash(resource.resource) ^ (hash(resource.group) * 31) ^ (hash(resource.version) * 131);
  }
};

class LoadedSchema final : public Schema {
 public:
  const Kind* find(const api::Resource& resource) const override {
    auto at = by_resource_.find(resource);
    return at == by_resource_.end() ? nullptr : at->second;
  }
  const Kind* find_kind(std::string_view api_version, std::string_view kind) const override {
    std::string key(api_version);
    key.append("\n").append(kind);
    auto at = by_kind_.find(key);
    return at == by_kind_.end() ? nullptr : at->second;
  }
  std::vector<const Kind*> kinds() const override { return served_; }
  std::vector<const Kind*> other_kinds() const override { return others_; }
  const Type* find_type(std::string_view name) const override {
    auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second;
  }
  std::vector<const Type*> types() const override {
    std::vector<const Type*> all;
    for (const auto& type : types_) all.push_back(type.get());
    return all;
  }

  // Null where there is one of that name already.
  Type* add_type(std::string name) {
    auto type = std::make_unique<Type>();
    type->name = std::move(name);
    if (!by_name_.emplace(type->name, type.get()).second) return nullptr;
    types_.push_back(std::move(type));
    return types_.back().get();
  }
  bool add_kind(std::unique_ptr<Kind> kind) {
    if (!by_kind_.emplace(kind->api_version() + "\n" + kind->kind, kind.get()).second) return false;
    if (kind->plural.empty()) {
      others_.push_back(kind.get());
    } else {
      if (!by_resource_.emplace(kind->resource(), kind.get()).second) return false;
      served_.push_back(kind.get());
    }
    kinds_.push_back(std::move(kind));
    return true;
  }
  std::vector<std::unique_ptr<Type>>& own_types() { return types_; }
  DefaultPlans& plans() { return plans_; }

 private:
  std::vector<std::unique_ptr<Type>> types_;
  std::vector<std::unique_ptr<Kind>> kinds_;
  std::vector<const Kind*> served_, others_;
  std::map<std::string_view, Type*> by_name_;
  std::unordered_map<api::Resource, const Kind*, ResourceHash> by_resource_;
  std::unordered_map<std::string, const Kind*> by_kind_;
  DefaultPlans plans_;
};

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> found;
  for (std::size_t at = 0; at < line.size();) {
    if (line[at] == ' ') {
      ++at;
      continue;
    }
    std::size_t end = std::min(line.find(' ', at), line.size());
    found.push_back(line.substr(at, end - at));
    at = end;
  }
  return found;
}

std::vector<std::string> strings(const std::vector<std::string_view>& from, std::size_t first) {
  return first < from.size() ? std::vector<std::string>(from.begin() + static_cast<long>(first), from.end())
                             : std::vector<std::string>();
}

struct Builtin {
  Shape shape;
  std::string_view go_type;
  std::string_view wire;
};
const Builtin* builtin_shape(std::string_view word) {
  static const std::map<std::string_view, Builtin> kShapes = {
      {"string", {Shape::kString, "string", "bytes"}},
      {"bool", {Shape::kBool, "bool", "varint"}},
      {"int32", {Shape::kInt32, "int32", "varint"}},
      {"int64", {Shape::kInt64, "int64", "varint"}},
      {"double", {Shape::kDouble, "float64", "fixed64"}},
      {"bytes", {Shape::kBytes, "[]uint8", "bytes"}},
      {"quantity", {Shape::kQuantity, "resource.Quantity", "bytes"}},
      {"intstr", {Shape::kIntOrString, "intstr.IntOrString", "bytes"}},
      {"time", {Shape::kTime, "v1.Time", "bytes"}},
      {"microtime", {Shape::kMicroTime, "v1.MicroTime", "bytes"}},
      {"duration", {Shape::kDuration, "v1.Duration", "bytes"}},
      {"raw", {Shape::kRaw, "runtime.RawExtension", "bytes"}},
  };
  auto at = kShapes.find(word);
  return at == kShapes.end() ? nullptr : &at->second;
}

// What `alias` and `enum` lines say.
struct Named {
  std::string text;  // the type it stands for
  std::string go_type;
  std::vector<std::string> values;
};

// "io.k8s.api.autoscaling.v2" -> "v2": how Go's errors name the package.
std::string go_package(std::string_view package) { return std::string(package.substr(package.rfind('.') + 1)); }

class Loader {
 public:
  Result<std::unique_ptr<Schema>> load(const std::vector<std::pair<std::string_view, std::string_view>>& files);

 private:
  struct Line {
    int number = 0;
    std::string_view text;  // without trailing white space
    bool indented() const { return text.starts_with(' '); }
  };
  struct File {
    std::string_view name;
    std::string package, alias;
    std::string group, version;
    long order = 0;
    std::vector<Line> lines;
  };

  Error fail(const File& file, const Line& line, std::string_view what) const {
    return berth::error(Code::kInvalid,
                        std::string(file.name) + ":" + std::to_string(line.number) + ": " + std::string(what));
  }
  static std::vector<Line> lines_of(std::string_view text);
  Result<void> read_names(File& file);
  Result<void> read_name_line(File& file, const Line& line, std::vector<std::string_view> w, std::string* open_enum);
  Result<void> read_kinds(File& file);
  Result<void> read_kind_line(const File& file, const Line& line, Kind& kind);
  Result<void> read_types(File& file);
  Result<void> read_field(const File& file, const Line& line, Field& field);
  Result<void> read_flag(const File& file, const Line& line, std::string_view flag, Field& field);
  Result<void> read_type(const File& file, const Line& line, std::string_view text, Field& field, int depth);
  Result<void> add_lists();
  void derive();
  void derive_gates();
  static void derive_absent(Field& field);
  void derive_zero(Type& type, std::map<const Type*, int>& state);

  std::unique_ptr<LoadedSchema> schema_ = std::make_unique<LoadedSchema>();
  std::vector<File> files_;
  std::map<std::string, std::string> packages_;  // alias -> package
  std::map<std::string, Named> named_;           // "alias.Name"
};

std::vector<Loader::Line> Loader::lines_of(std::string_view text) {
  std::vector<Line> lines;
  int number = 0;
  for (std::string_view raw : split(text, '\n')) {
    ++number;
    while (!raw.empty() && (raw.back() == ' ' || raw.back() == '\r')) raw.remove_suffix(1);
    if (raw.empty() || raw.front() == '#') continue;
    lines.push_back({number, raw});
  }
  return lines;
}

Result<std::unique_ptr<Schema>> Loader::load(const std::vector<std::pair<std::string_view, std::string_view>>& files) {
  for (const auto& [name, text] : files) {
    files_.push_back(File{.name = name});
    files_.back().lines = lines_of(text);
    if (auto read = read_names(files_.back()); !read) return read.error();
  }
  std::stable_sort(files_.begin(), files_.end(), [](const File& a, const File& b) { return a.order < b.order; });
  for (File& file : files_) {
    if (auto read = read_types(file); !read) return read.error();
  }
  for (File& file : files_) {
    if (auto read = read_kinds(file); !read) return read.error();
  }
  if (auto added = add_lists(); !added) return added.error();
  derive();
  return std::unique_ptr<Schema>(std::move(schema_));
}

// First pass: package, group, aliases, enums, and the names of all types.
Result<void> Loader::read_names(File& file) {
  std::string open_enum;
  for (const Line& line : file.lines) {
    if (auto read = read_name_line(file, line, words(line.text), &open_enum); !read) return read;
  }
  if (file.package.empty()) return fail(file, {1, {}}, "no package line");
  if (file.version.empty()) return fail(file, {1, {}}, "no group line");
  return {};
}

Result<void> Loader::read_name_line(File& file, const Line& line, std::vector<std::string_view> w,
                                    std::string* open_enum) {
  auto value = [](std::string_view word) { return word == "\"\"" ? std::string() : std::string(word); };
  if (line.indented()) {
    if (!open_enum->empty()) {
      for (std::string_view word : w) named_[*open_enum].values.push_back(value(word));
    }
    return {};
  }
  open_enum->clear();
  if (w[0] == "package") {
    if (w.size() != 4 || w[2] != "as") return fail(file, line, "expected: package NAME as ALIAS");
    file.package = w[1];
    file.alias = w[3];
    if (!packages_.emplace(file.alias, file.package).second) return fail(file, line, "alias used by another file");
    return {};
  }
  if (file.package.empty()) return fail(file, line, "the first line must be: package NAME as ALIAS");
  if (w[0] == "group") {
    auto order = w.size() == 6 ? parse_int(w[5]) : Result<long>(berth::error(Code::kInvalid, ""));
    if (!order || w[2] != "version" || w[4] != "order") {
      return fail(file, line, "expected: group GROUP version VERSION order NUMBER");
    }
    file.group = w[1] == "-" ? std::string() : std::string(w[1]);
    file.version = w[3];
    file.order = *order;
  } else if (w[0] == "alias" || w[0] == "enum") {
    bool is_enum = w[0] == "enum";
    if (w.size() < 3 || (!is_enum && w.size() > 4)) {
      return fail(file, line, is_enum ? "expected: enum NAME VALUE..." : "expected: alias NAME TYPE [GO-TYPE]");
    }
    Named named{is_enum ? "string" : std::string(w[2]), go_package(file.package) + "." + std::string(w[1]), {}};
    if (!is_enum && w.size() == 4) named.go_type = w[3];
    std::string key = file.alias + "." + std::string(w[1]);
    for (std::size_t i = 2; is_enum && i < w.size(); ++i) named.values.push_back(value(w[i]));
    if (!named_.emplace(key, std::move(named)).second) return fail(file, line, "defined twice: " + std::string(w[1]));
    if (is_enum) *open_enum = key;
  } else if (w[0] == "type") {
    if (w.size() < 2) return fail(file, line, "expected: type NAME [atomic] [embeds=NUMBER:GO-TYPE...]");
    Type* type = schema_->add_type(file.package + "." + std::string(w[1]));
    if (!type) return fail(file, line, "defined twice: " + std::string(w[1]));
    for (std::size_t i = 2; i < w.size(); ++i) {
      Cut flag = cut(w[i], "="), embedded = cut(flag.after, ":");
      auto number = parse_int(embedded.before);
      if (w[i] == "atomic") {
        type->atomic = true;
      } else if (flag.before == "embeds" && embedded.found && number) {
        type->embeds.emplace_back(static_cast<int>(*number), embedded.after);
      } else {
        return fail(file, line, "expected: type NAME [atomic] [embeds=NUMBER:GO-TYPE...]");
      }
    }
  } else if (w[0] != "kind" && w[0] != "|") {
    return fail(file, line, "expected package, group, kind, alias, enum, type or |, found " + quoted(w[0]));
  }
  return {};
}

Result<void> Loader::read_kinds(File& file) {
  std::unique_ptr<Kind> kind;
  Line at;
  auto finish = [&]() -> Result<void> {
    if (!kind) return {};
    if (!schema_->add_kind(std::move(kind))) return fail(file, at, "kind or plural defined twice");
    return {};
  };
  for (const Line& line : file.lines) {
    if (line.indented()) {
      if (!kind) continue;
      if (auto read = read_kind_line(file, line, *kind); !read) return read;
      continue;
    }
    if (auto done = finish(); !done) return done;
    auto w = words(line.text);
    if (w[0] != "kind") continue;
    if (w.size() != 2) return fail(file, line, "expected: kind NAME");
    at = line;
    kind = std::make_unique<Kind>();
    kind->group = file.group;
    kind->version = file.version;
    kind->kind = w[1];
    kind->type = schema_->find_type(file.package + "." + kind->kind);
    if (!kind->type) return fail(file, line, "no type of that name: " + kind->kind);
  }
  return finish();
}

Result<void> Loader::read_kind_line(const File& file, const Line& line, Kind& kind) {
  auto w = words(line.text);
  if (w[0] == "names" && w.size() >= 3) {
    kind.plural = w[1];
    kind.singular = w[2];
    kind.short_names = strings(w, 3);
  } else if (w[0] == "scope" && w.size() == 2 && (w[1] == "Namespaced" || w[1] == "Cluster")) {
    kind.namespaced = w[1] == "Namespaced";
  } else if (w[0] == "categories") {
    kind.categories = strings(w, 1);
  } else if (w[0] == "verbs") {
    kind.verbs = strings(w, 1);
  } else if (w[0] == "subresource") {
    Cut parts = cut(line.text, ": ");
    auto left = words(parts.before);
    if (!parts.found || (left.size() != 2 && left.size() != 4)) {
      return fail(file, line, "expected: subresource NAME [API-VERSION KIND]: VERB...");
    }
    Subresource sub{std::string(left[1]), kind.group, kind.version, kind.kind, strings(words(parts.after), 0)};
    if (left.size() == 4) {
      api::GroupVersion gv = api::GroupVersion::parse(left[2]);
      sub.group = gv.group;
      sub.version = gv.version;
      sub.kind = left[3];
    }
    kind.subresources.push_back(sub.name);
    kind.subresource_details.push_back(std::move(sub));
  } else {
    return fail(file, line, "expected names, scope, categories, verbs or subresource, found " + quoted(line.text));
  }
  return {};
}

// Second pass: fields and descriptions.
Result<void> Loader::read_types(File& file) {
  Type* type = nullptr;
  std::string* description = nullptr;
  for (const Line& line : file.lines) {
    auto w = words(line.text);
    if (w[0] == "|") {
      if (!description) return fail(file, line, "a description must follow a type or a field");
      std::string_view text = trim(trim(line.text).substr(1));
      if (!description->empty()) description->push_back(' ');
      description->append(text);
      continue;
    }
    if (!line.indented()) {
      type = nullptr;
      description = nullptr;
      if (w[0] != "type") continue;
      type = const_cast<Type*>(schema_->find_type(file.package + "." + std::string(w[1])));
      description = &type->description;
      continue;
    }
    if (!type) continue;
    Field field;
    if (auto read = read_field(file, line, field); !read) return read;
    for (const Field& other : type->fields) {
      if (other.name == field.name) return fail(file, line, "field given twice: " + field.name);
    }
    type->fields.push_back(std::move(field));
    description = &type->fields.back().description;  // valid until the next field
  }
  return {};
}

Result<void> Loader::read_field(const File& file, const Line& line, Field& field) {
  auto w = words(line.text);
  if (w.size() < 3) return fail(file, line, "expected: NAME TYPE NUMBER [FLAG...]");
  field.name = w[0];
  if (auto read = read_type(file, line, w[1], field, 0); !read) return read;
  if (w[2] != "-") {
    Cut number = cut(w[2], ".");
    auto outer = number.found ? parse_int(number.before) : Result<long>(0);
    auto inner = parse_int(number.found ? number.after : number.before);
    if (!outer || !inner || *inner <= 0) return fail(file, line, "not a field number: " + quoted(w[2]));
    field.proto_outer = static_cast<int>(*outer);
    field.proto_number = static_cast<int>(*inner);
  }
  bool required = std::find(w.begin() + 3, w.end(), "required") != w.end();
  field.required = required;
  field.omit_empty = !required;
  for (std::size_t i = 3; i < w.size(); ++i) {
    if (auto read = read_flag(file, line, w[i], field); !read) return read;
  }
  return {};
}

Result<void> Loader::read_flag(const File& file, const Line& line, std::string_view flag, Field& field) {
  Cut parts = cut(flag, "=");
  if (flag == "required") {
  } else if (flag == "zero") {
    field.omit_empty = false;
  } else if (flag == "omit") {
    field.omit_empty = true;
  } else if (flag == "atomic") {
    field.atomic_map = true;
  } else if (flag == "null") {
    field.null_absent = true;
  } else if (parts.before == "gate") {
    field.gate = parts.after;
  } else if (flag == "retainKeys") {
    field.patch_retain_keys = true;
  } else if (flag == "replace") {
    field.patch_replace = true;
  } else if (parts.before == "merge") {
    field.patch_merge = true;
    field.patch_merge_key = parts.after;
  } else if (parts.before == "default") {
    auto value = json::parse(parts.after);
    if (!value) return fail(file, line, "default: " + value.error().message);
    field.default_value = std::move(*value);
  } else if (parts.before == "list") {
    field.has_list_type = true;
    std::string_view kind = parts.after;
    if (kind == "atomic") {
      field.list_type = ListType::kAtomic;
    } else if (kind == "set") {
      field.list_type = ListType::kSet;
    } else if (kind.starts_with("map(") && kind.ends_with(")") && kind.size() > 5) {
      field.list_type = ListType::kMap;
      for (std::string_view key : split(kind.substr(4, kind.size() - 5), ',')) field.list_map_keys.emplace_back(key);
    } else {
      return fail(file, line, "expected list=atomic, list=set or list=map(KEY,...), found " + quoted(flag));
    }
    if (field.shape != Shape::kList) return fail(file, line, "list= on a field that is no list");
  } else {
    return fail(file, line, "unknown flag " + quoted(flag));
  }
  return {};
}

Result<void> Loader::read_type(const File& file, const Line& line, std::string_view text, Field& field, int depth) {
  if (depth > 8) return fail(file, line, "types nested too deeply (an alias of itself?)");
  if (text.starts_with("*")) {
    field.pointer = true;
    return read_type(file, line, text.substr(1), field, depth + 1);
  }
  if (text.starts_with("[]") || text.starts_with("{}")) {
    field.shape = text.starts_with("[]") ? Shape::kList : Shape::kMap;
    field.element = std::make_unique<Field>();
    field.element->omit_empty = false;
    if (auto read = read_type(file, line, text.substr(2), *field.element, depth + 1); !read) return read;
    field.go_type = (field.shape == Shape::kList ? "[]" : "map[string]") + field.element->go_type;
    field.proto_wire = "bytes";
    return {};
  }
  if (const Builtin* shape = builtin_shape(text)) {
    field.shape = shape->shape;
    field.go_type = shape->go_type;
    field.proto_wire = shape->wire;
    return {};
  }
  Cut parts = cut(text, ".");
  std::string alias = parts.found ? std::string(parts.before) : file.alias;
  std::string name(parts.found ? parts.after : parts.before);
  if (auto at = named_.find(alias + "." + name); at != named_.end()) {
    // An alias's own text may name its neighbours without a prefix.
    File home = File{.name = file.name};
    home.alias = alias;
    if (auto read = read_type(home, line, at->second.text, field, depth + 1); !read) return read;
    field.go_type = at->second.go_type;
    field.enum_values = at->second.values;
    return {};
  }
  auto package = packages_.find(alias);
  if (package == packages_.end()) return fail(file, line, "no file has the alias " + quoted(alias));
  field.shape = Shape::kObject;
  field.type = schema_->find_type(package->second + "." + name);
  if (!field.type) return fail(file, line, "no such type: " + quoted(text));
  field.go_type = go_package(package->second) + "." + name;
  field.proto_wire = "bytes";
  return {};
}

// PodList for Pod: every kind with a collection has one, always the same.
Result<void> Loader::add_lists() {
  const Type* list_meta = nullptr;
  if (auto meta = packages_.find("meta"); meta != packages_.end()) {
    list_meta = schema_->find_type(meta->second + ".ListMeta");
  }
  for (const Kind* of : schema_->kinds()) {
    if (!of->has_verb("list")) continue;
    Type* type = schema_->add_type(of->type->name + "List");
    if (!type) return berth::error(Code::kInvalid, "type defined twice: " + of->type->name + "List");
    type->description = "A list of " + of->kind + " objects.";
    auto add = [&](std::string name, Shape shape, int number, std::string_view description) -> Field& {
      Field field;
      field.name = std::move(name);
      field.shape = shape;
      field.proto_number = number;
      field.proto_wire = "bytes";
      field.go_type = "string";
      field.description = description;
      type->fields.push_back(std::move(field));
      return type->fields.back();
    };
    add("kind", Shape::kString, 0, "What kind of object this is.");
    add("apiVersion", Shape::kString, 0, "Group and version of the kind.");
    if (list_meta) {
      Field& metadata = add("metadata", Shape::kObject, 1, "Of the list as a whole: its revision and where to go on.");
      metadata.type = list_meta;
      metadata.go_type = "v1.ListMeta";
    }
    Field& items = add("items", Shape::kList, 2, "The objects.");
    items.required = true;
    items.omit_empty = false;
    items.go_type = "[]" + of->version + "." + of->kind;
    items.element = std::make_unique<Field>();
    items.element->shape = Shape::kObject;
    items.element->type = of->type;
    items.element->go_type = of->version + "." + of->kind;
    auto kind = std::make_unique<Kind>();
    kind->group = of->group;
    kind->version = of->version;
    kind->kind = of->kind + "List";
    kind->namespaced = false;
    kind->type = type;
    if (!schema_->add_kind(std::move(kind))) {
      return berth::error(Code::kInvalid, "kind defined twice: " + of->kind + "List");
    }
  }
  return {};
}

void Loader::derive_absent(Field& field) {
  if (field.pointer) return;
  switch (field.shape) {
    case Shape::kObject: field.absent_value = field.type->zero; break;
    case Shape::kQuantity: field.absent_value = "0"; break;
    case Shape::kIntOrString: field.absent_value = 0; break;
    case Shape::kDuration: field.absent_value = "0s"; break;
    case Shape::kString:
      if (!field.omit_empty) field.absent_value = "";
      break;
    case Shape::kBool:
      if (!field.omit_empty) field.absent_value = false;
      break;
    case Shape::kInt32:
    case Shape::kInt64:
    case Shape::kDouble:
      if (!field.omit_empty) field.absent_value = 0;
      break;
    default: break;
  }
}

// Depth first: a type's zero is made of those of its members held by value. `state`: 1 being made, 2 made.
void Loader::derive_zero(Type& type, std::map<const Type*, int>& state) {
  int& mine = state[&type];
  if (mine != 0) return;  // made, or (a defect upstream's compiler would refuse) a type that holds itself by value
  mine = 1;
  type.zero = Value::object();
  auto visit = [&](Field& field) {
    if (field.type && !field.pointer) derive_zero(const_cast<Type&>(*field.type), state);
    derive_absent(field);
    if (!field.absent_value.is_null() || field.null_absent) type.zero.set(field.name, field.absent_value);
  };
  for (Field& field : type.fields) visit(field);
  mine = 2;
}

// To the fixed point: types may refer to each other in a circle.
void Loader::derive_gates() {
  auto reaches = [](const Field* field) {
    while (field->element) field = field->element.get();
    return field->type && field->type->gated;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (auto& type : schema_->own_types()) {
      if (type->gated) continue;
      type->gated = std::any_of(type->fields.begin(), type->fields.end(),
                                [&](const Field& field) { return !field.gate.empty() || reaches(&field); });
      changed = changed || type->gated;
    }
  }
}

void Loader::derive() {
  std::map<const Type*, int> state;
  for (auto& type : schema_->own_types()) derive_zero(*type, state);
  for (auto& type : schema_->own_types()) {
    for (Field& field : type->fields) {
      type->by_name.push_back(&field);
      for (const auto& [number, name] : type->embeds) {
        if (field.proto_outer == number) field.embedded = name;
      }
      // Elements of lists and maps: what null becomes.
      for (Field* element = field.element.get(); element; element = element->element.get()) {
        derive_absent(*element);
        if (element->shape == Shape::kBytes) element->absent_value = "";
      }
    }
    std::sort(type->by_name.begin(), type->by_name.end(),
              [](const Field* a, const Field* b) { return a->name < b->name; });
  }
  derive_gates();
  for (auto& type : schema_->own_types()) type->defaults = schema_->plans().plan_of(*type);
}

// The keys that every object has: fields, and how managedFields spells them.
void keep_names(const Schema& schema) {
  json::intern_permanently(".");
  for (const Type* type : schema.types()) {
    for (const Field& field : type->fields) {
      json::intern_permanently(field.name);
      json::intern_permanently("f:" + field.name);
    }
  }
}

}  // namespace

Result<std::unique_ptr<Schema>> parse_schema(const std::vector<std::pair<std::string_view, std::string_view>>& files) {
  return Loader().load(files);
}

const Schema& builtin() {
  static const std::unique_ptr<Schema> kSchema = [] {
    auto parsed = parse_schema(embedded_schema_files());
    BERTH_CHECK(parsed.ok(), parsed.ok() ? "" : parsed.error().message.c_str());
    keep_names(**parsed);
    return std::move(*parsed);
  }();
  return *kSchema;
}

}  // namespace berth::api::schema
