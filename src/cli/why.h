#pragma once
// `berth why TYPE/NAME`: explains what an object waits for, down to the node.

#include <string>
#include <vector>

namespace berth::cli {

struct WhyOptions {
  std::string data_dir;
  bool data_dir_named = false;      // by option or environment variable: takes precedence over KUBECONFIG
  std::vector<std::string> object;  // "sts/web", or "sts" and "web"
  std::string ns;                   // empty: the context's
  std::string output;               // "", "json"
};

// Prints the report. Returns 0 if the object waits for nothing, 3 if it waits, 1 if it does not exist or could not be
// read.
int why(const WhyOptions& options);

}  // namespace berth::cli
