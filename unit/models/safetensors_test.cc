#include "models/safetensors.h"

#include <random>

#include "catch.h"
#include "models/memory_source.h"
#include "models/safetensors_builder.h"

using namespace strix;
using namespace strix::models;
using strix::test::files_in;
using strix::test::MemorySource;
using strix::test::SafetensorsBuilder;
using strix::test::small_safetensors;

namespace {

std::string refusal(const std::string& bytes) {
  auto read = read_safetensors(MemorySource(bytes), 0);
  REQUIRE_FALSE(read.ok());
  REQUIRE(read.error().kind == ErrorKind::Invalid);
  return read.error().text;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a safetensors header is added up") {
  auto weights = read_safetensors(MemorySource(small_safetensors().file()), 1);
  REQUIRE(weights.ok());
  REQUIRE(weights->tensors == 4);
  REQUIRE(weights->bytes == 512 + 128 + 2 + 512);
  REQUIRE(weights->elements == 256 + 128 + 3 + 256);
  REQUIRE(weights->bytes_by_dtype ==
          std::map<std::string, int64_t>{{"BF16", 1024}, {"F4", 2}, {"F8_E4M3", 128}});
  REQUIRE(weights->output_bytes == 512);
  REQUIRE(weights->draft_bytes == 2);
  REQUIRE(read_safetensors(MemorySource(small_safetensors().file()), 0)->draft_bytes == 0);
}

TEST_CASE("tensors of multi-token prediction are known by name or by layer") {
  SafetensorsBuilder builder;
  builder.tensor("mtp.layers.0.w", "U8", "[1]", 1).tensor("model.layers.9.w", "U8", "[2]", 2);
  builder.tensor("vision_tower.layers.99.w", "U8", "[4]", 4).tensor("model.layers.10.w", "U8", "[8]", 8);
  builder.tensor("language_model.model.layers.11.w", "U8", "[16]", 16);
  REQUIRE(read_safetensors(MemorySource(builder.file()), 10)->draft_bytes == 1 + 8 + 16);
}

TEST_CASE("only the header of a large safetensors file is read") {
  SafetensorsBuilder builder = small_safetensors();
  std::string file = builder.file();
  int64_t read_bytes = 0;
  REQUIRE(read_safetensors(MemorySource(file, -1, &read_bytes), 0).ok());
  REQUIRE(read_bytes == static_cast<int64_t>(file.size()) - 1154);
}

TEST_CASE("a safetensors file that was cut at any byte is refused") {
  std::string bytes = small_safetensors().file();
  for (size_t length = 0; length < bytes.size(); ++length) {
    INFO(length);
    refusal(bytes.substr(0, length));
  }
  REQUIRE(
      has(refusal(bytes.substr(0, bytes.size() - 1)), "lm_head.weight: cut short: ends at data byte 1154"));
}

TEST_CASE("hostile safetensors are refused with the tensor") {
  auto of = [](const std::string& json) {
    SafetensorsBuilder builder;
    return refusal(builder.entry("w", json).file() + std::string(64, '\0'));
  };
  REQUIRE(has(of(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})"), "w: no shape"));
  REQUIRE(has(of(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), "w: no shape"));
  REQUIRE(has(of(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,4]})"), "w: no shape"));
  REQUIRE(has(of(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), "4 bytes for 2 elements of F32"));
  REQUIRE(has(of(R"({"dtype":"X9","shape":[1],"data_offsets":[0,4]})"), "dtype \"X9\" is not known"));
  REQUIRE(has(of(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), "no data_offsets"));
  REQUIRE(has(of(R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})"), "no data_offsets"));
  REQUIRE(has(of(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,8]})"), "no data_offsets"));
  REQUIRE(has(of(R"({"dtype":"F32","shape":[1],"data_offsets":[8,12]})"), "a gap or an overlap"));
  REQUIRE(has(of("7"), "no dtype"));
  std::string huge(8, '\xff');
  REQUIRE(has(refusal(huge + "{}"), "a header of 18446744073709551615 bytes"));
  REQUIRE(has(refusal(std::string("\2\0\0\0\0\0\0\0[]", 10)), "not a JSON object"));
  REQUIRE(has(refusal(std::string("\2\0\0\0\0\0\0\0{x", 10)), "header: "));
}

TEST_CASE("random changes of a safetensors file never do more than be refused") {
  std::mt19937_64 random(20261124);
  const std::string seed = small_safetensors().file();
  int accepted = 0;
  for (int round = 0; round < 100000; ++round) {
    std::string bytes = seed;
    for (uint64_t changes = 1 + random() % 3; changes > 0; --changes)
      bytes[random() % (bytes.size() - 1154)] = static_cast<char>(random());
    auto read = read_safetensors(MemorySource(std::move(bytes)), 1);
    if (read.ok()) ++accepted;
    if (read.ok()) REQUIRE(read->bytes <= 1154);
  }
  REQUIRE(accepted > 100);
}

TEST_CASE("an index leads to its shards, and what they list counts") {
  SafetensorsBuilder one, two;
  one.tensor("a", "BF16", "[4]", 8);
  two.tensor("b", "BF16", "[8]", 16);
  auto open = files_in({{"1.safetensors", one.file()}, {"2.safetensors", two.file()}});
  std::string index =
      R"({"metadata":{"total_size":23},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})";
  auto weights = read_safetensors_index(index, open, 0);
  REQUIRE(weights.ok());
  REQUIRE(weights->bytes == 24);
  REQUIRE(weights->announced_bytes == 23);
  auto missing =
      read_safetensors_index(R"({"weight_map":{"a":"1.safetensors","c":"3.safetensors"}})", open, 0);
  REQUIRE(missing.error().kind == ErrorKind::NotFound);
  for (const char* name : {"../1.safetensors", "/etc/passwd", "x.bin", "", "a/b.safetensors"}) {
    auto climbing = read_safetensors_index(R"({"weight_map":{"a":")" + std::string(name) + "\"}}", open, 0);
    REQUIRE(climbing.error().kind == ErrorKind::Invalid);
  }
  REQUIRE(read_safetensors_index("{}", open, 0).error().text == "weight_map: missing");
}
