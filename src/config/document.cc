#include "config/document.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <set>

namespace lifeboat {

namespace {

constexpr std::size_t kLargestFile = 1 << 20;
constexpr std::size_t kMostItems = 64;  // of a list of sections
constexpr std::size_t kLongestText = 4096;
constexpr std::size_t kMostUrls = 15;  // more members than any etcd cluster should have

int LineOf(const YAML::Node& node) { return node.Mark().is_null() ? 0 : node.Mark().line + 1; }

const char* KindOf(const YAML::Node& node) {
  if (node.IsMap()) return "a section";
  if (node.IsSequence()) return "a list";
  return "a single value";
}

/// "regions[3].name" → "regions[].name": the path in the key list.
std::string Generic(const std::string& path) {
  std::string generic;
  bool inside = false;
  for (const char c : path) {
    inside = inside && c != ']';
    if (!inside) generic += c;
    inside = inside || c == '[';
  }
  return generic;
}

std::string Join(const std::string& section, std::string_view key) {
  return section.empty() ? std::string(key) : section + "." + std::string(key);
}

/// The file key that a literal secret should have been: "password" → "password_file".
std::optional<std::string> SecretFileKey(const std::string& section, std::string word) {
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (FindKey(Join(Generic(section), word)) != nullptr) return std::nullopt;
  const auto mentions = [&](std::string_view part) { return word.find(part) != std::string::npos; };
  if (word.ends_with("_file")) return std::nullopt;  // a file key in the wrong place is an unknown key like any other
  if (mentions("password") || mentions("passwd") || mentions("passphrase")) {
    if (section.starts_with("backups")) return "backups[].cipher_pass_file";
    return section == "store" ? "store.password_file" : "login.password_file";
  }
  if (mentions("token")) return "token_file";
  if (mentions("secret") || mentions("private_key") || word == "key")
    return section == "dns" ? "dns.key_file" : "login.password_file";
  return std::nullopt;
}

std::optional<std::string> ElsewhereInList(const std::string& section, const std::string& word) {
  for (const Key& key : AllKeys()) {
    if (LastWord(key.path) != word) continue;
    const std::string parent(key.path.substr(0, key.path.size() - word.size() - (key.path.size() == word.size() ? 0 : 1)));
    if (parent == Generic(section)) continue;
    if (parent.empty()) return "the top of the file, without indentation";
    return parent.ends_with("[]") ? "an item of '" + parent.substr(0, parent.size() - 2) + "'" : "'" + parent + "'";
  }
  return std::nullopt;
}

bool IsPath(std::string_view text) {
  return text.starts_with('/') && std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

/// Whether `text` is a value of the key's type.
bool HasType(const Key& key, const std::string& text) {
  switch (key.type) {
    case KeyType::kSection:
    case KeyType::kRegionList:
    case KeyType::kItemList:
    case KeyType::kUrlList:
    case KeyType::kLabelList:
    case KeyType::kTextList:
    case KeyType::kTextMap: return false;
    case KeyType::kLabel: return IsLabel(text);
    case KeyType::kIdentifier: return IsIdentifier(text);
    case KeyType::kDuration: return ParseDuration(text).has_value();
    case KeyType::kWholeSeconds: {
      const auto duration = ParseDuration(text);
      return duration && *duration % std::chrono::seconds(1) == Duration{0};
    }
    case KeyType::kBytes: return ParseByteCount(text).has_value();
    case KeyType::kEndpoint: return ParseEndpoint(text).has_value();
    case KeyType::kPath: return IsPath(text);
    case KeyType::kFolder: return IsPath(text) || IsS3Folder(text);
    case KeyType::kS3: return IsS3Folder(text);
    case KeyType::kBackups: return IsPath(text) || IsS3Folder(text) || IsRdsName(text);
    case KeyType::kUrl: return IsHostUrl(text);
    case KeyType::kDnsName: return IsDnsName(text);
    case KeyType::kNumber: return ParseNumber(text).has_value();
    case KeyType::kShare: return ParseShare(text).has_value();
    case KeyType::kText: return text.size() <= kLongestText;
    case KeyType::kChoice: {
      const auto choices = Choices(key);
      return std::find(choices.begin(), choices.end(), text) != choices.end();
    }
  }
  return false;
}

/// Not empty, and without anything that would break a line.
bool FitsALine(const std::string& text) {
  return !text.empty() && text.size() <= kLongestText &&
         std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

std::string JoinWords(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "'" : ", '") + word + "'";
  return text;
}

}  // namespace

void Problems::Add(int line, std::string message, std::string hint) {
  entries_.push_back({line, std::move(message), std::move(hint)});
}

Error Problems::ToError() const {
  std::vector<Entry> sorted = entries_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Entry& a, const Entry& b) { return a.line < b.line; });
  const auto place = [this](const Entry& entry) {
    return file_ + (entry.line > 0 ? ":" + std::to_string(entry.line) : "") + ": " + entry.message;
  };
  if (sorted.size() == 1) return Fail(place(sorted[0]), sorted[0].hint);
  std::string text;
  for (const Entry& entry : sorted) {
    text += (text.empty() ? "" : "\n") + place(entry) + (entry.hint.empty() ? "" : "\n  hint: " + entry.hint);
  }
  return Fail(std::move(text));
}

