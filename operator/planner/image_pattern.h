// Why: an image's name often says which engine version it holds and for which device it was built.
// May not: ask a registry.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace strix::planner {

// Whether `pattern`, in which each * stands for any characters, is the whole of `text`.
bool matches(std::string_view pattern, std::string_view text);

// "vllm/vllm-openai" is docker.io/vllm/vllm-openai:latest.
struct ImageName {
  ImageName() = default;
  explicit ImageName(std::string_view image);

  std::string tagged;    // without its digest
  std::string digested;  // without its tag; empty: it has no digest
};

// A pattern of a full image name. Besides *, {version} may stand once for a version. One with an @ is
// compared with name@digest, any other with name:tag.
class ImagePattern {
 public:
  static std::optional<ImagePattern> parse(std::string_view text);

  // Absent: another image. Otherwise what {version} stands for, or nothing.
  std::optional<std::string> match(const ImageName& image) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_, before_, after_;  // before_ and after_ {version}
  bool has_version_ = false, of_digest_ = false;
};

}  // namespace strix::planner
