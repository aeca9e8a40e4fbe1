#include "adapters/dns/dns_packet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ldns/ldns.h>

#include <memory>

#include "adapters/dns/knot_config.h"

namespace lifeboat {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kZone = "lifeboat.test.";
constexpr const char* kName = "orders-db.lifeboat.test.";

TsigKey Key(const std::string& algorithm = "hmac-sha256", const std::string& secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ=") {
  return TsigKey{"lifeboat", algorithm, Secret(secret)};
}

struct PacketFree {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
using Packet = std::unique_ptr<ldns_pkt, PacketFree>;

Packet Parse(const Bytes& bytes) {
  ldns_pkt* packet = nullptr;
  EXPECT_EQ(ldns_wire2pkt(&packet, bytes.data(), bytes.size()), LDNS_STATUS_OK);
  return Packet(packet);
}

Bytes ToBytes(const ldns_pkt& packet) {
  std::uint8_t* wire = nullptr;
  std::size_t size = 0;
  EXPECT_EQ(ldns_pkt2wire(&wire, &packet, &size), LDNS_STATUS_OK);
  Bytes bytes(wire, wire + size);
  std::free(wire);
  return bytes;
}

/// "name class type ttl data" of each record in a section, in order.
std::vector<std::string> Records(const ldns_rr_list* list) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < ldns_rr_list_rr_count(list); ++at) {
    const ldns_rr* record = ldns_rr_list_rr(list, at);
    std::string line;
    char* owner = ldns_rdf2str(ldns_rr_owner(record));
    line += owner;
    std::free(owner);
    switch (ldns_rr_get_class(record)) {
      case LDNS_RR_CLASS_IN: line += " IN"; break;
      case LDNS_RR_CLASS_NONE: line += " NONE"; break;
      case LDNS_RR_CLASS_ANY: line += " ANY"; break;
      default: line += " ?"; break;
    }
    char* type = ldns_rr_type2str(ldns_rr_get_type(record));
    line += std::string(" ") + type + " " + std::to_string(ldns_rr_ttl(record));
    std::free(type);
    for (std::size_t data = 0; data < ldns_rr_rd_count(record); ++data) {
      char* text = ldns_rdf2str(ldns_rr_rdf(record, data));
      line += std::string(" ") + text;
      std::free(text);
    }
    lines.push_back(line);
  }
  return lines;
}

UpdatePlan PlanFrom(NameState expected) {
  return UpdatePlan{kZone, kName, std::move(expected), "10.0.0.2", Epoch{8}, std::chrono::seconds(1)};
}

/// An answer to `request` as a server would write it.
Packet AnswerTo(const Request& request) {
  Packet packet = Parse(request.bytes);
  ldns_pkt_set_qr(packet.get(), true);
  ldns_pkt_set_aa(packet.get(), true);
  return packet;
}

void AddRecord(ldns_pkt& packet, const char* text) {
  ldns_rr* record = nullptr;
  ASSERT_EQ(ldns_rr_new_frm_str(&record, text, 0, nullptr, nullptr), LDNS_STATUS_OK);
  ldns_pkt_push_rr(&packet, LDNS_SECTION_ANSWER, record);
}

TEST(DnsUpdate, DemandsExactlyWhatWasReadAndReplacesBothSetsAtOnce) {
  NameState read;
  read.exists = true;
  read.ipv4.values = {"10.0.0.1"};
  read.texts.values = {"\"epoch=7\""};
  const Result<Request> request = BuildUpdate(PlanFrom(read), Key());
  ASSERT_TRUE(request.ok()) << request.error().Text();
  const Packet packet = Parse(request->bytes);
  EXPECT_EQ(ldns_pkt_get_opcode(packet.get()), LDNS_PACKET_UPDATE);
  EXPECT_THAT(Records(ldns_pkt_question(packet.get())), ElementsAre(StartsWith("lifeboat.test. IN SOA")));
  EXPECT_THAT(Records(ldns_pkt_answer(packet.get())),
              ElementsAre("_lifeboat.orders-db.lifeboat.test. IN TXT 0 \"epoch=7\"", "orders-db.lifeboat.test. IN A 0 10.0.0.1",
                          "orders-db.lifeboat.test. NONE AAAA 0"));
  EXPECT_THAT(Records(ldns_pkt_authority(packet.get())),
              ElementsAre("orders-db.lifeboat.test. ANY A 0", "orders-db.lifeboat.test. ANY AAAA 0",
                          "_lifeboat.orders-db.lifeboat.test. ANY TXT 0", "orders-db.lifeboat.test. IN A 1 10.0.0.2",
                          "_lifeboat.orders-db.lifeboat.test. IN TXT 1 \"epoch=8\""));
}