/// One pass over the YAML tree, steered by the key list: its depth is the list's, whatever the file holds.
class Document::Walk {
 public:
  Walk(Document& document, const Environment& environment, Problems& problems)
      : document_(document), environment_(environment), problems_(problems) {}

  void Top(const YAML::Node& root) { Section(root, "", LineOf(root)); }

 private:
  /// Reads the keys of a section that stands in the file, then fills in what does not.
  void Section(const YAML::Node& node, const std::string& path, int line) {
    std::map<std::string, int> seen;
    NameItem(node, path);
    for (const auto& entry : node) {
      const int key_line = LineOf(entry.first);
      if (!entry.first.IsScalar()) {
        problems_.Add(key_line, "a key is not a plain word", "write 'key: value'");
        continue;
      }
      const std::string word = entry.first.Scalar();
      const auto [earlier, is_new] = seen.emplace(word, key_line);
      if (!is_new) {
        problems_.Add(key_line, "key '" + word + "' is given twice; the first is on line " + std::to_string(earlier->second),
                      "remove one of the two");
        continue;
      }
      const Key* key = FindKey(Generic(Join(path, word)));
      if (key == nullptr || word.find_first_of(".[") != std::string::npos) {
        Unknown(path, word, key_line);
        continue;
      }
      document_.given_[Join(path, word)] = key_line;
      Read(*key, entry.second, Join(path, word), key_line);
    }
    Absent(path, line, /*section_given=*/true);
  }

  void Read(const Key& key, const YAML::Node& node, const std::string& path, int line) {
    if (node.IsNull()) {
      problems_.Add(line, document_.Label(path) + " has no value", "give it a value, or remove the line");
      if (key.type == KeyType::kSection) Absent(path, line, /*section_given=*/false);
    } else if (key.type == KeyType::kSection) {
      if (node.IsMap()) return Section(node, path, line);
      WrongShape(key, node, path, line);
      Absent(path, line, /*section_given=*/false);
    } else if (key.type == KeyType::kRegionList || key.type == KeyType::kItemList) {
      if (!node.IsSequence()) return WrongShape(key, node, path, line);
      Items(key, node, path);
    } else if (key.type == KeyType::kTextMap) {
      if (!node.IsMap()) return WrongShape(key, node, path, line);
      Pairs(key, node, path, line);
    } else if (key.type == KeyType::kUrlList || key.type == KeyType::kLabelList || key.type == KeyType::kTextList) {
      if (!node.IsSequence()) return WrongShape(key, node, path, line);
      Words(key, node, path, line);
    } else if (!node.IsScalar()) {
      WrongShape(key, node, path, line);
    } else {
      Scalar(key, node.Scalar(), path, line);
    }
  }

  void Items(const Key& key, const YAML::Node& list, const std::string& path) {
    if (list.size() > kMostItems) {
      problems_.Add(LineOf(list), document_.Label(path) + " has " + std::to_string(list.size()) + " items, more than " +
                                      std::to_string(kMostItems));
      return;
    }
    if (list.size() == 0) {
      problems_.Add(document_.Line(path), document_.Label(path) + " is empty",
                    key.type == KeyType::kRegionList ? "list at least two data regions" : "give it an item, or remove the line");
    }
    for (const auto& item : list) {
      const std::string item_path = path + "[" + std::to_string(document_.counts_[path]++) + "]";
      const int line = LineOf(item);
      document_.given_[item_path] = line;
      if (!item.IsMap()) {
        problems_.Add(line, "an item of " + document_.Label(path) + " is " + std::string(KindOf(item)) + ", not a section",
                      HowToWrite(key.type));
        continue;
      }
      Section(item, item_path, line);
    }
  }

