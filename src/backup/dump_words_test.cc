#include "backup/dump_words.h"

#include <gtest/gtest.h>

#include "backup/pg_dump.h"

namespace lifeboat::backup {
namespace {

TEST(DumpWords, AnErrorOfPsqlIsCountedOnceWithItsLineAndTheServersSqlstate) {
  DumpWords words;
  words.Add(
      "1763900000.123 ERROR:  42P01: relation \"gone\" does not exist\n1763900000.123 LOCATION:  parserOpenTable, "
      "parse_relation.c:1392\n");
  words.Add("psql:<stdin>:12: ERROR:  relation \"gone\" does not exist\nLINE 1: insert into gone\n                    ^\n");
  EXPECT_EQ(words.count(), 1U);
  ASSERT_EQ(words.first().size(), 1U);
  EXPECT_EQ(words.first()[0].where, "line 12");
  EXPECT_EQ(words.first()[0].sqlstate, "42P01");
  EXPECT_EQ(FaultOfDumpError(words.first()[0]), 51);
}

TEST(DumpWords, ABadRowIsToldByItsPlaceAndNotByItsValue) {
  DumpWords words;
  words.Add("1763900000.123 ERROR:  22P02: invalid input syntax for type integer: \"secret\"\n");
  words.Add(
      "psql:<stdin>:99: ERROR:  invalid input syntax for type integer: \"secret\"\nCONTEXT:  COPY orders, line 17, column i: "
      "\"secret\"\n");
  ASSERT_EQ(words.first().size(), 1U);
  EXPECT_EQ(words.first()[0].where, "COPY orders, line 17, column i");
  EXPECT_EQ(words.first()[0].message, "invalid input syntax for type integer");
  EXPECT_EQ(words.first()[0].sqlstate, "22P02");
}

TEST(DumpWords, AnErrorOfPgRestoreHasItsEntryOfTheTableOfContents) {
  DumpWords words;
  words.Add("1763900000.123 ERROR:  23505: could not create unique index \"orders_pkey\"\n");
  words.Add(
      "pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 3200; 2606 16391 CONSTRAINT orders orders_pkey alice\n"
      "pg_restore: error: could not execute query: ERROR:  could not create unique index \"orders_pkey\"\nDETAIL:  Key (i)=(16) is "
      "duplicated.\n"
      "Command was: ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT orders_pkey PRIMARY KEY (i);\n\n\npg_restore: warning: "
      "errors ignored on restore: 1\n");
  EXPECT_EQ(words.count(), 1U);
  ASSERT_EQ(words.first().size(), 1U);
  EXPECT_EQ(words.first()[0].where, "CONSTRAINT orders orders_pkey alice");
  EXPECT_EQ(words.first()[0].sqlstate, "23505");
}

TEST(DumpWords, ToolsOwnErrorsAreCountedTooAndSayWhatTheyMean) {
  DumpWords words;
  words.Add("pg_restore: error: could not read from input file: end of file\npsql:<stdin>:3: error: invalid command \\nonsense\n");
  words.Add("pg_restore: error: could not uncompress data: incorrect data check");
  words.End();
  ASSERT_EQ(words.count(), 3U);
  EXPECT_EQ(FaultOfDumpError(words.first()[0]), 8);
  EXPECT_EQ(FaultOfDumpError(words.first()[1]), 51);
  EXPECT_EQ(FaultOfDumpError(words.first()[2]), 9);
}

TEST(DumpWords, RolesThatAreNotThereAreNoErrorsOfTheDump) {
  DumpWords words;
  words.Add("1.5 ERROR:  42704: role \"alice\" does not exist\npsql:<stdin>:5: ERROR:  role \"alice\" does not exist\n");
  words.Add("1.6 ERROR:  42704: type \"mood\" does not exist\npsql:<stdin>:6: ERROR:  type \"mood\" does not exist\n");
  words.Add("1.7 ERROR:  22023: invalid value for parameter \"default_tablespace\": \"fast\"\n");
  words.Add("psql:<stdin>:9: ERROR:  invalid value for parameter \"default_tablespace\": \"fast\"\n");
  EXPECT_EQ(words.absent_count(), 2U);
  EXPECT_EQ(words.absent(), (std::set<std::string>{"a tablespace", "role \"alice\""}));
  EXPECT_EQ(words.count(), 1U);
}

TEST(DumpWords, StatementsThatWantMoreRightsAreCounted) {
  DumpWords words;
  words.Add(
      "1.5 ERROR:  42501: permission denied to create extension \"x\"\npsql:<stdin>:5: ERROR:  permission denied to create "
      "extension \"x\"\n");
  EXPECT_EQ(words.refused_count(), 1U);
}

TEST(DumpWords, ABlockThatIsNotFoundBeforeTheEndIsADumpThatEndsTooEarly) {
  // Of a dump that is cut off either of two loaders side by side may be the first to say so, each in its own words.
  DumpWords words;
  words.Add(
      "pg_restore: error: could not read from input file: end of file\n"
      "pg_restore: error: could not find block ID 3368 in archive -- possibly corrupt archive\n");
  ASSERT_EQ(words.first().size(), 2U);
  EXPECT_EQ(FaultOfDumpError(words.first()[0]), 8);
  EXPECT_EQ(FaultOfDumpError(words.first()[1]), 8);
}

TEST(DumpWords, LinesComeInPiecesAndAMillionErrorsKeepNoMillionLines) {
  DumpWords words;
  words.Add("psql:<stdin>:1: ERR");
  words.Add("OR:  one\npsql:<stdin>:2: NOTICE:  ERROR is only a word here\n");
  for (int line = 0; line < 1000; ++line) words.Add("psql:<stdin>:7: ERROR:  again\n");
  EXPECT_EQ(words.count(), 1001U);
  EXPECT_EQ(words.first().size(), DumpWords::kMostKept);
}

TEST(ScriptHead, SaysVersionEncodingAndWhetherDatabasesFollow) {
  const ScriptHead one = ParseScriptHead(
      "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.20 (Debian 15.20-1)\n-- Dumped by pg_dump version "
      "15.20\n\n"
      "SET statement_timeout = 0;\nSET client_encoding = 'LATIN1';\n");
  EXPECT_EQ(one.server_version, "15.20 (Debian 15.20-1)");
  EXPECT_EQ(one.encoding, "LATIN1");
  EXPECT_FALSE(one.databases);
  EXPECT_TRUE(ParseScriptHead("--\n-- PostgreSQL database cluster dump\n--\n\n-- Roles\n--\n\n--\n-- Databases\n--\n").databases);
}

TEST(MajorVersion, IsOnePartFromTenOn) {
  EXPECT_EQ(MajorVersionOf("15.20 (Debian)"), "15");
  EXPECT_EQ(MajorVersionOf("9.6.24"), "9.6");
  EXPECT_EQ(MajorVersionOf("17beta1"), "17");
  EXPECT_EQ(MajorVersionOf("none"), "");
}

}  // namespace
}  // namespace lifeboat::backup
