#include "models/gguf.h"

#include <random>

#include "catch.h"
#include "models/facts_of_gguf.h"
#include "models/file_source.h"
#include "models/gguf_builder.h"
#include "models/memory_source.h"

using namespace strix;
using namespace strix::models;
using strix::test::files_in;
using strix::test::GgufBuilder;
using strix::test::MemorySource;
using strix::test::small_llama;

namespace {

std::string refusal(const std::string& bytes) {
  auto read = read_gguf(MemorySource(bytes));
  REQUIRE_FALSE(read.ok());
  REQUIRE(read.error().kind == ErrorKind::Invalid);
  return read.error().text;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a GGUF's metadata and tensors are read, and its tokenizer is only counted") {
  auto gguf = read_gguf(MemorySource(small_llama().file()));
  REQUIRE(gguf.ok());
  REQUIRE(gguf->version == 3);
  REQUIRE(gguf->text("general.architecture") == "llama");
  REQUIRE(gguf->integer("llama.block_count") == 2);
  REQUIRE(gguf->find("tokenizer.ggml.tokens")->kind == GgufValue::Kind::Long);
  REQUIRE(gguf->find("tokenizer.ggml.tokens")->length == 32);
  REQUIRE(gguf->tensors.size() == 4);
  REQUIRE(gguf->tensors[2].bytes == 576);
  REQUIRE(gguf->tensors[2].type->name == "Q4_K");
}

TEST_CASE("every kind of value is read") {
  GgufBuilder builder;
  builder.value("a", 0, GgufBuilder::raw<uint8_t>(200)).value("b", 1, GgufBuilder::raw<int8_t>(-3));
  builder.value("c", 2, GgufBuilder::raw<uint16_t>(60000)).value("d", 3, GgufBuilder::raw<int16_t>(-4));
  builder.value("e", 4, GgufBuilder::raw<uint32_t>(4000000000)).value("f", 5, GgufBuilder::raw<int32_t>(-5));
  builder.value("g", 6, GgufBuilder::raw<float>(0.5f)).value("h", 7, GgufBuilder::raw<uint8_t>(1));
  builder.value("i", 10, GgufBuilder::raw<uint64_t>(1ull << 63))
      .value("j", 11, GgufBuilder::raw<int64_t>(-6));
  builder.value("k", 12, GgufBuilder::raw<double>(0.25)).set("l", std::vector<uint32_t>{1, 2, 3});
  builder.flags("m", {1, 0}).set("n", std::string(4000, 'x').c_str());
  builder.value("o", 9, GgufBuilder::raw<uint32_t>(6) + GgufBuilder::raw<uint64_t>(2) + std::string(8, '\0'));
  auto gguf = read_gguf(MemorySource(builder.file()));
  REQUIRE(gguf.ok());
  REQUIRE(gguf->integer("a") == 200);
  REQUIRE(gguf->integer("b") == -3);
  REQUIRE(gguf->integer("c") == 60000);
  REQUIRE(gguf->integer("d") == -4);
  REQUIRE(gguf->integer("e") == 4000000000);
  REQUIRE(gguf->integer("f") == -5);
  REQUIRE(gguf->find("g")->real == 0.5);
  REQUIRE(gguf->find("h")->integer == 1);
  REQUIRE(gguf->find("i")->kind == GgufValue::Kind::Real);
  REQUIRE(gguf->integer("j") == -6);
  REQUIRE(gguf->find("k")->real == 0.25);
  REQUIRE(gguf->find("l")->integers == std::vector<int64_t>{1, 2, 3});
  REQUIRE(gguf->find("m")->integers == std::vector<int64_t>{1, 0});
  REQUIRE(gguf->find("n")->kind == GgufValue::Kind::Long);
  REQUIRE(gguf->find("o")->length == 2);
}

TEST_CASE("a 40 GB file costs no more than a small one") {
  for (int64_t extra : {int64_t{0}, int64_t{40'000'000'000}}) {
    GgufBuilder builder = small_llama();
    int64_t read_bytes = 0;
    auto gguf = read_gguf(MemorySource(builder.header(), builder.file_size() + extra, &read_bytes));
    REQUIRE(gguf.ok());
    REQUIRE(read_bytes <= 16384);
  }
}

TEST_CASE("long arrays of numbers are passed over without being read") {
  GgufBuilder builder;
  std::string scores(4 * 1'000'000, '\0');
  builder.value("tokenizer.ggml.scores", 9,
                GgufBuilder::raw<uint32_t>(6) + GgufBuilder::raw<uint64_t>(1'000'000) + scores);
  builder.set("general.architecture", "llama");
  int64_t read_bytes = 0;
  auto gguf = read_gguf(MemorySource(builder.header(), -1, &read_bytes));
  REQUIRE(gguf.ok());
  REQUIRE(gguf->text("general.architecture") == "llama");
  REQUIRE(read_bytes < 65536);
}

TEST_CASE("a GGUF that was cut at any byte is refused") {
  std::string bytes = small_llama().file();
  REQUIRE(read_gguf(MemorySource(bytes)).ok());
  size_t needed = bytes.size() - 32;  // the padding of the last tensor may be missing
  for (size_t length = 0; length < needed; ++length) {
    auto read = read_gguf(MemorySource(bytes.substr(0, length)));
    INFO(length);
    REQUIRE_FALSE(read.ok());
    REQUIRE(read.error().kind == ErrorKind::Invalid);
  }
  REQUIRE(has(refusal(bytes.substr(0, needed - 256)), "cut short"));
}

TEST_CASE("hostile counts, lengths and sizes are refused with the offset and the field") {
  GgufBuilder tensors = small_llama(), values = small_llama(), bool_of_7, nested, twice, type_99;
  tensors.extra_tensors = (1ull << 63);
  REQUIRE(has(refusal(tensors.file()), "at byte 16: tensor count: 9223372036854775812"));
  values.extra_values = (1ull << 63);
  REQUIRE(has(refusal(values.file()), "metadata count"));
  bool_of_7.value("flag", 7, "\7");
  REQUIRE(has(refusal(bool_of_7.file()), "flag: a boolean of 7"));
  nested.value("deep", 9,
               GgufBuilder::raw<uint32_t>(9) + GgufBuilder::raw<uint64_t>(1) + std::string(12, '\0'));
  REQUIRE(has(refusal(nested.file()), "deep: an array of type 9"));
  twice.set("key", 1).set("key", 2);
  REQUIRE(has(refusal(twice.file()), "key: is there twice"));
  type_99.value("key", 99, "");
  REQUIRE(has(refusal(type_99.file()), "key: a value of type 99"));
  for (uint64_t length : {uint64_t{1} << 63, ~uint64_t{0}, uint64_t{1} << 40}) {
    GgufBuilder long_text, long_array, long_key;
    long_text.value("words", 8, GgufBuilder::raw(length));
    REQUIRE(has(refusal(long_text.file()), "words: "));
    long_array.value("numbers", 9, GgufBuilder::raw<uint32_t>(8) + GgufBuilder::raw(length));
    REQUIRE(has(refusal(long_array.file()), "numbers: an array of"));
    REQUIRE(has(
        refusal(long_key.header().substr(0, 16) + GgufBuilder::raw<uint64_t>(1) + GgufBuilder::raw(length)),
        "key 0: a length of"));
  }
}

TEST_CASE("hostile tensors are refused") {
  struct Case {
    std::vector<uint64_t> dimensions;
    uint32_t type;
    uint64_t offset;
    std::string because;
  };
  const Case cases[] = {
      {{1ull << 40, 1ull << 40}, 0, 0, "dimensions beyond 63 bits"},
      {{1ull << 63}, 0, 0, "dimensions beyond 63 bits"},
      {{1ull << 62}, 0, 0, "a size beyond 63 bits"},
      {{1ull << 40}, 0, 0, "cut short"},
      {{33}, 2, 0, "rows of 33 elements, Q4_0 has blocks of 32"},
      {{32}, 0, 1ull << 63, "an offset beyond 63 bits"},
      {{32}, 0, ~0ull - 31, "an offset beyond 63 bits"},
      {{32}, 0, 8, "an offset off the alignment"},
      {{32}, 4, 0, "a tensor type 4"},
      {{32}, 4000, 0, "a tensor type 4000"},
      {{1, 1, 1, 1, 1}, 0, 0, "5 dimensions"},
  };
  for (const Case& test : cases) {
    GgufBuilder builder;
    builder.tensor_at("weights", test.dimensions, test.type, test.offset);
    INFO(test.because);
    REQUIRE(has(refusal(builder.file()), test.because));
  }
  GgufBuilder twice, alignment;
  twice.tensor("same", {1}, 0, 4).tensor("same", {1}, 0, 4);
  REQUIRE(has(refusal(twice.file()), "same: is there twice"));
  alignment.set("general.alignment", 33);
  REQUIRE(has(refusal(alignment.file()), "33 is no power of two"));
}

TEST_CASE("other files and versions are refused with a sentence") {
  GgufBuilder one, big, later, other;
  one.version = 1;
  big.version = 0x03000000;
  later.version = 4;
  other.magic = 0x04034b50;
  REQUIRE(has(refusal(one.file()), "version 1; this reader knows 2 and 3"));
  REQUIRE(has(refusal(big.file()), "a big-endian file; convert it"));
  REQUIRE(has(refusal(later.file()), "version 4"));
  REQUIRE(has(refusal(other.file()), "not a GGUF file"));
  REQUIRE(has(refusal(""), "at byte 0: magic: the file ends here"));
}

TEST_CASE("names from a file are made printable before they go into a message") {
  GgufBuilder builder;
  builder.value(std::string("bad\n\x1b[31m") + std::string(200, 'x'), 99, "");
  std::string text = refusal(builder.file());
  REQUIRE(has(text, "bad??[31mxxx"));
  REQUIRE(text.size() < 160);
}

TEST_CASE("random changes of a GGUF never do more than be refused") {
  std::mt19937_64 random(20261124);
  const std::string seeds[] = {small_llama().file(), small_llama().header()};
  int accepted = 0;
  for (int round = 0; round < 100000; ++round) {
    std::string bytes = seeds[round % 2];
    for (uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
      size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 8);
          break;
        case 2:
          bytes.insert(at, std::string(1 + random() % 8, static_cast<char>(random())));
          break;
        default:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << (random() % 8)));
      }
      if (bytes.empty()) bytes = "G";
    }
    auto read = read_gguf(MemorySource(std::move(bytes)));
    if (!read.ok()) continue;
    ++accepted;
    if (auto facts = facts_of_gguf(*read); facts.ok()) REQUIRE(growing_elements_per_token(*facts) >= 0);
  }
  REQUIRE(accepted > 100);
}

