#include "serve/rotation.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "catch.h"

using namespace strix;
using namespace strix::serve;

namespace {

const std::vector<std::string> names = {"127.0.0.1"};

// The Secret and the registration as an API server keeps them, and what it does when asked the wrong way.
struct Cluster {
  std::map<std::string, StoredSecret> secrets = {{"it", {"u1", "1", {}}}};
  std::optional<Registration> registration = Registration{"u2", "1", ""};
  std::vector<std::string> log;
  WallMillis now = wall_now();
  // Runs before the write with this number, from 1; false: the write fails and was not done.
  std::function<bool(int)> before_write = [](int) { return true; };
  int writes = 0;

  RotationPorts ports() {
    RotationPorts made;
    made.read_secret = [this]() -> Result<StoredSecret> {
      if (!secrets.contains("it")) return Error{ErrorKind::NotFound, "no such Secret", 0};
      return secrets["it"];
    };
    made.write_secret = [this](const StoredSecret& seen, const SecretData& data) -> Status {
      if (!before_write(++writes)) return Error{ErrorKind::Unreachable, "broken off", 0};
      StoredSecret& stored = secrets["it"];
      if (seen.resource_version != stored.resource_version) return Error{ErrorKind::Conflict, "409", 0};
      stored.data = data;
      stored.resource_version += "1";
      log.push_back("secret");
      return success();
    };
    made.read_registration = [this]() -> Result<std::optional<Registration>> { return registration; };
    made.write_registration = [this](const Registration& seen, const std::string& bundle) -> Status {
      if (!before_write(++writes)) return Error{ErrorKind::Unreachable, "broken off", 0};
      if (seen.resource_version != registration->resource_version)
        return Error{ErrorKind::Conflict, "409", 0};
      registration->ca_bundle = bundle;
      registration->resource_version += "1";
      log.push_back("bundle");
      return success();
    };
    made.now = [this] { return now; };
    return made;
  }
};

std::shared_ptr<Identity> no_certificate() {
  return std::make_shared<Identity>();
}

}  // namespace

TEST_CASE("the first check makes certificates, publishes the CA and then shows what it made") {
  Cluster cluster;
  auto identity = no_certificate();
  auto checked = check_managed(cluster.ports(), names, *identity);
  REQUIRE(checked.ok());
  REQUIRE(cluster.log == std::vector<std::string>{"secret", "bundle"});
  REQUIRE(identity->loaded());
  REQUIRE(checked->registered);
  REQUIRE(checked->renewed == "there is no CA that may sign");
  REQUIRE(checked->next_millis == 3'600'000);
  REQUIRE(checked->not_after > cluster.now);
  REQUIRE(cluster.registration->ca_bundle == cluster.secrets["it"].data["ca.crt"]);
}

TEST_CASE("a check of what is settled writes nothing") {
  Cluster cluster;
  auto identity = no_certificate();
  REQUIRE(check_managed(cluster.ports(), names, *identity).ok());
  cluster.log.clear();
  auto checked = check_managed(cluster.ports(), names, *identity);
  REQUIRE(checked.ok());
  REQUIRE(checked->renewed.empty());
  REQUIRE(cluster.log.empty());
}