TEST(DnsUpdate, DemandsThatNothingIsThereWhereNothingWasRead) {
  UpdatePlan plan = PlanFrom(NameState{});
  plan.address = "2001:db8::2";
  const Result<Request> request = BuildUpdate(plan, Key());
  ASSERT_TRUE(request.ok());
  const Packet packet = Parse(request->bytes);
  EXPECT_THAT(Records(ldns_pkt_answer(packet.get())),
              ElementsAre("_lifeboat.orders-db.lifeboat.test. NONE TXT 0", "orders-db.lifeboat.test. NONE A 0",
                          "orders-db.lifeboat.test. NONE AAAA 0"));
  EXPECT_THAT(Records(ldns_pkt_authority(packet.get())), ::testing::Contains("orders-db.lifeboat.test. IN AAAA 1 2001:db8::2"));
}

TEST(DnsUpdate, IsSignedAndTheAnswerIsHeldAgainstTheSameKeyAndRequest) {
  const Result<Request> request = BuildUpdate(PlanFrom(NameState{}), Key());
  const Result<Request> other = BuildUpdate(PlanFrom(NameState{}), Key());
  ASSERT_FALSE(request->mac.empty());
  // Given an answer that the server signed over the request's MAC.
  Packet packet(ldns_pkt_new());
  ldns_pkt_set_id(packet.get(), request->id);
  ldns_pkt_set_qr(packet.get(), true);
  ldns_pkt_set_opcode(packet.get(), LDNS_PACKET_UPDATE);
  ldns_rdf* mac = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, request->mac.size(), request->mac.data());
  ASSERT_EQ(ldns_pkt_tsig_sign(packet.get(), "lifeboat.", Key().secret.Reveal().c_str(), 300, "hmac-sha256.", mac), LDNS_STATUS_OK);
  ldns_rdf_deep_free(mac);
  const Bytes bytes = ToBytes(*packet);

  ASSERT_TRUE(ParseUpdateAnswer(bytes, *request, kZone));
  EXPECT_TRUE(ParseUpdateAnswer(bytes, *request, kZone)->is_signed);
  EXPECT_TRUE(VerifyAnswer(bytes, *request, Key()));
  EXPECT_FALSE(VerifyAnswer(bytes, *other, Key()));
  EXPECT_FALSE(VerifyAnswer(bytes, *request, Key("hmac-sha256", "b3RoZXItb3RoZXItb3RoZXI=")));
  Bytes changed = bytes;
  changed[3] = 5;  // the rcode
  EXPECT_FALSE(VerifyAnswer(changed, *request, Key()));
  // And no damage to it is taken for a signature, or breaks us.
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(VerifyAnswer(cut, *request, Key())) << size;
    static_cast<void>(ParseUpdateAnswer(cut, *request, kZone));
  }
  for (std::size_t at = 12; at < bytes.size(); ++at) {
    for (const int value : {0x00, 0x3f, 0x80, 0xc0, 0xff}) {
      changed = bytes;
      changed[at] = static_cast<std::uint8_t>(value);
      static_cast<void>(ParseUpdateAnswer(changed, *request, kZone));
      static_cast<void>(VerifyAnswer(changed, *request, Key()));
    }
  }
}

TEST(DnsUpdate, RefusesWhatCannotBeWritten) {
  UpdatePlan plan = PlanFrom(NameState{});
  plan.address = "db.example";
  EXPECT_THAT(BuildUpdate(plan, Key()).error().message, HasSubstr("'db.example' is not an IP address"));
  plan = PlanFrom(NameState{});
  EXPECT_THAT(BuildUpdate(plan, Key("hmac-md5")).error().message, HasSubstr("unknown algorithm 'hmac-md5'"));
  for (const char* secret : {"", "abc", "ab c", "====", "a===", "ab#="}) {
    const Result<Request> request = BuildUpdate(plan, Key("hmac-sha256", secret));
    ASSERT_FALSE(request.ok()) << secret;
    EXPECT_THAT(request.error().message, HasSubstr("not base64"));
  }
  plan.name = std::string(70, 'x') + ".lifeboat.test.";
  EXPECT_FALSE(BuildUpdate(plan, Key()).ok());
}

TEST(DnsQuestion, AsksWithoutRecursionAndWithARandomId) {
  const Result<Request> first = BuildQuestion(kName, RecordType::kTxt);
  const Packet packet = Parse(first->bytes);
  EXPECT_FALSE(ldns_pkt_rd(packet.get()));
  EXPECT_THAT(Records(ldns_pkt_question(packet.get())), ElementsAre(StartsWith("orders-db.lifeboat.test. IN TXT")));
  bool differ = false;
  for (int round = 0; round < 8 && !differ; ++round) differ = BuildQuestion(kName, RecordType::kTxt)->id != first->id;
  EXPECT_TRUE(differ);
  EXPECT_FALSE(BuildQuestion(std::string(70, 'x') + ".test.", RecordType::kA).ok());
}

TEST(DnsAnswer, YieldsTheRecordsOfTheNameAndTypeAsked) {
  const Result<Request> request = BuildQuestion(kName, RecordType::kA);
  const Packet packet = AnswerTo(*request);
  AddRecord(*packet, "Orders-DB.lifeboat.test. 5 IN A 10.0.0.1");
  AddRecord(*packet, "orders-db.lifeboat.test. 5 IN A 10.0.0.9");
  AddRecord(*packet, "other.lifeboat.test. 5 IN A 10.9.9.9");
  AddRecord(*packet, "orders-db.lifeboat.test. 5 IN TXT \"x\"");
  const std::optional<DnsAnswer> answer = ParseAnswer(ToBytes(*packet), *request, kName, RecordType::kA);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->authoritative);
  EXPECT_EQ(answer->rcode, rcode::kNoError);
  EXPECT_EQ(answer->records, (RecordSet{RecordType::kA, std::chrono::seconds(5), {"10.0.0.1", "10.0.0.9"}}));
}

