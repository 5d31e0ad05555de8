// docs/pod-fields.md says of every field of a pod what becomes of it.

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "api/schema/schema.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

// By the type in the heading: the names in the first column of its table.
std::map<std::string, std::set<std::string>> documented() {
  std::map<std::string, std::set<std::string>> out;
  auto text = read_file(BERTH_SOURCE_DIR "/docs/pod-fields.md");
  EXPECT_TRUE(text.ok()) << text.error().message;
  if (!text.ok()) return out;
  std::string type;
  for (std::string_view line : split(*text, '\n')) {
    if (line.starts_with("## ")) type = line.substr(3);
    if (!line.starts_with("| `")) continue;
    auto columns = split(line, '|');
    if (columns.size() < 4 || trim(columns[2]).empty()) continue;
    std::string_view name = trim(columns[1]);
    out[type].insert(std::string(name.substr(1, name.size() - 2)));
  }
  return out;
}

TEST(PodFields, EachIsSaidToBeObeyedOrRefused) {
  auto told = documented();
  for (const char* type : {"PodSpec", "PodSecurityContext", "Container", "SecurityContext"}) {
    const api::schema::Type* known = api::schema::builtin().find_type(std::string("io.k8s.api.core.v1.") + type);
    ASSERT_NE(known, nullptr) << type;
    std::set<std::string> fields;
    for (const api::schema::Field& field : known->fields) fields.insert(std::string(field.name));
    EXPECT_GT(fields.size(), 10u);
    for (const auto& field : fields)
      EXPECT_TRUE(told[type].contains(field)) << type << "." << field << " is not in docs/pod-fields.md";
    for (const auto& field : told[type]) EXPECT_TRUE(fields.contains(field)) << type << "." << field << " is no field";
  }
}

}  // namespace
}  // namespace berth::agent