  /// A list of scalars, kept as one value, an item a line: none holds a line break.
  void Words(const Key& key, const YAML::Node& list, const std::string& path, int line) {
    const bool urls = key.type == KeyType::kUrlList;
    const bool texts = key.type == KeyType::kTextList;
    std::string all;
    bool valid = true;
    const auto complain = [&](const YAML::Node& item, const std::string& what) {
      valid = false;
      problems_.Add(item.IsNull() ? line : LineOf(item), "an item of " + document_.Label(path) + " " + what, HowToWrite(key.type));
    };
    if (list.size() == 0) complain(list, "is missing: the list is empty");
    if (list.size() > kMostUrls) complain(list, "is one too many: there are " + std::to_string(list.size()));
    for (const auto& item : list) {
      if (!item.IsScalar()) {
        complain(item, "is " + std::string(KindOf(item)) + (urls ? ", not a URL" : ", not a name"));
        continue;
      }
      const auto expanded = ExpandEnvironment(item.Scalar(), environment_);
      if (!expanded) {
        problems_.Add(LineOf(item), document_.Label(path) + ": " + expanded.error().message, expanded.error().hint);
        valid = false;
      } else if (texts && !FitsALine(*expanded)) {
        complain(item, "must be a text of one line");
      } else if (!urls && !texts && !IsLabel(*expanded)) {
        complain(item, "must be a short name, not '" + item.Scalar().substr(0, 80) + "'");
      } else if (urls && !IsMemberUrl(*expanded)) {
        complain(item, "must be 'https://' or 'http://' with an IP address and port, not '" + item.Scalar().substr(0, 80) + "'");
      } else {
        all += (all.empty() ? "" : "\n") + *expanded;
      }
    }
    document_.values_[path] = {all, valid};
  }

  /// A section of texts under short names, kept as one value: "name<tab>text", a pair a line.
  void Pairs(const Key& key, const YAML::Node& map, const std::string& path, int line) {
    std::string all;
    bool valid = true;
    const auto complain = [&](const YAML::Node& at, const std::string& what) {
      valid = false;
      problems_.Add(LineOf(at) > 0 ? LineOf(at) : line, document_.Label(path) + " " + what, HowToWrite(key.type));
    };
    if (map.size() == 0) complain(map, "is empty");
    if (map.size() > kMostItems)
      complain(map, "has " + std::to_string(map.size()) + " entries, more than " + std::to_string(kMostItems));
    std::set<std::string> seen;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar() || !entry.second.IsScalar() || !IsLabel(entry.first.Scalar())) {
        complain(entry.first, "holds something other than 'region: text'");
        continue;
      }
      const std::string name = entry.first.Scalar();
      if (!seen.insert(name).second) complain(entry.first, "names '" + name + "' twice");
      const auto expanded = ExpandEnvironment(entry.second.Scalar(), environment_);
      if (!expanded) {
        problems_.Add(LineOf(entry.second), document_.Label(path) + ": " + expanded.error().message, expanded.error().hint);
        valid = false;
      } else if (!FitsALine(*expanded)) {
        complain(entry.second, "holds no text of one line for '" + name + "'");
      } else {
        all += (all.empty() ? "" : "\n") + name + "\t" + *expanded;
      }
    }
    document_.values_[path] = {all, valid};
  }

  void Scalar(const Key& key, const std::string& written, const std::string& path, int line) {
    const auto expanded = ExpandEnvironment(written, environment_);
    if (!expanded) {
      problems_.Add(line, document_.Label(path) + ": " + expanded.error().message, expanded.error().hint);
      return;
    }
    const bool valid = HasType(key, *expanded);
    document_.values_[path] = {*expanded, valid};
    if (valid) return;
    // The value is shown as it was written: what came from the environment may be a secret.
    const std::string shown = "'" + written.substr(0, 80) + "'" + (written == *expanded ? "" : " (after expansion)");
    if (key.type == KeyType::kChoice) {
      const auto near = NearestTo(*expanded, Choices(key));
      problems_.Add(line, document_.Label(path) + " must be one of " + JoinWords(Choices(key)) + ", not " + shown,
                    near ? "did you mean '" + *near + "'?" : "");
      return;
    }
    problems_.Add(line, document_.Label(path) + " must be " + Describe(key.type) + ", not " + shown, HowToWrite(key.type));
  }

  void WrongShape(const Key& key, const YAML::Node& node, const std::string& path, int line) {
    problems_.Add(line, document_.Label(path) + " must be " + Describe(key.type) + ", not " + KindOf(node), HowToWrite(key.type));
  }

  void Unknown(const std::string& section, const std::string& word, int line) {
    std::vector<std::string> known;
    for (const Key* key : KeysIn(Generic(section))) known.emplace_back(LastWord(key->path));
    const auto near = NearestTo(word, known);
    const auto file_key = near && near->ends_with("_file") ? std::nullopt : SecretFileKey(section, word);
    if (file_key) {
      problems_.Add(line, "key '" + word.substr(0, 80) + "' would hold a secret, and secrets never stand in this file",
                    "put the secret into a file of mode 0600 and name that file in '" + *file_key + "'");
      return;
    }
    std::string hint = near ? "did you mean '" + *near + "'?" : "known here: " + JoinWords(known);
    if (const auto elsewhere = ElsewhereInList(section, word)) hint = "'" + word + "' belongs in " + *elsewhere;
    problems_.Add(line, "unknown key '" + word.substr(0, 80) + "'", hint);
  }

  /// Reports required keys that are missing, and sets the defaults of the rest.
  void Absent(const std::string& path, int line, bool section_given) {
    for (const Key* key : KeysIn(Generic(path))) {
      const std::string key_path = Join(path, LastWord(key->path));
      if (document_.given_.count(key_path) > 0) continue;
      if (key->presence == Presence::kRequired && section_given) {
        std::string hint(key->help);
        if (!key->sample.empty()) hint = "for example '" + std::string(LastWord(key->path)) + ": " + std::string(key->sample) + "'";
        problems_.Add(line, document_.Label(key_path) + " is missing", hint);
      }
      if (!key->fallback.empty()) document_.values_[key_path] = {std::string(key->fallback), true};
      if (key->type == KeyType::kSection) Absent(key_path, line, /*section_given=*/false);
    }
  }

  /// Messages about an item call it by its name, wherever in the item that stands.
  void NameItem(const YAML::Node& node, const std::string& path) {
    if (!path.ends_with("]")) return;
    for (const auto& entry : node) {
      if (entry.first.IsScalar() && entry.first.Scalar() == "name" && entry.second.IsScalar() && IsLabel(entry.second.Scalar())) {
        document_.item_names_[path] = entry.second.Scalar();
        return;
      }
    }
  }

  Document& document_;
  const Environment& environment_;
  Problems& problems_;
};

