#include "models/model_folder.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "catch.h"
#include "models/file_source.h"
#include "models/gguf_builder.h"
#include "models/memory_source.h"
#include "models/safetensors_builder.h"

using namespace strix;
using namespace strix::models;
using strix::test::files_in;

namespace {

const std::string config = R"({"model_type":"llama","num_hidden_layers":1,"hidden_size":8,
    "num_attention_heads":2,"tie_word_embeddings":false})";
const std::string tied_config = R"({"model_type":"llama","num_hidden_layers":1,"hidden_size":8,
    "num_attention_heads":2,"tie_word_embeddings":true})";

std::string index_of(const std::string& shard, int64_t total) {
  return R"({"metadata":{"total_size":)" + std::to_string(total) + R"(},"weight_map":{"a":")" + shard +
         "\"}}";
}

class Folder {
 public:
  Folder() {
    std::string name =
        (std::filesystem::temp_directory_path() / ("strix-models-" + std::string(6, 'X'))).string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string path(const std::string& name = "") const { return path_ / name; }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("a repository's facts are its config and its weights") {
  std::string weights = test::small_safetensors().file();
  auto facts =
      facts_of_repository("q/w", files_in({{"q/w/config.json", config}, {"q/w/model.safetensors", weights}}));
  REQUIRE(facts.ok());
  REQUIRE(facts->weight_bytes == 1154);
  REQUIRE(facts->draft_weight_bytes == 2);
  REQUIRE(facts->parameters == 643);
  REQUIRE(facts->source == "config.json and safetensors headers");
  REQUIRE(facts->notes.empty());
}

TEST_CASE("an output matrix that is tied is not loaded, though the file has it") {
  std::string weights = test::small_safetensors().file();
  auto facts =
      facts_of_repository("q", files_in({{"q/config.json", tied_config}, {"q/model.safetensors", weights}}));
  REQUIRE(facts->weight_bytes == 1154 - 512);
}

TEST_CASE("an index that contradicts its shards is noted, and the shards count") {
  std::map<std::string, std::string> files = {
      {"q/config.json", config},
      {"q/model.safetensors.index.json", index_of("m.safetensors", 99)},
      {"q/m.safetensors", test::small_safetensors().file()}};
  auto facts = facts_of_repository("q", files_in(files));
  REQUIRE(facts->weight_bytes == 1154);
  REQUIRE(facts->notes ==
          std::vector<std::string>{"the index says 99 bytes of weights, its files have 1154"});
  files.erase("q/m.safetensors");
  auto missing = facts_of_repository("q", files_in(files));
  REQUIRE(missing.error().kind == ErrorKind::NotFound);
  REQUIRE(missing.error().text == "q/model.safetensors.index.json: q/m.safetensors: no such file");
}

TEST_CASE("a repository without weights has layers, and one without config is not there") {
  auto facts = facts_of_repository("q", files_in({{"q/config.json", config}}));
  REQUIRE(facts->layers.size() == 1);
  REQUIRE(facts->weight_bytes == std::nullopt);
  REQUIRE(facts_of_repository("q", files_in({})).error().kind == ErrorKind::NotFound);
}

TEST_CASE("files of a store are opened below it, and nothing else is") {
  Folder folder;
  folder.write("a.gguf", test::small_llama().file());
  OpenFile open = files_of(folder.path());
  REQUIRE(facts_of_file("a.gguf", open)->layers.size() == 2);
  REQUIRE(facts_of_file("b.gguf", open).error().kind == ErrorKind::NotFound);
  for (const char* name : {"../a.gguf", "/etc/passwd", "x/../../a.gguf", "", ".."})
    REQUIRE(open(name).error().kind == ErrorKind::Invalid);
  std::filesystem::create_directories(folder.path("sub"));
  REQUIRE(open("sub").error().kind == ErrorKind::Invalid);
  REQUIRE(::mkfifo(folder.path("pipe.gguf").c_str(), 0600) == 0);
  REQUIRE(open("pipe.gguf").error().kind == ErrorKind::Invalid);
}

TEST_CASE("a 40 GB sparse file on disk is read like a small one, and a file that shrinks is an error") {
  Folder folder;
  test::GgufBuilder builder = test::small_llama();
  builder.tensor("blk.0.ffn_up.weight", {1u << 20, 9537}, 0, 40'001'077'248);
  folder.write("big.gguf", builder.header());
  std::filesystem::resize_file(folder.path("big.gguf"), static_cast<uint64_t>(builder.file_size()));
  auto facts = facts_of_file("big.gguf", files_of(folder.path()));
  REQUIRE(facts.ok());
  REQUIRE(facts->weight_bytes > 40'000'000'000);
  folder.write("short", "12345678");
  auto source = open_file(folder.path("short"));
  std::filesystem::resize_file(folder.path("short"), 4);
  std::string into(8, '\0');
  REQUIRE((*source)->read(0, {into.data(), into.size()}).error().kind == ErrorKind::Invalid);
}

TEST_CASE("an error names the file") {
  auto cut = facts_of_file("a.gguf", files_in({{"a.gguf", "GGUF"}}));
  REQUIRE(cut.error().text == "a.gguf: at byte 4: version: the file ends here");
  auto config_error = facts_of_repository("q", files_in({{"q/config.json", "{}"}}));
  REQUIRE(config_error.error().text == "q/config.json: model_type: missing");
}
