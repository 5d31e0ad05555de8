// Warnings about objects other than pods and workloads.
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "api/quantity.h"
#include "apiserver/validation/addresses.h"
#include "apiserver/validation/kind_warnings.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

// A label of nodes that has a newer name; empty for others.
std::string newer_node_label(std::string_view key) {
  static constexpr struct {
    std::string_view old_key, since, new_key;
  } kRenamed[] = {{"beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"},
                  {"beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"},
                  {"failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"},
                  {"failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"},
                  {"beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"}};
  for (const auto& renamed : kRenamed) {
    if (renamed.old_key == key)
      return "deprecated since " + std::string(renamed.since) + "; use " + quoted(renamed.new_key) + " instead";
  }
  return {};
}

void warn_of_selector_terms(const Value& terms, const std::string& path, Warnings& out) {
  for (std::size_t i = 0; i < terms.size(); ++i) {
    for (std::size_t k = 0; k < terms[i]["matchExpressions"].size(); ++k) {
      const std::string_view key = terms[i]["matchExpressions"][k]["key"].as_string();
      const std::string newer = newer_node_label(key);
      if (newer.empty()) continue;
      out.push_back(path + "[" + std::to_string(i) + "].matchExpressions[" + std::to_string(k) +
                    "].key: " + std::string(key) + " is " + newer);
    }
  }
}

void warn_of_fraction(const Value& amount, const std::string& path, Warnings& out) {
  const Result<api::Quantity> quantity = api::Quantity::parse(amount.as_string());
  if (amount.is_string() && quantity.ok() && quantity->milli_value() % 1000 != 0) {
    out.push_back(path + ": fractional byte value " + quoted(amount.as_string()) + " is invalid, must be an integer");
  }
}

}  // namespace

