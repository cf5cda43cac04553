#include "base/yaml_writer.h"

#include <algorithm>
#include <cctype>

#include "base/yaml_scalar.h"

namespace strix::yaml {

namespace {

std::string flow_text(json::Value value) {
  json::Writer writer;
  writer.value(value);
  return writer.take();
}

// A name stands without quotes where nobody could read it as anything but text.
std::string name_text(std::string_view name) {
  bool plain = !name.empty() && std::isalpha(static_cast<unsigned char>(name.front())) != 0 &&
               std::all_of(name.begin(), name.end(),
                           [](char c) {
                             return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
                                    c == '-' || c == '.' || c == '/';
                           }) &&
               resolve(name).kind == ScalarKind::Text;
  if (plain) return std::string(name);
  json::Writer writer;
  writer.string(name);
  return writer.take();
}

bool is_block(json::Value value) {
  return (value.is_object() || value.is_array()) && value.size() > 0;
}

void append(std::string& text, json::Value value, size_t indent, bool in_list) {
  std::string margin(indent, ' ');
  bool first = in_list;  // the first member of a list's element stands behind its dash
  value.for_each_member([&](std::string_view name, json::Value member) {
    text += (first ? "" : margin) + name_text(name) + ":";
    first = false;
    if (!is_block(member)) {
      text += " " + flow_text(member) + "\n";
    } else {
      text += "\n";
      append(text, member, member.is_array() ? indent : indent + 2, false);
    }
  });
  value.for_each([&](json::Value element) {
    text += margin + "- ";
    if (is_block(element) && element.is_object())
      append(text, element, indent + 2, true);
    else
      text += flow_text(element) + "\n";
  });
}

}  // namespace

std::string write(json::Value value) {
  if (!is_block(value)) return flow_text(value) + "\n";
  std::string text;
  append(text, value, 0, false);
  return text;
}

}  // namespace strix::yaml
