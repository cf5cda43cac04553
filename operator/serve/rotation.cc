#include "serve/rotation.h"

#include <algorithm>
#include <chrono>
#include <fstream>

#include "api/names.h"
#include "base/log.h"

namespace strix::serve {

namespace {

constexpr int64_t settled_millis = 3600 * 1000;
constexpr int64_t unregistered_millis = 30'000;
constexpr int64_t files_millis = 60'000;  // the kubelet swaps the files of a Secret within about as much
constexpr int64_t retry_millis_min = 1000, retry_millis_max = 60'000;
constexpr int64_t slice_millis = 60'000;  // a machine that slept has slept through less than this
constexpr int races_max = 5;
constexpr size_t file_bytes_max = 256 * 1024;

// The Secret, with nothing due any more.
Result<StoredSecret> current_secret(const RotationPorts& ports, const std::vector<std::string>& names,
                                    std::string& renewed_why) {
  for (int race = 0;; ++race) {
    auto stored = ports.read_secret();
    if (!stored) return stored.error();
    auto data = renewed(stored->data, names, ports.now());
    if (!data) return data.error();
    if (*data == stored->data) return stored;
    std::string why = due(held_in(stored->data), names, ports.now()).why;
    Status written = ports.write_secret(*stored, *data);
    if (written) {
      renewed_why = why.empty() ? "a CA is over" : why;
      return StoredSecret{stored->uid, "", std::move(*data)};
    }
    if (written.error().kind != ErrorKind::Conflict || race == races_max) return written.error();
  }
}

Result<bool> publish(const RotationPorts& ports, const std::string& bundle) {
  for (int race = 0;; ++race) {
    auto registration = ports.read_registration();
    if (!registration) return registration.error();
    if (!*registration) return false;
    if ((*registration)->ca_bundle == bundle) return true;
    Status written = ports.write_registration(**registration, bundle);
    if (written) return true;
    if (written.error().kind != ErrorKind::Conflict || race == races_max) return written.error();
  }
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{ErrorKind::NotFound, path + " cannot be read", 0};
  std::string text(file_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > file_bytes_max) return Error{ErrorKind::Invalid, path + " is too long", 0};
  return text;
}

}  // namespace

Result<Checked> check_managed(const RotationPorts& ports, const std::vector<std::string>& names,
                              Identity& identity) {
  Checked checked;
  auto secret = current_secret(ports, names, checked.renewed);
  if (!secret) return secret.error();
  auto published = publish(ports, std::string(value_in(secret->data, secret_authorities)));
  if (!published) return published.error();
  std::string certificate(value_in(secret->data, secret_certificate));
  Status used = identity.use({certificate, std::string(value_in(secret->data, secret_key))});
  if (!used) return used.error();
  auto facts = read_certificate(certificate);
  if (facts) checked.not_after = facts->validity.not_after;
  checked.registered = *published;
  checked.next_millis = checked.registered ? settled_millis : unregistered_millis;
  return checked;
}

Result<Checked> check_provided(const std::string& folder, Identity& identity) {
  auto certificate = read_file(folder + "/" + std::string(secret_certificate));
  if (!certificate) return certificate.error();
  auto key = read_file(folder + "/" + std::string(secret_key));
  if (!key) return key.error();
  if (Status used = identity.use({*certificate, *key}); !used) return used.error().wrap(folder);
  Checked checked;
  auto facts = read_certificate(*certificate);
  if (facts) checked.not_after = facts->validity.not_after;
  checked.next_millis = files_millis;
  return checked;
}

void Rotation::start() {
  thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
}

void Rotation::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

std::string Rotation::trouble() const {
  std::lock_guard lock(mutex_);
  return trouble_;
}

void Rotation::run(std::stop_token stop) {
  for (int failures = 0; !stop.stop_requested();) {
    auto checked = check_();
    failures = checked ? 0 : failures + 1;
    pause(note(checked, failures), stop);
  }
}

void Rotation::pause(int64_t millis, const std::stop_token& stop) {
  BootMillis until = boot_now() + millis;
  std::unique_lock lock(mutex_);
  for (BootMillis now = boot_now(); now < until && !stop.stop_requested(); now = boot_now())
    wakened_.wait_for(lock, stop, std::chrono::milliseconds(std::min(until - now, slice_millis)),
                      [] { return false; });
}

// What the log and /readyz say of a check, each thing once; the pause after it.
int64_t Rotation::note(const Result<Checked>& checked, int failures) {
  std::string trouble = checked ? "" : checked.error().text;
  {
    std::lock_guard lock(mutex_);
    std::swap(trouble, trouble_);
  }
  if (!checked) {
    if (trouble != checked.error().text)
      log::warn("the webhook's certificate could not be looked after", {{"error", checked.error().text}});
    return std::min(retry_millis_max, retry_millis_min << std::min(failures - 1, 6));
  }
  not_after_ = checked->not_after;
  if (!checked->renewed.empty())
    log::info("the webhook's certificate was renewed",
              {{"why", checked->renewed}, {"until", format_time(checked->not_after)}});
  if (!checked->registered && !told_unregistered_)
    log::info("nobody asks the webhook: its configuration is not installed",
              {{"validatingwebhookconfiguration", names::webhook_configuration}});
  told_unregistered_ = !checked->registered;
  return checked->next_millis;
}

}  // namespace strix::serve
