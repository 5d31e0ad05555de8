#pragma once
// `berth why TYPE/NAME`: what an object waits for, down to the node.

#include <string>
#include <vector>

namespace berth::cli {

struct WhyOptions {
  std::string data_dir;
  bool data_dir_named = false;      // by the option or its environment variable: it counts for more than KUBECONFIG
  std::vector<std::string> object;  // "sts/web", or "sts" and "web"
  std::string ns;                   // empty: the context's
  std::string output;               // "", "json"
};

// Prints the report. 0: nothing is waited for; 3: something is; 1: there is no such object, or it could not be asked
// for.
int why(const WhyOptions& options);

}  // namespace berth::cli
