#include "adapters/backups/wal_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = 256U << 10;

/// What PostgreSQL may ask for: a segment, or a history.
bool IsName(const std::string& name) {
  const ArchiveName parsed = ParseArchiveName(name);
  return parsed.kind == ArchiveFileKind::kSegment || parsed.kind == ArchiveFileKind::kHistory;
}

std::string Script(const fs::path& tool) {
  const std::string folder = tool.string();
  return "#!/bin/sh\n# Asks for a segment by its name, and moves it to where PostgreSQL wants it.\nprintf '%s\\n' \"$1\" >'" +
         folder + "/ask' || exit 1\nread -r word <'" + folder + "/answer' || exit 1\n[ \"$word\" = yes ] && exec mv '" + folder +
         "/segment' \"$2\"\nexit 1\n";
}

}  // namespace

Result<std::unique_ptr<WalServer>> WalServer::Start(Sandbox& sandbox, Source& source, std::vector<const Archive*> archives) {
  std::unique_ptr<WalServer> server(new WalServer(sandbox, source, std::move(archives)));
  const fs::path tool = sandbox.tool();
  if (const Result<Unit> written = sandbox.Write(tool / "fetch", Script(tool)); !written) return written.error();
  for (const auto& [name, descriptor] : {std::pair("ask", &server->ask_), std::pair("answer", &server->answer_)}) {
    const fs::path path = tool / name;
    if (mkfifo(path.c_str(), 0600) != 0) return Fail("cannot make '" + path.string() + "'");
    if (const Result<Unit> given = sandbox.Give(path); !given) return given.error();
    // For both directions: opening does not wait for the other side, and there is no end of file between two askers.
    *descriptor = Descriptor(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!descriptor->ok()) return Fail("cannot open '" + path.string() + "'");
  }
  server->command_ = "/bin/sh " + (tool / "fetch").string() + " %f %p";
  server->thread_ = std::jthread([at = server.get()] { at->Serve(); });
  return server;
}

WalServer::~WalServer() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

std::string WalServer::last_asked() const {
  const std::lock_guard lock(mutex_);
  return last_asked_;
}

std::vector<std::string> WalServer::unreadable() const {
  const std::lock_guard lock(mutex_);
  return unreadable_;
}

void WalServer::Serve() {
  std::string asked;
  while (!stop_) {
    pollfd at{ask_.number(), POLLIN, 0};
    if (poll(&at, 1, 20) <= 0) continue;
    char text[256];
    const ssize_t got = read(ask_.number(), text, sizeof text);
    if (got <= 0) continue;
    asked.append(text, static_cast<std::size_t>(got));
    for (std::size_t end = asked.find('\n'); end != std::string::npos; end = asked.find('\n')) {
      const std::string name = asked.substr(0, end);
      asked.erase(0, end + 1);
      const std::string_view answer = HandOut(name) ? "yes\n" : "no\n";
      if (write(answer_.number(), answer.data(), answer.size()) < 0) return;
    }
    if (asked.size() > sizeof text) asked.clear();
  }
}

std::optional<std::string> WalServer::HistoryText(const std::string& name) const {
  Timeline timeline = 0;
  (void)std::from_chars(name.data(), name.data() + 8, timeline, 16);
  for (const Archive* archive : archives_) {
    const auto history = archive->histories.find(timeline);
    if (history == archive->histories.end()) continue;
    std::string text;
    for (const TimelineFork& fork : history->second)
      text += std::to_string(fork.timeline) + "\t" + fork.at.Text() + "\tfrom the archive\n";
    return text;
  }
  return std::nullopt;
}

bool WalServer::HandOut(const std::string& name) {
  if (!IsName(name)) return false;
  if (name.ends_with(".history")) {
    const std::optional<std::string> text = HistoryText(name);
    return text && sandbox_.Write(sandbox_.tool() / "segment", *text).ok();
  }
  {
    const std::lock_guard lock(mutex_);
    last_asked_ = name;
  }
  for (const Archive* archive : archives_) {
    const std::optional<WalPlace> place = ParseSegmentName(name, archive->segment_bytes != 0 ? archive->segment_bytes : 16U << 20U);
    if (!place) continue;
    const auto found = std::lower_bound(archive->wal.begin(), archive->wal.end(), *place,
                                        [](const WalFile& file, const WalPlace& at) { return file.place < at; });
    if (found == archive->wal.end() || found->place != *place) continue;
    if (Copy(*found)) {
      ++handed_out_;
      return true;
    }
  }
  return false;
}

bool WalServer::Copy(const WalFile& file) {
  const fs::path to = sandbox_.tool() / "segment";
  std::error_code ignored;
  fs::remove(to, ignored);
  const Descriptor out(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  const StreamPtr stream = source_.OpenWal(file);
  std::vector<char> block(kBlock);
  const auto failed = [&](const std::string& why) {
    const std::lock_guard lock(mutex_);
    unreadable_.push_back(file.name + ": " + why);
    return false;
  };
  if (!out.ok()) return failed("the sandbox cannot be written to");
  while (true) {
    const std::optional<std::size_t> got = stream->Read(block);
    if (!got) return failed(stream->error().message);
    if (*got == 0) break;
    if (write(out.number(), block.data(), *got) != static_cast<ssize_t>(*got)) return failed("the sandbox cannot be written to");
  }
  return sandbox_.Give(to).ok();
}

}  // namespace lifeboat::backup
