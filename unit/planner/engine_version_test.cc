#include "planner/engine_version.h"

#include "catch.h"
#include "planner/image_pattern.h"

using namespace strix::planner;

namespace {

bool in(const char* range, const char* version) {
  auto bounds = VersionRange::parse(range);
  REQUIRE(bounds);
  return bounds->contains(version ? EngineVersion::parse(version) : std::nullopt);
}

std::string version_in(const char* pattern, const char* image) {
  auto parsed = ImagePattern::parse(pattern);
  REQUIRE(parsed);
  return parsed->match(ImageName(image)).value_or("(none)");
}

}  // namespace

TEST_CASE("versions are in order, however they are spelt, and a pre-release is before its release") {
  const char* rising[] = {"0.10.2", "0.11.0rc2", "0.11",   "0.16.0rc1.dev155+g61e632aea.d20260203",
                          "0.16.0", "v0.16.1",   "0.17.1", "0.27.2rc1.dev16",
                          "0.27.2", "b9000",     "b10114", "11669"};
  for (size_t i = 0; i < std::size(rising); ++i) {
    for (size_t j = 0; j < std::size(rising); ++j) {
      CAPTURE(rising[i], rising[j]);
      auto left = EngineVersion::parse(rising[i]), right = EngineVersion::parse(rising[j]);
      REQUIRE(left);
      REQUIRE(right);
      CHECK((*left < *right) == (i < j));
    }
  }
  CHECK(*EngineVersion::parse("0.18") == *EngineVersion::parse("v0.18.0.post1"));
  CHECK(EngineVersion::parse("v0.18.0")->text() == "0.18.0");
}

TEST_CASE("what is no version is none") {
  for (const char* text :
       {"", "v", "latest", "0.", "0.1x", "1..2", "99999999999999999999", "-1", "0.1 ", "1.2.3.4.5.6.7"})
    CHECK_FALSE(EngineVersion::parse(text));
}

TEST_CASE("all bounds of a range hold, and a version that nobody knows is newer than all") {
  CHECK(in("<0.18", "0.18.0rc1"));
  CHECK_FALSE(in("<0.18", "0.18.0"));
  CHECK(in("<=0.18", "0.18.0"));
  CHECK_FALSE(in(">0.18", "0.18.0"));
  CHECK(in(">=0.11 <0.18", "0.17.1"));
  CHECK_FALSE(in(">=0.11 <0.18", "0.10.2"));
  CHECK(in("=0.16.0", "0.16"));
  CHECK(in(">=0.18", nullptr));
  CHECK_FALSE(in(">=0.11 <0.18", nullptr));
  CHECK_FALSE(in("=0.18", nullptr));
  CHECK(VersionRange().contains(std::nullopt));
  for (const char* text : {"", "0.18", "<", "< 0.18", "~0.18", "<0.18,>0.1", "<1 <2 <3 <4 <5"})
    CHECK_FALSE(VersionRange::parse(text));
}

TEST_CASE("a star stands for anything, and only a star does") {
  CHECK(matches("*Moe*", "Qwen3MoeForCausalLM"));
  CHECK(matches("*", ""));
  CHECK(matches("a*b*c", "aXbXbc"));
  CHECK_FALSE(matches("a*b", "aXbX"));
  CHECK_FALSE(matches("a.c", "abc"));
  CHECK_FALSE(matches("", "a"));
  std::string many_stars(200, '*'), many_letters(5000, 'a');
  CHECK_FALSE(matches(many_stars + "b", many_letters));
}

TEST_CASE("an image is known by its full name, with its tag or with its digest") {
  CHECK(ImageName("vllm").tagged == "docker.io/library/vllm:latest");
  CHECK(ImageName("kyuz0/vllm:dev").tagged == "docker.io/kyuz0/vllm:dev");
  CHECK(ImageName("localhost/a/b").tagged == "localhost/a/b:latest");
  CHECK(ImageName("box:5000/a").tagged == "box:5000/a:latest");
  ImageName both("box:5000/a:1@sha256:77");
  CHECK(both.tagged == "box:5000/a:1");
  CHECK(both.digested == "box:5000/a@sha256:77");
  ImageName digest("ghcr.io/a@sha256:77");
  CHECK(digest.tagged == "ghcr.io/a");
  CHECK(digest.digested == "ghcr.io/a@sha256:77");
  CHECK(version_in("*@sha256:77", "box:5000/a:1@sha256:77").empty());
  CHECK(version_in("*@sha256:77", "box:5000/a:1") == "(none)");
}

TEST_CASE("the version in an image's name is found where the pattern has it") {
  struct Case {
    const char *pattern, *image, *version;
  };
  const Case table[] = {
      {"docker.io/kyuz0/vllm-therock-gfx1151:*-vllm{version}",
       "kyuz0/vllm-therock-gfx1151:rocm7.14.0-torch2.11.0-vllm0.27.1", "0.27.1"},
      {"docker.io/kyuz0/vllm-therock-gfx1151:*-vllm{version}", "kyuz0/vllm-therock-gfx1151:latest", "(none)"},
      {"docker.io/rocm/vllm*:*vllm_{version}*", "rocm/vllm:rocm7.0.0_vllm_0.11.2_20251210", "0.11.2"},
      {"ghcr.io/ggml-org/llama.cpp:*-b{version}", "ghcr.io/ggml-org/llama.cpp:server-vulkan-b10114", "10114"},
      {"ghcr.io/ggml-org/llama.cpp:server-v{version}", "ghcr.io/ggml-org/llama.cpp:server-vulkan", "(none)"},
      {"a/b:{version}", "a/b:1.2@sha256:77", "(none)"},  // the full name begins with docker.io
      {"*/a/b:{version}", "a/b:1.2@sha256:77", "1.2"},
  };
  for (const Case& c : table) {
    CAPTURE(c.pattern, c.image);
    CHECK(version_in(c.pattern, c.image) == c.version);
  }
  for (const char* text : {"", "a{b", "{version}{version}", "a}"}) CHECK_FALSE(ImagePattern::parse(text));
}
