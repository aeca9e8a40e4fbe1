#pragma once

// The files of a data directory that Lifeboat itself reads or writes: the fence, the settings that it manages, the
// postmaster's lock file, and the names beside the directory that carry a rewind or a fresh copy across a crash.
//
//   <data>.settings   the local settings, set aside while pg_rewind works. While it stands the directory is half
//                     rewound and must not be started.
//   <data>.copying    a base backup under way; worthless until it is whole
//   <data>.new        a whole, synced base backup that has not taken its place yet
//   <data>.old        what the copy replaced, about to be removed
//
// Thread rule: any thread; everything may block on the disk, so it is called on a pool. Looks at /proc and at the
// postmaster's lock file do not touch the disk's platters and are called anywhere.

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/system/command.h"
#include "base/result.h"

namespace lifeboat::postgres {

/// Names and values of a configuration file, in order. Values are plain text.
using ServerSettings = std::vector<std::pair<std::string, std::string>>;

/// Settings that are Lifeboat's alone: taken out of postgresql.auto.conf, where they would win over ours.
[[nodiscard]] bool IsManagedSetting(std::string_view name);

/// "name = 'value'" lines with quotes doubled.
[[nodiscard]] std::string SettingsText(const ServerSettings& settings);
/// The text without the lines that set a managed setting.
[[nodiscard]] std::string WithoutManagedSettings(std::string_view text);

class DataDirectory {
 public:
  explicit DataDirectory(std::string path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string WalFolder() const { return path_ + "/pg_wal"; }
  /// True for something that PostgreSQL's initdb or pg_basebackup made.
  [[nodiscard]] bool IsThere() const;
  /// The user to run PostgreSQL's programs as: the directory's owner when we are root, else nothing.
  [[nodiscard]] Result<std::optional<RunAs>> Owner() const;

  // ---- processes ----

  /// All live processes that work in the directory; empty, too, when it is not there.
  [[nodiscard]] std::vector<pid_t> Processes() const;
  /// The postmaster that runs now: its lock file names it and it works in this directory.
  [[nodiscard]] std::optional<pid_t> Postmaster() const;
  /// True once postmaster `pid` says that it lets clients in. @source PostgreSQL miscadmin.h, PM_STATUS_READY
  [[nodiscard]] bool IsReady(pid_t pid) const;

  // ---- the fence ----

  [[nodiscard]] Result<bool> HasFence() const;
  [[nodiscard]] Result<Unit> PlaceFence() const;
  [[nodiscard]] Result<Unit> RemoveFence() const;

  // ---- settings ----

  /// Makes `settings` the whole of lifeboat.conf, which postgresql.conf includes at its end, and takes them out of
  /// postgresql.auto.conf. @error kFail: postgresql.conf is not in the directory
  [[nodiscard]] Result<Unit> WriteManagedSettings(const ServerSettings& settings) const;

  // ---- rewind ----

  [[nodiscard]] bool IsHalfRewound() const;
  /// Copies the local settings to <data>.settings, synced.
  [[nodiscard]] Result<Unit> SetSettingsAside() const;
  /// Copies them back, synced. <data>.settings stays.
  [[nodiscard]] Result<Unit> BringSettingsBack() const;
  /// And what else was known of a rewind.
  [[nodiscard]] Result<Unit> ForgetSettingsAside() const;
  /// Holds the folder of the ledger in which this directory's divergent WAL was saved last.
  [[nodiscard]] std::string SalvagedPath() const { return path_ + ".salvaged"; }
  /// False: there is no such folder, or nothing is in it. @error kFail: that cannot be told
  [[nodiscard]] Result<bool> HasContent() const;

  // ---- fresh copy ----

  [[nodiscard]] std::string CopyingPath() const { return path_ + ".copying"; }
  /// Makes room for a copy: removes what an earlier attempt left.
  [[nodiscard]] Result<Unit> RemoveUnfinishedCopy() const;
  /// Completes <data>.copying (local settings, fence) and puts it in the directory's place, in steps that a crash may
  /// interrupt anywhere: FinishSwap goes on. `first_settings` go in where there were no local settings.
  [[nodiscard]] Result<Unit> SwapInCopy(const ServerSettings& first_settings) const;
  /// Goes on where a crash interrupted SwapInCopy; done when there is nothing to do.
  [[nodiscard]] Result<Unit> FinishSwap() const;

 private:
  [[nodiscard]] Result<Unit> WriteOwned(const std::string& file, const std::string& content) const;
  [[nodiscard]] Result<Unit> CopySettings(const std::string& from, const std::string& to) const;

  std::string path_;
};

}  // namespace lifeboat::postgres