TEST(DnsAnswer, SaysThatTheNameIsAnAlias) {
  const Result<Request> request = BuildQuestion(kName, RecordType::kA);
  const Packet packet = AnswerTo(*request);
  AddRecord(*packet, "orders-db.lifeboat.test. 5 IN CNAME elsewhere.test.");
  EXPECT_TRUE(ParseAnswer(ToBytes(*packet), *request, kName, RecordType::kA)->is_alias);
}

TEST(DnsAnswer, OfAnotherRequestIsNone) {
  const Result<Request> request = BuildQuestion(kName, RecordType::kA);
  const Bytes good = ToBytes(*AnswerTo(*request));
  ASSERT_TRUE(ParseAnswer(good, *request, kName, RecordType::kA));
  Request other = *request;
  other.id = static_cast<std::uint16_t>(request->id + 1);
  EXPECT_FALSE(ParseAnswer(good, other, kName, RecordType::kA));
  EXPECT_FALSE(ParseAnswer(good, *request, "other.lifeboat.test.", RecordType::kA));
  EXPECT_FALSE(ParseAnswer(good, *request, kName, RecordType::kTxt));
  EXPECT_FALSE(ParseAnswer(request->bytes, *request, kName, RecordType::kA)) << "our own question";
  EXPECT_FALSE(ParseUpdateAnswer(good, *request, kName));
}

TEST(DnsAnswer, CutAtAnyByteOrChangedAtAnyByteNeverBreaksUs) {
  const Result<Request> request = BuildQuestion(kName, RecordType::kTxt);
  const Packet packet = AnswerTo(*request);
  AddRecord(*packet, "orders-db.lifeboat.test. 5 IN TXT \"epoch=7\"");
  const Bytes good = ToBytes(*packet);
  for (std::size_t size = 0; size < good.size(); ++size) {
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(VerifyAnswer(cut, *request, Key()));
    const std::optional<DnsAnswer> answer = ParseAnswer(cut, *request, kName, RecordType::kTxt);
    EXPECT_FALSE(answer && !answer->records.values.empty()) << "a record out of the first " << size << " bytes";
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int value : {0x00, 0x3f, 0xc0, 0xff}) {
      Bytes changed = good;
      changed[at] = static_cast<std::uint8_t>(value);
      static_cast<void>(ParseAnswer(changed, *request, kName, RecordType::kTxt));
      EXPECT_FALSE(VerifyAnswer(changed, *request, Key()));
    }
  }
}

TEST(EpochText, IsReadBackExactlyOrNotAtAll) {
  const auto epoch_in = [](std::vector<std::string> values) { return EpochIn(RecordSet{RecordType::kTxt, {}, std::move(values)}); };
  EXPECT_EQ(*epoch_in({}), std::nullopt);
  EXPECT_EQ(*epoch_in({EpochValue(Epoch{7})}), Epoch{7});
  EXPECT_EQ(*epoch_in({"\"epoch=18446744073709551615\""}), Epoch{~0ULL});
  for (const char* text : {"\"epoch=\"", "\"epoch=7x\"", "\"epoch=-7\"", "\"epoch=18446744073709551616\"", "\"epok=7\"", "epoch=7",
                           "\"\"", "\"", "\"epoch=7\" \"more\""}) {
    EXPECT_FALSE(epoch_in({text}).ok()) << text;
  }
  EXPECT_FALSE(epoch_in({"\"epoch=7\"", "\"epoch=8\""}).ok());
}

TEST(KnotConfig, HoldsTheZoneAndTheKeyAndNeverWritesTheZoneFile) {
  KnotSettings settings;
  settings.listen = {"127.0.0.9", 5354};
  settings.directory = "/srv/knot";
  settings.zone = kZone;
  settings.key_name = "lifeboat";
  const std::string config = KnotConfig(settings, Secret("c2VjcmV0"));
  EXPECT_THAT(config, HasSubstr("listen: \"127.0.0.9@5354\""));
  EXPECT_THAT(config, HasSubstr("secret: c2VjcmV0"));
  EXPECT_THAT(config, HasSubstr("zonefile-sync: -1"));
  const std::string zone = KnotZone(settings, {{kName, "10.0.0.1", std::chrono::seconds(1), Epoch{3}}});
  EXPECT_THAT(zone, HasSubstr("orders-db.lifeboat.test. 1 IN A 10.0.0.1\n"));
  EXPECT_THAT(zone, HasSubstr("_lifeboat.orders-db.lifeboat.test. 1 IN TXT \"epoch=3\"\n"));
}

}  // namespace
}  // namespace lifeboat