namespace {

std::map<std::string, std::string> three_parts() {
  std::map<std::string, std::string> files;
  for (int part = 0; part < 3; ++part) {
    GgufBuilder builder;
    if (part == 0) builder = small_llama();
    builder.value("split.no", 2, GgufBuilder::raw(static_cast<uint16_t>(part)));
    builder.value("split.count", 2, GgufBuilder::raw<uint16_t>(3));
    builder.value("split.tensors.count", 5, GgufBuilder::raw<int32_t>(6));
    if (part > 0) builder.tensor("part" + std::to_string(part) + ".weight", {32, 4}, 0, 512);
    files["m-0000" + std::to_string(part + 1) + "-of-00003.gguf"] = builder.file();
  }
  return files;
}

}  // namespace

TEST_CASE("the parts of a split GGUF are found by their names and added up") {
  auto gguf = read_gguf_parts("m-00001-of-00003.gguf", files_in(three_parts()));
  REQUIRE(gguf.ok());
  REQUIRE(gguf->tensors.size() == 6);
  REQUIRE(facts_of_gguf(*gguf)->weight_bytes == 2176 + 4096 + 576 + 256 + 2 * 512);
}

TEST_CASE("a split GGUF that is not whole is refused") {
  auto refused = [](std::map<std::string, std::string> files, const std::string& name) {
    auto read = read_gguf_parts(name, files_in(std::move(files)));
    REQUIRE_FALSE(read.ok());
    return read.error();
  };
  auto files = three_parts();
  Error second = refused(files, "m-00002-of-00003.gguf");
  REQUIRE(second.text == "m-00002-of-00003.gguf: not the first of 3 parts: name m-00001-of-00003.gguf");
  files.erase("m-00003-of-00003.gguf");
  Error missing = refused(files, "m-00001-of-00003.gguf");
  REQUIRE(missing.kind == ErrorKind::NotFound);
  REQUIRE(has(missing.text, "m-00003-of-00003.gguf"));
  files = three_parts();
  files["m-00003-of-00003.gguf"] = files["m-00002-of-00003.gguf"];
  REQUIRE(has(refused(files, "m-00001-of-00003.gguf").text, "does not say part 3 of 3"));
  files = three_parts();
  files["other.gguf"] = files["m-00001-of-00003.gguf"];
  REQUIRE(has(refused(files, "other.gguf").text, "one of 3 parts, but its name does not say so"));
}