void warn_of_service(const Value& service, Warnings& out) {
  const Value& spec = service["spec"];
  const bool external_name = spec["type"].as_string() == "ExternalName", addresses = !spec["externalIPs"].empty();
  if (service["metadata"]["annotations"].contains("service.kubernetes.io/topology-aware-hints")) {
    out.emplace_back(
        "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead");
  }
  if (spec["clusterIPs"][0].as_string() == "None") {
    if (!spec["loadBalancerIP"].as_string().empty())
      out.emplace_back("spec.loadBalancerIP is ignored for headless services");
    if (addresses) out.emplace_back("spec.externalIPs is ignored for headless services");
    if (spec["sessionAffinity"].as_string() != "None")
      out.emplace_back("spec.SessionAffinity is ignored for headless services");
  } else if (addresses && !external_name) {
    out.emplace_back("spec.externalIPs is deprecated and may no longer be implemented in some clusters");
  }
  if (external_name && addresses) out.emplace_back("spec.externalIPs is ignored when spec.type is \"ExternalName\"");
  if (!external_name && !spec["externalName"].as_string().empty())
    out.emplace_back("spec.externalName is ignored when spec.type is not \"ExternalName\"");
  if (spec["trafficDistribution"].as_string() == "PreferClose") {
    out.emplace_back("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
  }
}

void warn_of_volume(const Value& volume, Warnings& out) {
  const Value& spec = volume["spec"];
  static constexpr std::pair<const char*, const char*> kAnnotations[] = {
      {"volume.beta.kubernetes.io/storage-class", "deprecated since v1.8; use \"storageClassName\" attribute instead"},
      {"volume.beta.kubernetes.io/mount-options", "deprecated since v1.31; use \"mountOptions\" attribute instead"}};
  for (auto [key, text] : kAnnotations) {
    if (volume["metadata"]["annotations"].contains(key))
      out.push_back("metadata.annotations[" + std::string(key) + "]: " + text);
  }
  warn_of_selector_terms(spec["nodeAffinity"]["required"]["nodeSelectorTerms"],
                         "spec.nodeAffinity.required.nodeSelectorTerms", out);
  if (spec["persistentVolumeReclaimPolicy"].as_string() == "Recycle") {
    out.emplace_back(
        "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.");
  }
  warn_of_fraction(spec["capacity"]["storage"], "spec.capacity[storage]", out);
  static constexpr std::pair<const char*, const char*> kGone[] = {
      {"cephfs", "spec.cephfs: deprecated in v1.28, non-functional in v1.31+"},
      {"glusterfs", "spec.glusterfs: deprecated in v1.25, non-functional in v1.26+"},
      {"photonPersistentDisk", "spec.photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+"},
      {"rbd", "spec.rbd: deprecated in v1.28, non-functional in v1.31+"},
      {"scaleIO", "spec.scaleIO: deprecated in v1.16, non-functional in v1.22+"},
      {"storageos", "spec.storageOS: deprecated in v1.22, non-functional in v1.25+"}};
  for (auto [field, text] : kGone) {
    if (spec[field].is_object()) out.emplace_back(text);
  }
}

void warn_of_claim(const Value& claim, Warnings& out) {
  if (claim["metadata"]["annotations"].contains("volume.beta.kubernetes.io/storage-class")) {
    out.emplace_back(
        "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" attribute instead");
  }
  warn_of_fraction(claim["spec"]["resources"]["requests"]["storage"], "spec.resources.requests[storage]", out);
}

void warn_of_class(const Value& storage_class, Warnings& out) {
  const Value& topologies = storage_class["allowedTopologies"];
  for (std::size_t i = 0; i < topologies.size(); ++i) {
    for (std::size_t k = 0; k < topologies[i]["matchLabelExpressions"].size(); ++k) {
      const std::string newer = newer_node_label(topologies[i]["matchLabelExpressions"][k]["key"].as_string());
      if (newer.empty()) continue;
      out.push_back("allowedTopologies[" + std::to_string(i) + "].matchLabelExpressions[" + std::to_string(k) +
                    "].key: " + newer);
    }
  }
}

void warn_of_runtime_class(const Value& runtime_class, Warnings& out) {
  for (auto [key, value] : runtime_class["scheduling"]["nodeSelector"].entries()) {
    const std::string newer = newer_node_label(key);
    if (!newer.empty()) out.push_back("scheduling.nodeSelector: " + newer);
  }
}

namespace {

// The complaint of Go's tls.X509KeyPair, for what can be told apart here.
std::string key_pair_problem(const std::string& certificate, const std::string& key) {
  if (certificate.find("-----BEGIN ") == std::string::npos)
    return "tls: failed to find any PEM data in certificate input";
  if (certificate.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: []";
  }
  if (key.find("-----BEGIN ") == std::string::npos) return "tls: failed to find any PEM data in key input";
  auto memory = [](const std::string& text) {
    return std::unique_ptr<BIO, decltype(&BIO_free)>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())),
                                                     BIO_free);
  };
  auto in = memory(certificate), key_in = memory(key);
  std::unique_ptr<X509, decltype(&X509_free)> parsed(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr), X509_free);
  if (!parsed) return "x509: malformed certificate";
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> secret(
      PEM_read_bio_PrivateKey(key_in.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  if (!secret) return "tls: failed to parse private key";
  return X509_check_private_key(parsed.get(), secret.get()) == 1 ? std::string()
                                                                 : "tls: private key does not match public key";
}

}  // namespace

void warn_of_secret(const Value& secret, Warnings& out) {
  if (secret["type"].as_string() != "kubernetes.io/tls") return;
  auto content = [&](const char* name) { return base64_decode(secret["data"][name].as_string()).value(); };
  if (const std::string problem = key_pair_problem(content("tls.crt"), content("tls.key")); !problem.empty())
    out.push_back(problem);
}

void warn_of_node(const Value& node, Warnings& out) {
  if (node["spec"]["configSource"].is_object()) out.emplace_back("spec.configSource: the feature has been removed");
  if (!node["spec"]["externalID"].as_string().empty())
    out.emplace_back("spec.externalID: this field is deprecated, and is unused by Kubernetes");
}

void warn_of_account(const Value& account, Warnings& out) {
  if (account["metadata"]["annotations"].contains("kubernetes.io/enforce-mountable-secrets")) {
    out.emplace_back(
        "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets");
  }
}

void warn_of_slice(const Value& slice, Warnings& out) {
  if (slice["addressType"].as_string() == "FQDN") out.emplace_back("spec.addressType: FQDN endpoints are deprecated");
}

}  // namespace berth::apiserver::validation
