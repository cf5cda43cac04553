// Why this file exists: a product reads an engine's log to learn why it died, so the lines, their
// prefixes, and above all how far the cause stands from the end have to be as in the real thing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace standin {

enum class Role { kApiServer, kEngineCore, kWorker };

// One line as vLLM prints it, or several of the same prefix where `message` has line breaks.
void Say(Role role, const char* level, const std::string& where, const std::string& message);
inline void Info(Role role, const std::string& where, const std::string& message) { Say(role, "INFO", where, message); }
inline void Warn(Role role, const std::string& where, const std::string& message) { Say(role, "WARNING", where, message); }
// A line without a prefix.
void Raw(const std::string& line);

int Pid(Role role);

// Numbers as vLLM's logs have them: "8.0", "0.03"; "478,848".
std::string Gib(double bytes);
std::string Grouped(int64_t number);
std::string Fixed(double value, int digits);

// Where in vLLM a start-up failure arises: it decides which frames the traceback has.
enum class Site { kInitDevice, kLoadModel, kProfile, kKvConfig, kKvAllocate };

// The whole end of a log whose engine died at start-up: `cause` is the last line of the first
// traceback, "ValueError: ...". About 4.5 KB follow its last mention, ending in the wrapper line that
// names no cause.
void EngineFailedToStart(Site site, const std::string& cause, bool cpu_build);
// A failure before there is an engine: the cause is the last line.
void FrontEndFailed(const std::vector<std::string>& last_lines, bool configuration);
// What the API server prints when its engine has died under it.
void EngineDied(const std::string& cause, bool stream_open);

}  // namespace standin
