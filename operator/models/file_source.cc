#include "models/file_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace strix::models {

namespace {

Error of_errno(const std::string& path, int number) {
  ErrorKind kind = ErrorKind::Internal;
  if (number == ENOENT || number == ENOTDIR) kind = ErrorKind::NotFound;
  if (number == EACCES || number == EPERM) kind = ErrorKind::Forbidden;
  if (number == ENAMETOOLONG || number == ELOOP || number == EISDIR) kind = ErrorKind::Invalid;
  return Error{kind, fmt::format("{}: {}", path, std::strerror(number))};
}

class FileSource final : public ByteSource {
 public:
  FileSource(int descriptor, int64_t size, std::string path)
      : descriptor_(descriptor), size_(size), path_(std::move(path)) {}
  ~FileSource() override { ::close(descriptor_); }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  int64_t size() const override { return size_; }

  Status read(int64_t offset, std::span<char> into) const override {
    while (!into.empty()) {
      ssize_t got = ::pread(descriptor_, into.data(), into.size(), offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return of_errno(path_, errno);
      if (got == 0) return Error{ErrorKind::Invalid, fmt::format("{}: ends at byte {}", path_, offset)};
      offset += got;
      into = into.subspan(static_cast<size_t>(got));
    }
    return success();
  }

 private:
  int descriptor_;
  int64_t size_;
  std::string path_;
};

bool stays_below(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.find('\0') != std::string_view::npos) return false;
  while (!name.empty()) {
    size_t slash = name.find('/');
    if (name.substr(0, slash) == "..") return false;
    name = slash == std::string_view::npos ? std::string_view() : name.substr(slash + 1);
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<ByteSource>> open_file(const std::string& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return of_errno(path, errno);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    return Error{ErrorKind::Invalid, path + ": not a file"};
  }
  return std::unique_ptr<ByteSource>(std::make_unique<FileSource>(descriptor, status.st_size, path));
}

OpenFile files_of(std::string folder) {
  return [folder = std::move(folder)](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
    if (!stays_below(name)) return Error{ErrorKind::Invalid, "a name that leaves its folder"};
    return open_file(folder + "/" + name);
  };
}

}  // namespace strix::models