TEST_CASE("the block of every tensor type is that of ggml") {
  REQUIRE(tensor_type(39)->name == "MXFP4");
  REQUIRE(tensor_type(39)->block_bytes == 17);
  REQUIRE(tensor_type(14)->block_bytes == 210);
  REQUIRE(tensor_type(31) == nullptr);
  REQUIRE(file_type_name(15) == "Q4_K_M");
  REQUIRE(file_type_name(1024 + 15) == "Q4_K_M");
  REQUIRE(file_type_name(99) == "");
  size_t known = 0;
  for (uint32_t id = 0; id < 64; ++id) {
    const TensorType* type = tensor_type(id);
    if (type == nullptr) continue;
    ++known;
    REQUIRE(type->id == id);
    REQUIRE(type->block_elements > 0);
  }
  REQUIRE(known == 35);
}

// llama-server says of this file: 33 keys, 272 tensors, file size 92.10 MiB, n_layer 30, and 180.00 MiB of
// F16 KV for 4 slots of 2048 tokens.
TEST_CASE("a real model's weights and KV are what llama-server prints") {
  auto opened = read_gguf_parts("SmolLM2-135M-Instruct.Q4_1.gguf", files_of("/var/lib/strix-e2e/models"));
  if (!opened.ok() && opened.error().kind == ErrorKind::NotFound) return;
  REQUIRE(opened.ok());
  REQUIRE(opened->values.size() == 33);
  REQUIRE(opened->tensors.size() == 272);
  auto facts = facts_of_gguf(*opened);
  REQUIRE(facts.ok());
  REQUIRE(facts->layers.size() == 30);
  REQUIRE(facts->quantization == "Q4_1");
  REQUIRE(facts->context_length_most_tokens == 8192);
  REQUIRE(facts->vocabulary_size == 49152);
  REQUIRE(static_cast<double>(*facts->weight_bytes) / (1 << 20) == Approx(92.10).margin(0.005));
  REQUIRE(growing_elements_per_token(*facts) * 2 * 2048 * 4 == 180ll << 20);
  REQUIRE(facts->repackable_bytes_by_type.at("Q8_0") == 30081024);
}