Document Document::Read(std::string_view text, const Environment& environment, Problems& problems) {
  Document document;
  if (text.size() > kLargestFile) {
    problems.Add(0, "the file is larger than 1 MiB", "this is no lifeboat.yaml");
    return document;
  }
  const auto odd =
      std::find_if(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 && c != '\n' && c != '\r' && c != '\t'; });
  if (odd != text.end()) {
    problems.Add(static_cast<int>(std::count(text.begin(), odd, '\n')) + 1, "a control character stands in the file",
                 "this is no text file, or a damaged one");
    return document;
  }
  // SAFETY: a file that is read while it is written must not count: a path or a limit may be cut off in its middle.
  if (!text.empty() && text.back() != '\n') {
    problems.Add(static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1,
                 "the last line has no line break: the file may be half-written", "write the file whole, and end its last line");
  }
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.empty() || (documents.size() == 1 && documents[0].IsNull())) {
      problems.Add(0, "the file is empty", "start from 'examples/lifeboat.yaml'");
    } else if (documents.size() > 1) {
      problems.Add(LineOf(documents[1]), "a second YAML document begins ('---')", "one file describes one service: remove it");
    } else if (!documents[0].IsMap()) {
      problems.Add(LineOf(documents[0]), "the file is " + std::string(KindOf(documents[0])) + ", not 'key: value' lines",
                   "start from 'examples/lifeboat.yaml'");
    } else {
      Walk(document, environment, problems).Top(documents[0]);
    }
  } catch (const YAML::Exception& e) {
    problems.Add(e.mark.is_null() ? 0 : e.mark.line + 1, "not valid YAML: " + e.msg, "look at this line and the one before it");
  }
  return document;
}

std::optional<std::string> Document::Valid(const std::string& path) const {
  const auto it = values_.find(path);
  if (it == values_.end() || !it->second.valid) return std::nullopt;
  return it->second.text;
}

int Document::Line(const std::string& path) const {
  for (std::string at = path; !at.empty(); at = at.rfind('.') == std::string::npos ? "" : at.substr(0, at.rfind('.'))) {
    const auto it = given_.find(at);
    if (it != given_.end()) return it->second;
  }
  return 1;
}

std::string Document::Label(const std::string& path) const {
  const auto close = path.rfind(']');
  if (close == std::string::npos) return "'" + path + "'";
  const std::string item = ItemLabel(path.substr(0, close + 1));
  return close + 1 == path.size() ? item : "'" + path.substr(close + 2) + "' of " + item;
}

/// "check 'rows' of backup source 'nightly'".
std::string Document::ItemLabel(const std::string& item) const {
  const auto open = item.rfind('[');
  const std::string list = item.substr(0, open);
  const auto name = item_names_.find(item);
  std::string text = ItemNoun(Generic(list));
  text +=
      name != item_names_.end() ? " '" + name->second + "'" : " number " + std::to_string(std::stoul(item.substr(open + 1)) + 1);
  const auto outer = list.rfind(']');
  return outer == std::string::npos ? text : text + " of " + ItemLabel(list.substr(0, outer + 1));
}

}  // namespace lifeboat
