#pragma once
// YAML 1.1 as Kubernetes reads it (the same values `kubectl` and `sigs.k8s.io/yaml` produce): yes/no/on/off are
// booleans when plain, mappings have string keys, merge keys (<<) and anchors work.

#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"

namespace berth::yaml {

// Bounds against documents that unfold to more than they are ("billion laughs").
inline constexpr std::size_t kMaxNodes = 1'000'000;
inline constexpr std::size_t kMaxRepeatedBytes = 16u << 20;  // of text that aliases stand for

// The first document; the text after it is not read. An empty one is null. Errors carry the line as go-yaml counts
// it, which is often the one before, and none where it is the first: "line 3: ...". `duplicates`, where not null,
// collects the paths of keys given twice, as json::ParseOptions does; `repeated` the words of go-yaml about them: "line
// 6: key \"a\" already set in map".
Result<Value> parse(std::string_view text, std::vector<std::string>* duplicates = nullptr,
                    std::vector<std::string>* repeated = nullptr);
// Every document of a stream separated by `---`; empty documents are left out.
Result<std::vector<Value>> parse_all(std::string_view text);
// Block style, keys sorted, as `kubectl get -o yaml` prints.
std::string encode(const Value& value);

}  // namespace berth::yaml
