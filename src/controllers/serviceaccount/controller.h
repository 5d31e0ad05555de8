#pragma once
// What every namespace has: the ServiceAccount "default" and the ConfigMap "kube-root-ca.crt". Keys: namespaces.

#include <memory>
#include <string>

#include "controllers/driver.h"

namespace berth::controllers::serviceaccount {

std::unique_ptr<Controller> make_account_controller(InformerSet& informers);
// `ca`: the certificates, as PEM text, by which pods know the API server.
std::unique_ptr<Controller> make_root_ca_controller(InformerSet& informers, std::string ca);

// Pure: what one namespace lacks. `found`: the account or ConfigMap, or null.
Plan plan_account(const Value& ns, const Value& found);
Plan plan_root_ca(const Value& ns, const Value& found, const std::string& ca);

}  // namespace berth::controllers::serviceaccount
