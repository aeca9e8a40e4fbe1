// Orders that meet each other, a disk that is full at the journal, and a record that somebody changed.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>

#include "support/operator_lab.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

bool Holds(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

/// No file of a process may grow beyond some size while this lives. Asked for by the process's own user, which needs no privilege.
/// @source prlimit(1), getrlimit(2) RLIMIT_FSIZE
class FullDisk {
 public:
  FullDisk(const OperatorLab& lab, pid_t pid, std::size_t bytes) : lab_(lab), pid_(pid) { Limit(std::to_string(bytes)); }
  ~FullDisk() { Limit("unlimited"); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void Limit(const std::string& soft) {
    const ProgramEnd set = lab_.Tool({"prlimit", "--pid", std::to_string(pid_), "--fsize=" + soft + ":"});
    EXPECT_EQ(set.exit_code, 0) << set.Said();
  }
  const OperatorLab& lab_;
  pid_t pid_;
};

/// Runs SQL against a file as somebody who can write to it would.
void Tamper(const fs::path& file, const std::string& sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
  sqlite3_busy_timeout(database, 5000);
  char* problem = nullptr;
  EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &problem), SQLITE_OK) << (problem ? problem : "");
  sqlite3_free(problem);
  sqlite3_close(database);
}

std::string NewestId(const OperatorLab& lab) {
  const Json all = lab.Ask({"executions", "list"});
  const Json& list = MemberAt(all, "executions");
  return list.empty() ? std::string() : TextAt(list.front(), "id");
}

std::string StateOf(const OperatorLab& lab, const std::string& id) { return TextAt(lab.Ask({"executions", "show", id}), "state"); }

TEST(Orders, ASecondExecutionIsRefusedNamingTheFirstWhichSaysWhatItWaitsFor) {
  const OperatorLab lab(LIFEBOAT_PROGRAM);
  std::string id;
  {
    // given a switchover that waits for the name server, past its point of no return
    StoppedProcess knot(lab.PidOf(kWitness, "knot"));
    const ProgramEnd begun = lab.Lifeboat({"switchover", "--to", kWest, "--no-wait"});
    ASSERT_EQ(begun.exit_code, 0) << begun.Said();
    id = NewestId(lab);
    ASSERT_TRUE(Holds(begun.out, id + " has begun")) << begun.Said();
    ASSERT_TRUE(Eventually([&] { return StateOf(lab, id) == "waiting"; }));

    // then it says what for, with the exit code of waiting
    const ProgramEnd shown = lab.Lifeboat({"executions", "show", id});
    EXPECT_EQ(shown.exit_code, 5);
    EXPECT_TRUE(Holds(shown.out, "step 'route'") && Holds(shown.out, "bring the name server back")) << shown.out;
    EXPECT_TRUE(Holds(lab.Lifeboat({"status"}).out, "bring the name server back"));

    // and every other order is refused, naming it
    for (const std::vector<std::string>& order :
         {std::vector<std::string>{"switchover", "--to", kEast}, {"rejoin", kEast}, {"failover", "--to", kWest}}) {
      const ProgramEnd second = lab.Lifeboat(order);
      EXPECT_EQ(second.exit_code, 3) << second.Said();
      EXPECT_TRUE(Holds(second.err, "switchover '" + id + "' is waiting") && Holds(second.err, "lifeboat executions show " + id))
          << second.Said();
    }
    const ProgramEnd aborted = lab.Lifeboat({"executions", "abort", id});
    EXPECT_EQ(aborted.exit_code, 3);
    EXPECT_TRUE(Holds(aborted.err, "past its point of no return")) << aborted.Said();
    EXPECT_EQ(lab.Lifeboat({"executions", "resume", id}).exit_code, 0);
  }
  // when the name server is back, it ends
  EXPECT_TRUE(Eventually([&] { return StateOf(lab, id) == "done"; })) << lab.Lifeboat({"executions", "show", id}).Said();
  EXPECT_TRUE(lab.AwaitWhole(kWest));
  const ProgramEnd late = lab.Lifeboat({"executions", "abort", id});
  EXPECT_EQ(late.exit_code, 3);
  EXPECT_TRUE(Holds(late.err, "has ended: it is done")) << late.Said();
  for (const char* verb : {"show", "resume", "abort"}) {
    const ProgramEnd unknown = lab.Lifeboat({"executions", verb, "x-1"});
    EXPECT_NE(unknown.exit_code, 0);
    EXPECT_TRUE(Holds(unknown.err, "there is no execution 'x-1'") && Holds(unknown.err, "lifeboat executions list"))
        << unknown.Said();
  }

  // Every question answers JSON that parses.
  for (const std::vector<std::string>& question : {std::vector<std::string>{"status"},
                                                   {"explain"},
                                                   {"explain", "--region", kWest},
                                                   {"check"},
                                                   {"executions", "list"},
                                                   {"executions", "show", id},
                                                   {"evidence", "verify"},
                                                   {"evidence", "list", "--region", kWest},
                                                   {"lab", "status"},
                                                   {"executions", "show", "x-1"},
                                                   {"report", "--out", (lab.info().folder / "clients" / "report").string()}}) {
    EXPECT_TRUE(lab.Ask(question).is_object()) << question.front() << ": " << lab.Lifeboat(question).Said();
  }

  // Somebody changes what was measured.
  ASSERT_TRUE(Eventually([&] {
    return Holds(lab.Lifeboat({"evidence", "verify"}).out, "us-west-2   1 record, chain whole, compared with 2 regions");
  })) << lab.Lifeboat({"evidence", "verify"}).Said();
  EXPECT_EQ(lab.Lifeboat({"evidence", "verify"}).exit_code, 0);
  const fs::path chain = lab.Folder(kWest) / "state" / "evidence.sqlite";
  ASSERT_NO_FATAL_FAILURE(Tamper(chain,
                                 "DROP TRIGGER evidence_stands; DROP TRIGGER evidence_stays; UPDATE evidence SET body = "
                                 "replace(body, '\"accept_loss\":false', '\"accept_loss\":true')"));
  const ProgramEnd changed = lab.Lifeboat({"evidence", "verify"});
  EXPECT_EQ(changed.exit_code, 1) << changed.Said();
  EXPECT_TRUE(Holds(changed.out, "record 1: ") && Holds(changed.out, "the evidence was changed")) << changed.Said();
  // Cutting off the tail leaves a chain that is whole by itself; the heads that the others hold betray it.
  ASSERT_NO_FATAL_FAILURE(Tamper(chain, "DELETE FROM evidence"));
  const ProgramEnd cut = lab.Lifeboat({"evidence", "verify"});
  EXPECT_EQ(cut.exit_code, 1) << cut.Said();
  EXPECT_TRUE(Holds(cut.out, "record 1: ") && Holds(cut.out, "the evidence was changed")) << cut.Said();
}

