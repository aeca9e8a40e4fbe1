#pragma once

// XML as AWS answers and takes it: elements and their text. Attributes, namespaces and comments are read over.
// A document is understood whole or not at all; nesting and size have limits, and entities other than the five of XML are refused.
// Thread rule: pure functions.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lifeboat::aws {

struct XmlNode {
  std::string name;  ///< without its namespace
  std::string text;  ///< of the element itself, without the white space around it
  std::vector<XmlNode> children;

  /// The first child of that name; nothing there: an empty node, so that paths can be written without asking.
  [[nodiscard]] const XmlNode& operator[](std::string_view child) const;
  /// The children of that name.
  [[nodiscard]] std::vector<const XmlNode*> All(std::string_view child) const;
  [[nodiscard]] bool Has(std::string_view child) const;
};

/// The root element of `document`, named by `what` in the error. @error kFail: it is not XML, or too deep
[[nodiscard]] Result<XmlNode> ParseXml(std::string_view document, std::string_view what);

/// `text` as it stands between tags.
[[nodiscard]] std::string XmlText(std::string_view text);
/// "<name>text</name>", the text escaped.
[[nodiscard]] std::string XmlElement(std::string_view name, std::string_view text);

}  // namespace lifeboat::aws