TEST_CASE(
    "a bundle that somebody took away comes back, and that of a webhook that is not installed does not") {
  Cluster cluster;
  auto identity = no_certificate();
  cluster.registration.reset();
  auto checked = check_managed(cluster.ports(), names, *identity);
  REQUIRE(checked.ok());
  REQUIRE(identity->loaded());
  REQUIRE_FALSE(checked->registered);
  REQUIRE(checked->next_millis == 30'000);
  cluster.registration = Registration{"u3", "7", ""};
  REQUIRE(check_managed(cluster.ports(), names, *identity)->registered);
  REQUIRE(cluster.registration->ca_bundle == cluster.secrets["it"].data["ca.crt"]);
  cluster.registration->ca_bundle = "rubbish";
  REQUIRE(check_managed(cluster.ports(), names, *identity).ok());
  REQUIRE(cluster.registration->ca_bundle == cluster.secrets["it"].data["ca.crt"]);
}

TEST_CASE("of two replicas that start together one makes the certificates and both show them") {
  Cluster cluster;
  auto first = no_certificate(), second = no_certificate();
  std::string made;
  cluster.before_write = [&](int number) {
    if (number != 1) return true;
    REQUIRE(check_managed(cluster.ports(), names, *second).ok());
    made = cluster.secrets["it"].data["tls.crt"];
    return true;
  };
  auto checked = check_managed(cluster.ports(), names, *first);
  REQUIRE(checked.ok());
  REQUIRE(checked->renewed.empty());
  REQUIRE(cluster.secrets["it"].data["tls.crt"] == made);
  REQUIRE(cluster.log == std::vector<std::string>{"secret", "bundle"});
  REQUIRE((first->loaded() && second->loaded()));
}

TEST_CASE("broken off before any of its writes, the next check ends in the same place") {
  for (int at = 1; at <= 2; ++at) {
    CAPTURE(at);
    Cluster cluster;
    auto identity = no_certificate();
    cluster.before_write = [at](int number) { return number != at; };
    REQUIRE_FALSE(check_managed(cluster.ports(), names, *identity).ok());
    REQUIRE_FALSE(identity->loaded());
    REQUIRE(check_managed(cluster.ports(), names, *identity).ok());
    REQUIRE(identity->loaded());
    REQUIRE(cluster.registration->ca_bundle == cluster.secrets["it"].data["ca.crt"]);
  }
}

TEST_CASE("a Secret that always changes is given up for this check, and so is one that is not there") {
  Cluster cluster;
  auto identity = no_certificate();
  cluster.before_write = [&](int) {
    cluster.secrets["it"].resource_version += "2";
    return true;
  };
  REQUIRE(check_managed(cluster.ports(), names, *identity).error().kind == ErrorKind::Conflict);
  REQUIRE(cluster.writes < 10);
  cluster.secrets.clear();
  REQUIRE(check_managed(cluster.ports(), names, *identity).error().kind == ErrorKind::NotFound);
}

TEST_CASE("files that somebody else keeps are read again, and what is wrong with them is an error") {
  auto folder = std::filesystem::temp_directory_path() / ("strix-rotation-" + std::to_string(wall_now()));
  std::filesystem::create_directory(folder);
  auto identity = no_certificate();
  REQUIRE(check_provided(folder.string(), *identity).error().kind == ErrorKind::NotFound);
  Cluster cluster;
  REQUIRE(check_managed(cluster.ports(), names, *no_certificate()).ok());
  const SecretData& data = cluster.secrets["it"].data;
  std::ofstream(folder / "tls.crt") << value_in(data, "tls.crt");
  std::ofstream(folder / "tls.key") << "not the key";
  auto refused = check_provided(folder.string(), *identity);
  REQUIRE(refused.error().text == folder.string() + ": no certificate in PEM with a key that fits it");
  REQUIRE_FALSE(identity->loaded());
  std::ofstream(folder / "tls.key") << value_in(data, "tls.key");
  auto checked = check_provided(folder.string(), *identity);
  REQUIRE(checked.ok());
  REQUIRE(identity->loaded());
  REQUIRE(checked->not_after > wall_now());
  std::ofstream(folder / "tls.crt") << std::string(300'000, 'x');
  REQUIRE(check_provided(folder.string(), *identity).error().kind == ErrorKind::Invalid);
  std::filesystem::remove_all(folder);
}

TEST_CASE("a rotation checks at once, tries again after a failure, says its trouble, and stops when asked") {
  std::atomic<int> checks{0};
  Rotation rotation([&]() -> Result<Checked> {
    if (++checks == 1) return Error{ErrorKind::Unreachable, "no way there", 0};
    Checked checked;
    checked.not_after = 77;
    checked.next_millis = 3'600'000;
    return checked;
  });
  REQUIRE(rotation.not_after() == 0);
  rotation.start();
  auto wait = [&](int count) {
    for (int i = 0; i < 1000 && checks < count; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    REQUIRE(checks == count);
  };
  wait(1);
  REQUIRE(rotation.trouble() == "no way there");
  wait(2);
  REQUIRE(rotation.trouble().empty());
  REQUIRE(rotation.not_after() == 77);
  auto begun = std::chrono::steady_clock::now();
  rotation.stop();
  REQUIRE(std::chrono::steady_clock::now() - begun < std::chrono::seconds(2));
  REQUIRE(checks == 2);
}
