// ServiceAccounts and Secrets.
#include "apiserver/registry/kind_strategy.h"
#include "apiserver/registry/kinds/token.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

// Moves stringData, which is write-only, to data.
void fill_secret(Value& object) {
  const Value plain = object["stringData"];
  for (auto [key, text] : plain.entries()) object.mut("data").set(key, base64_encode(text.as_string()));
  object.erase("stringData");
}

// Reduces the secrets of an account to their names.
void retain_secret_names(Value& account) {
  if (account["secrets"].empty()) return;
  Value names = Value::array();
  for (const Value& secret : account["secrets"]) {
    names.push(secret["name"].as_string().empty() ? Value::object() : Value::object({{"name", secret["name"]}}));
  }
  account.set("secrets", std::move(names));
}

constexpr std::string_view kSecretFields[] = {"type"};
constexpr SubresourceStrategy kAccountSubresources[] = {{.name = "token", .create = request_token}};

}  // namespace

std::span<const KindStrategy> account_rows() {
  static const KindStrategy kRows[] = {
      {.group = "",
       .kind = "Secret",
       .selectable_fields = kSecretFields,
       .prepare_create = [](const CreateContext&, Value& object) { fill_secret(object); },
       .prepare_update = [](Registry::State&, const Value&, Value& after) { fill_secret(after); }},
      {.group = "",
       .kind = "ServiceAccount",
       .prepare_create = [](const CreateContext&, Value& object) { retain_secret_names(object); },
       .prepare_update = [](Registry::State&, const Value&, Value& after) { retain_secret_names(after); },
       .delete_answer = DeleteAnswer::kLastVersion,
       .subresources = kAccountSubresources}};
  return kRows;
}

}  // namespace berth::apiserver::registry
