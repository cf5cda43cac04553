#include "base/result.h"

namespace strix {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::NotFound:
      return "NotFound";
    case ErrorKind::AlreadyExists:
      return "AlreadyExists";
    case ErrorKind::Conflict:
      return "Conflict";
    case ErrorKind::Gone:
      return "Gone";
    case ErrorKind::Forbidden:
      return "Forbidden";
    case ErrorKind::Unauthorized:
      return "Unauthorized";
    case ErrorKind::Throttled:
      return "Throttled";
    case ErrorKind::Timeout:
      return "Timeout";
    case ErrorKind::Unreachable:
      return "Unreachable";
    case ErrorKind::Invalid:
      return "Invalid";
    case ErrorKind::Unavailable:
      return "Unavailable";
    case ErrorKind::Canceled:
      return "Canceled";
    case ErrorKind::Internal:
      return "Internal";
  }
  return "Internal";
}

}  // namespace strix
