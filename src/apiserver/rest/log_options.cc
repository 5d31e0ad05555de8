#include "apiserver/rest/log_options.h"

#include "api/status.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::rest {
namespace {

// An integer that is at least `least`, if it is given.
Status check_integer(const Context& context, const char* name, long least, std::vector<Cause>& causes) {
  std::string_view text = context.parameter(name);
  if (text.empty()) return ok_status();
  Result<long> number = parse_int(text);
  if (!number.ok()) return error(Code::kBadRequest, "strconv.ParseInt: parsing " + quoted(text) + ": invalid syntax");
  if (*number < least) {
    causes.push_back(api::invalid_value(name, *number,
                                        least == 0 ? "must be greater than or equal to 0" : "must be greater than 0"));
  }
  return ok_status();
}

}  // namespace

Status check_log_options(const Context& context) {
  std::vector<Cause> causes;
  BERTH_TRY(check_integer(context, "tailLines", 0, causes));
  BERTH_TRY(check_integer(context, "limitBytes", 1, causes));
  BERTH_TRY(check_integer(context, "sinceSeconds", 1, causes));
  std::string_view since = context.parameter("sinceTime");
  if (!since.empty() && !parse_time(since).ok()) {
    return error(Code::kBadRequest, "parsing time " + quoted(since) +
                                        " as \"2006-01-02T15:04:05Z07:00\": cannot parse " + quoted(since) +
                                        " as \"2006\"");
  }
  if (!since.empty() && !context.parameter("sinceSeconds").empty()) {
    causes.push_back(api::forbidden_field("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  }
  if (!context.parameter("stream").empty()) causes.push_back(api::forbidden_field("stream", "may not be specified"));
  return causes.empty() ? ok_status() : Status(api::invalid("", "PodLogOptions", context.call.name, std::move(causes)));
}

}  // namespace berth::apiserver::rest
