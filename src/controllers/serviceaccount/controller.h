#pragma once
// What every namespace has: the ServiceAccount "default" and the ConfigMap "kube-root-ca.crt" (keys: namespaces); and
// the tokens in Secrets of type kubernetes.io/service-account-token (keys: those Secrets).

#include <functional>
#include <memory>
#include <string>

#include "controllers/driver.h"

namespace berth::controllers::serviceaccount {

std::unique_ptr<Controller> make_account_controller(InformerSet& informers);
// `ca`: the certificates, as PEM text, by which pods know the API server.
std::unique_ptr<Controller> make_root_ca_controller(InformerSet& informers, std::string ca);

// The token's text for a Secret of that account.
using Sign = std::function<Result<std::string>(const Value& account, const Value& secret)>;
// Fills token, ca.crt and namespace into such Secrets, and deletes those whose account is gone or another one by now.
std::unique_ptr<Controller> make_token_controller(InformerSet& informers, std::string ca, Sign sign);

// Pure: what a Secret of that type lacks. `account`: the one it names, or null.
Plan plan_token(const Value& secret, const Value& account, const std::string& ca, const Sign& sign);

// Pure: what one namespace lacks. `found`: the account or ConfigMap, or null.
Plan plan_account(const Value& ns, const Value& found);
Plan plan_root_ca(const Value& ns, const Value& found, const std::string& ca);

}  // namespace berth::controllers::serviceaccount
