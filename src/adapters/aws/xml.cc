#include "adapters/aws/xml.h"

#include <expat.h>

#include <memory>
#include <type_traits>

namespace lifeboat::aws {

namespace {

constexpr std::size_t kDeepest = 64;
const XmlNode kNone;

/// What expat tells, put together. The elements that are open stand in a list of their own: a tree of vectors moves its nodes.
struct Builder {
  XML_Parser parser = nullptr;
  std::vector<XmlNode> open;
  XmlNode root;
  bool refused = false;

  void Refuse() {
    refused = true;
    ::XML_StopParser(parser, XML_FALSE);
  }
};

void OnStart(void* user, const XML_Char* name, const XML_Char** /*attributes*/) {
  auto* builder = static_cast<Builder*>(user);
  if (builder->open.size() >= kDeepest) return builder->Refuse();
  XmlNode node;
  const std::string_view whole(name);
  const std::size_t colon = whole.find(':');
  node.name = colon == std::string_view::npos ? whole : whole.substr(colon + 1);
  builder->open.push_back(std::move(node));
}

void OnEnd(void* user, const XML_Char* /*name*/) {
  auto* builder = static_cast<Builder*>(user);
  if (builder->open.empty()) return;
  XmlNode node = std::move(builder->open.back());
  builder->open.pop_back();
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = node.text.find_first_not_of(kSpace);
  node.text = first == std::string::npos ? std::string() : node.text.substr(first, node.text.find_last_not_of(kSpace) - first + 1);
  if (builder->open.empty()) {
    builder->root = std::move(node);
  } else {
    builder->open.back().children.push_back(std::move(node));
  }
}

void OnText(void* user, const XML_Char* text, int size) {
  auto* builder = static_cast<Builder*>(user);
  if (!builder->open.empty()) builder->open.back().text.append(text, static_cast<std::size_t>(size));
}

/// AWS declares nothing: a document that does comes from elsewhere.
void OnDoctype(void* user, const XML_Char* /*name*/, const XML_Char* /*system*/, const XML_Char* /*open*/, int /*internal*/) {
  static_cast<Builder*>(user)->Refuse();
}

}  // namespace

const XmlNode& XmlNode::operator[](std::string_view child) const {
  for (const XmlNode& node : children) {
    if (node.name == child) return node;
  }
  return kNone;
}

std::vector<const XmlNode*> XmlNode::All(std::string_view child) const {
  std::vector<const XmlNode*> found;
  for (const XmlNode& node : children) {
    if (node.name == child) found.push_back(&node);
  }
  return found;
}

bool XmlNode::Has(std::string_view child) const { return !All(child).empty(); }

Result<XmlNode> ParseXml(std::string_view document, std::string_view what) {
  const std::unique_ptr<std::remove_pointer_t<XML_Parser>, decltype(&::XML_ParserFree)> parser(::XML_ParserCreate("UTF-8"),
                                                                                               &::XML_ParserFree);
  LIFEBOAT_CHECK(parser != nullptr, "expat has no memory");
  Builder builder;
  builder.parser = parser.get();
  ::XML_SetUserData(parser.get(), &builder);
  ::XML_SetElementHandler(parser.get(), &OnStart, &OnEnd);
  ::XML_SetCharacterDataHandler(parser.get(), &OnText);
  ::XML_SetStartDoctypeDeclHandler(parser.get(), &OnDoctype);
  if (::XML_Parse(parser.get(), document.data(), static_cast<int>(document.size()), 1) != XML_STATUS_OK || builder.refused) {
    return Fail("'" + std::string(what) + "' answered what is not its XML");
  }
  return std::move(builder.root);
}

std::string XmlText(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\r': out += "&#xD;"; break;  // a parser would make a line feed of it
      default: out += c;
    }
  }
  return out;
}

std::string XmlElement(std::string_view name, std::string_view text) {
  return "<" + std::string(name) + ">" + XmlText(text) + "</" + std::string(name) + ">";
}

}  // namespace lifeboat::aws
