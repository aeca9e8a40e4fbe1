#pragma once

// A dump of pg_dump or pg_dumpall, loaded into a fresh cluster of a sandbox: initdb of the dump's major version, the server, roles
// and tablespaces (where pg_dumpall's file lies beside it), then pg_restore (custom, directory, tar) or psql (scripts). What fails
// is counted, statement by statement, and the load goes on, as it does in a real restore.
//
// SAFETY: SQL that somebody else wrote runs in the sandbox alone, whose server starts no program and reaches nobody. Custom and
// directory dumps run as a role that owns the one database and has no other right, unless their table of contents holds what only a
// superuser can make; scripts name owners, roles and databases, and run as the sandbox's superuser.
// Thread rule: the sandbox's thread; a script is fed by a thread of its own, which ends with the call.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "adapters/backups/folder.h"
#include "adapters/backups/restore.h"
#include "adapters/backups/sandbox.h"
#include "adapters/backups/session.h"
#include "backup/dump_words.h"
#include "backup/pg_dump.h"

namespace lifeboat::backup {

struct DumpPlace {
  std::string label;
  std::string kind;               ///< SetInfo::kind
  std::filesystem::path path;     ///< file or folder
  std::filesystem::path globals;  ///< a file of pg_dumpall beside it; "": there is none
  std::string database;           ///< that a script without a name of its own goes into; "": postgres
  std::string version;            ///< of a dump beside it: for one that states none; "": none does
};

/// Something that keeps it from being restored, or from being restored whole.
struct DumpTrouble {
  int fault = 51;
  std::string object;
  std::string position;
  std::string what;
  std::string todo;  ///< "": the fault's own
  std::uint64_t count = 1;
  bool note = false;
};

/// Whether a file of pg_dumpall holds no database (--globals-only).
[[nodiscard]] bool HoldsRolesAlone(const Folder& in, const std::filesystem::path& file);

class DumpLoader {
 public:
  /// Superuser of the cluster that is made: a name that no dump brings along.
  static constexpr const char* kSuperuser = "lifeboat_sandbox";

  DumpLoader(Sandbox& sandbox, const RestoreOptions& options, DumpPlace place)
      : sandbox_(sandbox), options_(options), place_(std::move(place)) {}

  /// Reads what the dump says of itself, makes the cluster and starts it. False: it cannot be tried, and `troubles` says why.
  /// @error kRetry: cancelled; kRefused: the room ran out; kFail: the sandbox's own trouble
  [[nodiscard]] Result<bool> Prepare();
  /// Loads it. False: nothing answers afterwards. @error as Prepare
  [[nodiscard]] Result<bool> Load(const std::function<void(std::uint64_t)>& on_bytes);

  [[nodiscard]] const std::vector<DumpTrouble>& troubles() const { return troubles_; }
  [[nodiscard]] const std::string& database() const { return database_; }
  [[nodiscard]] const std::filesystem::path& bin() const { return bin_; }
  /// Of a try with too few rights: no real restore would take it.
  [[nodiscard]] Duration wasted() const { return wasted_; }
  /// {"by", "as", "database", "globals", "errors", "absent_names", "first_errors"}
  [[nodiscard]] Json ToJson() const;

 private:
  [[nodiscard]] bool IsArchive() const {
    return place_.kind == "pg_dump custom" || place_.kind == "pg_dump directory" || place_.kind == "pg_dump tar";
  }
  [[nodiscard]] bool LookAtArchive();
  [[nodiscard]] bool LookAtScript(const std::filesystem::path& file, ScriptHead& head);
  [[nodiscard]] Result<bool> MakeReadable();
  [[nodiscard]] Result<Unit> CopyIn(const std::filesystem::path& from, const std::filesystem::path& to);
  [[nodiscard]] Result<bool> MakeCluster();
  [[nodiscard]] Result<bool> StartServer();
  [[nodiscard]] Result<Session> AsSuperuser() const;
  [[nodiscard]] Result<Unit> Ask(const std::string& sql);
  [[nodiscard]] Result<Unit> MakeDatabase(const std::string& owner);
  [[nodiscard]] std::string WhyASuperuser();
  [[nodiscard]] Result<Unit> LoadArchive(const std::string& role);
  [[nodiscard]] Result<bool> LoadAsOwner();
  [[nodiscard]] Result<bool> LoadScript(const std::filesystem::path& file, const std::string& database,
                                        const std::function<void(std::uint64_t)>& on_bytes);
  void NoteAbsentOwners();
  void Conclude();
  void Trouble(int fault, std::string object, std::string what, std::string todo = {});

  Sandbox& sandbox_;
  const RestoreOptions& options_;
  DumpPlace place_;
  DumpContents contents_;
  bool whole_cluster_ = false;  ///< a script of pg_dumpall with its databases
  std::string encoding_;
  std::string database_ = "postgres";
  std::filesystem::path bin_;
  std::filesystem::path readable_;  ///< the dump, where the sandbox's user can read it
  DumpWords words_;
  int archive_code_ = 0;  ///< of the last pg_restore
  DumpWords globals_words_;
  std::string as_;
  std::string why_superuser_;
  std::vector<DumpTrouble> troubles_;
  Duration wasted_{0};
};

}  // namespace lifeboat::backup
