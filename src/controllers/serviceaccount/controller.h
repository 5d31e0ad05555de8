#pragma once
// The objects of every namespace: the ServiceAccount "default" and the ConfigMap "kube-root-ca.crt" (keys: namespaces);
// and the tokens in Secrets of type kubernetes.io/service-account-token (keys: those Secrets).

#include <functional>
#include <memory>
#include <string>

#include "controllers/driver.h"

namespace berth::controllers::serviceaccount {

std::unique_ptr<Controller> make_account_controller(InformerSet& informers);
// `ca`: the PEM certificates with which pods verify the API server.
std::unique_ptr<Controller> make_root_ca_controller(InformerSet& informers, std::string ca);

// Returns the token for a Secret of that account.
using SignToken = std::function<Result<std::string>(const Value& account, const Value& secret)>;
// Fills token, ca.crt and namespace into such Secrets, and deletes those whose account does not exist or has another
// uid.
std::unique_ptr<Controller> make_token_controller(InformerSet& informers, std::string ca, SignToken sign);

// Pure: the write that completes a Secret of that type. `account`: the one it names, or null.
Plan plan_token(const Value& secret, const Value& account, const std::string& ca, const SignToken& sign);

// Pure: the write that creates or restores the object. `found`: the account or ConfigMap, or null.
Plan plan_account(const Value& ns, const Value& found);
Plan plan_root_ca(const Value& ns, const Value& found, const std::string& ca);

}  // namespace berth::controllers::serviceaccount
