#pragma once
// Query parameters and bodies that say how to do a request: CreateOptions, UpdateOptions, PatchOptions, DeleteOptions
// and ListOptions of meta/v1, read and validated as Kubernetes 1.36 does. Internal to rest/.

#include <optional>
#include <string_view>

#include "apiserver/rest/context.h"

namespace berth::apiserver::rest {

// dryRun, fieldManager, fieldValidation and force, into context.call. `verb`: create, update, patch, delete, ...
Status read_write_options(Context& context, std::string_view verb);

// The options of a list (or of deletecollection) and of a watch.
Result<registry::ListCall> read_list_options(const Context& context);
struct WatchOptions {
  registry::WatchCall call;
  std::optional<long> timeout_seconds;
};
Result<WatchOptions> read_watch_options(const Context& context);

// DeleteOptions of the body and of the query; sets context.call.dry_run.
Result<api::DeleteOptions> read_delete_options(Context& context);

}  // namespace berth::apiserver::rest