TEST(Orders, ADiskThatIsFullAtTheJournalRefusesAMoveBeforeItBegins) {
  const OperatorLab lab(LIFEBOAT_PROGRAM);
  const auto started = lab.Sql(kEast, "SELECT pg_postmaster_start_time()");
  {
    // given a store that cannot write: every file of its process is as long as it may be
    FullDisk disk(lab, lab.PidOf(kWitness, "agent"), 4096);
    const ProgramEnd refused = lab.Lifeboat({"switchover", "--to", kWest});
    EXPECT_TRUE(refused.exit_code == 1 || refused.exit_code == 3) << refused.Said();
    EXPECT_TRUE(Holds(refused.err, "disk")) << refused.Said();
    EXPECT_TRUE(Holds(refused.err, "free space")) << refused.Said();
    // Renewals of the lease need no disk: the primary serves on for much longer than a lease.
    EXPECT_FALSE(Eventually([&] { return lab.Sql(kEast, "SELECT pg_postmaster_start_time()") != started; }, 2500ms))
        << "the primary was stopped";
    EXPECT_EQ(lab.Sql(kEast, "SELECT pg_is_in_recovery()"), "f");
  }
  ASSERT_TRUE(lab.AwaitWhole(kEast)) << lab.Lifeboat({"status"}).Said();
  const ProgramEnd moved = lab.Lifeboat({"switchover", "--to", kWest});
  EXPECT_EQ(moved.exit_code, 0) << moved.Said();
  EXPECT_TRUE(lab.AwaitWhole(kWest)) << lab.Lifeboat({"status"}).Said();
}

}  // namespace
}  // namespace lifeboat::testing_support
