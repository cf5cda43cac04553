#include <thread>

#include "catch.h"
#include "serve/client.h"
#include "serve/listener.h"

using namespace strix;
using namespace strix::serve;
using namespace strix::test;

TEST_CASE("a chunk of a negative length, for a path that cannot be decoded, ends nothing") {
  int port = free_port();
  auto listener = Listener::open({"127.0.0.1", port}, [](const Request&) { return Reply{}; });
  REQUIRE(listener.ok());
  Socket socket;
  socket.connect(port);
  socket.send("POST /%zz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nxx\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  REQUIRE(fetch(port, "/").status == 200);
}
