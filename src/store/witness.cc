#include "store/witness.h"

#include "base/fault.h"
#include "base/files.h"
#include "base/json/json.h"
#include "base/log.h"

namespace berth::store {

std::optional<Witness> read_witness(const std::string& path) {
  if (path.empty()) return std::nullopt;
  Result<std::string> text = read_file(path);
  if (text.failed_with(Code::kNotFound)) return std::nullopt;
  if (text.ok()) {
    Result<Value> value = json::parse(*text);
    if (value.ok() && (*value)["identity"].is_int() && (*value)["generation"].is_int() &&
        (*value)["revision"].is_int()) {
      return Witness{(*value)["identity"].as_int(), (*value)["generation"].as_int(), (*value)["revision"].as_int()};
    }
  }
  log_warning("store", "cannot be read, so an older store would not be noticed", {{"file", path}});
  return std::nullopt;
}

void write_witness(const std::string& path, const Witness& witness) {
  if (path.empty()) return;
  const Value value = Value::object(
      {{"identity", witness.identity}, {"generation", witness.generation}, {"revision", witness.revision}});
  fault::step("store.witness");
  if (Status written = write_file_durably(path, json::encode(value) + "\n"); !written.ok()) {
    log_warning("store", "cannot note how far the store is", {{"reason", written.error().message}});
  }
}

}  // namespace berth::store
