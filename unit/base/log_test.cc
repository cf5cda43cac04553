#include "base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>

#include "catch.h"

using namespace strix;

namespace {

// Whatever is logged goes into a pipe for as long as this lives.
class Piped {
 public:
  Piped() {
    REQUIRE(pipe(ends_.data()) == 0);
    before_ = dup(STDERR_FILENO);
    dup2(ends_[1], STDERR_FILENO);
  }
  ~Piped() {
    dup2(before_, STDERR_FILENO);
    for (int fd : {before_, ends_[0], ends_[1]}) close(fd);
  }
  Piped(const Piped&) = delete;
  Piped& operator=(const Piped&) = delete;

  void fill() {
    int flags = fcntl(ends_[1], F_GETFL);
    fcntl(ends_[1], F_SETFL, flags | O_NONBLOCK);
    std::array<char, 512> block{};
    while (write(ends_[1], block.data(), block.size()) > 0) continue;
    fcntl(ends_[1], F_SETFL, flags);
  }
  std::string take() {
    std::array<char, 1 << 17> text{};
    ssize_t got = read(ends_[0], text.data(), text.size());
    return got > 0 ? std::string(text.data(), static_cast<size_t>(got)) : "";
  }

 private:
  std::array<int, 2> ends_{};
  int before_ = -1;
};

}  // namespace

TEST_CASE("a line is one JSON object, whatever its fields hold") {
  Piped piped;
  log::error("a \"b\"", {{"why", "line\nbreak"}, {"count", 3}});
  std::string line = piped.take();
  CHECK(line.find(R"("level":"error","msg":"a \"b\"","why":"line\nbreak","count":3})") != std::string::npos);
  CHECK(line.find('\n') == line.size() - 1);
}

TEST_CASE("a reader that has stopped reading stops nobody, and misses what it had no room for") {
  Piped piped;
  piped.fill();
  log::error("lost", {});
  CHECK(piped.take().find("lost") == std::string::npos);
  log::error("read", {});
  CHECK(piped.take().find("read") != std::string::npos);
}
