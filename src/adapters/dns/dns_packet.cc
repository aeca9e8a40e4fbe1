#include "adapters/dns/dns_packet.h"

#include <ldns/ldns.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace lifeboat {

namespace {

constexpr std::uint16_t kFudgeSeconds = 300;  // RFC 8945 section 5.2.3
constexpr std::uint16_t kUdpSize = 1232;      // fits every path without fragments (DNS flag day 2020)
constexpr std::string_view kEpochPrefix = "epoch=";

struct PacketFree {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
using Packet = std::unique_ptr<ldns_pkt, PacketFree>;

struct NameFree {
  void operator()(ldns_rdf* name) const { ldns_rdf_deep_free(name); }
};
using Rdata = std::unique_ptr<ldns_rdf, NameFree>;

struct RecordFree {
  void operator()(ldns_rr* record) const { ldns_rr_free(record); }
};
using RecordPointer = std::unique_ptr<ldns_rr, RecordFree>;

struct TextFree {
  void operator()(void* text) const { std::free(text); }  // NOLINT: ldns hands out malloc'ed memory
};

ldns_rr_type LdnsType(RecordType type) {
  switch (type) {
    case RecordType::kA: return LDNS_RR_TYPE_A;
    case RecordType::kAaaa: return LDNS_RR_TYPE_AAAA;
    case RecordType::kTxt: return LDNS_RR_TYPE_TXT;
    case RecordType::kCname: return LDNS_RR_TYPE_CNAME;
    case RecordType::kNs: return LDNS_RR_TYPE_NS;
  }
  return LDNS_RR_TYPE_A;
}

Rdata ParseName(const std::string& name) { return Rdata(ldns_dname_new_frm_str(name.c_str())); }

Result<Bytes> ToBytes(const ldns_pkt& packet) {
  std::uint8_t* wire = nullptr;
  std::size_t size = 0;
  const ldns_status status = ldns_pkt2wire(&wire, &packet, &size);
  const std::unique_ptr<std::uint8_t, TextFree> owned(wire);
  if (status != LDNS_STATUS_OK) return Fail(std::string("a DNS packet cannot be built: ") + ldns_get_errorstr_by_id(status));
  return Bytes(wire, wire + size);
}

Packet ParsePacket(const Bytes& bytes) {
  ldns_pkt* packet = nullptr;
  if (ldns_wire2pkt(&packet, bytes.data(), bytes.size()) != LDNS_STATUS_OK) return nullptr;
  return Packet(packet);
}

/// A record without data, as prerequisites ("does not exist") and deletions are written.
RecordPointer EmptyRecord(const std::string& owner, RecordType type, ldns_rr_class rr_class) {
  Rdata name = ParseName(owner);
  if (!name) return nullptr;
  RecordPointer record(ldns_rr_new());
  ldns_rr_set_owner(record.get(), name.release());
  ldns_rr_set_type(record.get(), LdnsType(type));
  ldns_rr_set_class(record.get(), rr_class);
  ldns_rr_set_ttl(record.get(), 0);
  return record;
}

RecordPointer FullRecord(const std::string& owner, RecordType type, const std::string& value, std::chrono::seconds ttl) {
  const std::string text = owner + " " + std::to_string(ttl.count()) + " IN " + ToString(type) + " " + value;
  ldns_rr* record = nullptr;
  if (ldns_rr_new_frm_str(&record, text.c_str(), 0, nullptr, nullptr) != LDNS_STATUS_OK) return nullptr;
  RecordPointer owned(record);
  ldns_rr_set_ttl(record, static_cast<std::uint32_t>(ttl.count()));
  return owned;
}

/// Adds records to a packet and remembers whether all of them could be built.
class SectionWriter {
 public:
  SectionWriter(ldns_pkt& packet, ldns_pkt_section section) : packet_(packet), section_(section) {}
  void Add(RecordPointer record) {
    if (record == nullptr || !ldns_pkt_push_rr(&packet_, section_, record.get())) {
      complete_ = false;
      return;
    }
    static_cast<void>(record.release());  // the packet owns it now
  }
  /// RFC 2136 sections 2.4.2 and 2.4.3: the set exists with exactly these values, or does not exist.
  void Require(const std::string& owner, const RecordSet& set) {
    if (set.values.empty()) Add(EmptyRecord(owner, set.type, LDNS_RR_CLASS_NONE));
    for (const std::string& value : set.values) Add(FullRecord(owner, set.type, value, std::chrono::seconds(0)));
  }
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  ldns_pkt& packet_;
  ldns_pkt_section section_;
  bool complete_ = true;
};

std::string AlgorithmName(const TsigKey& key) { return key.algorithm + "."; }
std::string Qualified(const std::string& name) { return name.ends_with('.') ? name : name + "."; }

const char* RcodeText(int code) {
  switch (code) {
    case 0: return "NOERROR";
    case 1: return "FORMERR";
    case 2: return "SERVFAIL";
    case 3: return "NXDOMAIN";
    case 4: return "NOTIMP";
    case 5: return "REFUSED";
    case 6: return "YXDOMAIN";
    case 7: return "YXRRSET";
    case 8: return "NXRRSET";
    case 9: return "NOTAUTH";
    case 10: return "NOTZONE";
    default: return "unassigned";
  }
}

/// The packet, if it is an answer with this id and this one question.
Packet MatchingAnswer(const Bytes& bytes, std::uint16_t id, const std::string& name, ldns_rr_type type, ldns_pkt_opcode opcode) {
  Packet packet = ParsePacket(bytes);
  if (!packet || !ldns_pkt_qr(packet.get()) || ldns_pkt_id(packet.get()) != id || ldns_pkt_get_opcode(packet.get()) != opcode)
    return nullptr;
  // Some servers leave the zone section out of the answer to an update (RFC 2136 section 3.8).
  if (ldns_pkt_qdcount(packet.get()) == 0 && opcode == LDNS_PACKET_UPDATE) return packet;
  if (ldns_pkt_qdcount(packet.get()) != 1) return nullptr;
  const ldns_rr* question = ldns_rr_list_rr(ldns_pkt_question(packet.get()), 0);
  const Rdata asked = ParseName(name);
  if (!asked || question == nullptr || ldns_rr_get_type(question) != type ||
      ldns_dname_compare(ldns_rr_owner(question), asked.get()) != 0) {
    return nullptr;
  }
  return packet;
}

void ReadSignature(const ldns_pkt& packet, DnsAnswer& answer) {
  const ldns_rr* tsig = ldns_pkt_tsig(&packet);
  if (tsig == nullptr || ldns_rr_rd_count(tsig) < 6) return;
  // RFC 8945 section 4.2: algorithm, time, fudge, MAC, original id, error. The MAC begins with its own length.
  answer.is_signed = ldns_rdf_size(ldns_rr_rdf(tsig, 3)) > 2;
  answer.tsig_error = ldns_rdf2native_int16(ldns_rr_rdf(tsig, 5));
}

DnsAnswer AnswerFrom(const ldns_pkt& packet) {
  DnsAnswer answer;
  answer.rcode = static_cast<int>(ldns_pkt_get_rcode(&packet));
  answer.rcode_text = RcodeText(answer.rcode);
  answer.authoritative = ldns_pkt_aa(&packet);
  answer.truncated = ldns_pkt_tc(&packet);
  ReadSignature(packet, answer);
  return answer;
}

std::string DataText(const ldns_rr& record) {
  std::string text;
  for (std::size_t at = 0; at < ldns_rr_rd_count(&record); ++at) {
    const std::unique_ptr<char, TextFree> part(ldns_rdf2str(ldns_rr_rdf(&record, at)));
    if (!text.empty()) text += ' ';
    text += part.get();
  }
  return text;
}

bool IsBase64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return false;
  const std::size_t end = text.find_last_not_of('=');
  if (end == std::string_view::npos || text.size() - end > 3) return false;
  return std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end) + 1,
                     [](unsigned char letter) { return std::isalnum(letter) != 0 || letter == '+' || letter == '/'; });
}

Result<Unit> Sign(ldns_pkt& packet, const TsigKey& key) {
  if (Result<Unit> sound = CheckTsigKey(key); !sound) return sound;
  const ldns_status status = ldns_pkt_tsig_sign(&packet, Qualified(key.name).c_str(), key.secret.Reveal().c_str(), kFudgeSeconds,
                                                AlgorithmName(key).c_str(), nullptr);
  if (status != LDNS_STATUS_OK) {
    return Fail("TSIG key '" + key.name + "' cannot sign: " + ldns_get_errorstr_by_id(status), "check the key file");
  }
  return Done();
}

Bytes MacOf(const ldns_pkt& packet) {
  const ldns_rdf* mac = ldns_rr_rdf(ldns_pkt_tsig(&packet), 3);
  const std::uint8_t* begin = ldns_rdf_data(mac);
  return Bytes(begin, begin + ldns_rdf_size(mac));
}

}  // namespace

const char* ToString(RecordType type) {
  switch (type) {
    case RecordType::kA: return "A";
    case RecordType::kAaaa: return "AAAA";
    case RecordType::kTxt: return "TXT";
    case RecordType::kCname: return "CNAME";
    case RecordType::kNs: return "NS";
  }
  return "?";
}

std::string EpochValue(Epoch epoch) { return "\"" + std::string(kEpochPrefix) + std::to_string(epoch.number) + "\""; }

Result<std::optional<Epoch>> EpochIn(const RecordSet& texts) {
  if (texts.values.empty()) return std::optional<Epoch>();
  std::string_view text = texts.values.front();
  Epoch epoch;
  const bool quoted = text.size() > 2 && text.front() == '"' && text.back() == '"';
  if (quoted) text = text.substr(1, text.size() - 2);
  bool good = quoted && texts.values.size() == 1 && text.starts_with(kEpochPrefix);
  if (good) {
    text.remove_prefix(kEpochPrefix.size());
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), epoch.number);
    good = problem == std::errc() && end == text.data() + text.size() && !text.empty();
  }
  // SAFETY: an epoch that cannot be read may be a higher one (Dns.RefusesToTouchANameWhoseEpochItCannotRead).
  if (!good) {
    return Fail("the epoch's TXT record says '" + texts.values.front() + "'",
                "remove the record by hand once you know which region serves");
  }
  return std::optional<Epoch>(epoch);
}

Result<Unit> CheckTsigKey(const TsigKey& key) {
  const bool known = key.algorithm == "hmac-sha1" || key.algorithm == "hmac-sha256" || key.algorithm == "hmac-sha512";
  if (!known) {
    return Fail("TSIG key '" + key.name + "' has the unknown algorithm '" + key.algorithm + "'",
                "use hmac-sha256, hmac-sha512 or hmac-sha1");
  }
  if (!IsBase64(key.secret.Reveal())) {
    return Fail("the secret of TSIG key '" + key.name + "' is not base64", "the key file holds the base64 secret alone");
  }
  return Done();
}

Result<Request> BuildQuestion(const std::string& name, RecordType type, bool recursive) {
  Rdata owner = ParseName(name);
  if (!owner) return Fail("'" + name + "' is not a domain name");
  const Packet packet(
      ldns_pkt_query_new(owner.release(), LdnsType(type), LDNS_RR_CLASS_IN, static_cast<std::uint16_t>(recursive ? LDNS_RD : 0)));
  if (!packet) return Fail("a question for '" + name + "' cannot be built");
  ldns_pkt_set_random_id(packet.get());
  ldns_pkt_set_edns_udp_size(packet.get(), kUdpSize);
  Result<Bytes> bytes = ToBytes(*packet);
  if (!bytes) return bytes.error();
  return Request{ldns_pkt_id(packet.get()), std::move(bytes).value(), {}};
}

Result<Request> BuildUpdate(const UpdatePlan& plan, const TsigKey& key) {
  boost::system::error_code problem;
  const auto address = boost::asio::ip::make_address(plan.address, problem);
  if (problem) return Fail("'" + plan.address + "' is not an IP address");
  Rdata zone = ParseName(plan.zone);
  if (!zone) return Fail("'" + plan.zone + "' is not a zone's name");
  const Packet packet(ldns_pkt_query_new(zone.release(), LDNS_RR_TYPE_SOA, LDNS_RR_CLASS_IN, 0));
  if (!packet) return Fail("an update of zone '" + plan.zone + "' cannot be built");
  ldns_pkt_set_opcode(packet.get(), LDNS_PACKET_UPDATE);
  ldns_pkt_set_random_id(packet.get());
  const std::string epoch_name = EpochNameOf(plan.name);

  // SAFETY: whoever wrote after our look makes this update fail as a whole (Dns.OfTwoUpdatesFromOneReadingExactlyOneIsTaken).
  SectionWriter require(*packet, LDNS_SECTION_ANSWER);  // an update has its prerequisites there (RFC 2136 section 2)
  require.Require(epoch_name, plan.expected.texts);
  require.Require(plan.name, plan.expected.ipv4);
  require.Require(plan.name, plan.expected.ipv6);

  SectionWriter change(*packet, LDNS_SECTION_AUTHORITY);
  change.Add(EmptyRecord(plan.name, RecordType::kA, LDNS_RR_CLASS_ANY));
  change.Add(EmptyRecord(plan.name, RecordType::kAaaa, LDNS_RR_CLASS_ANY));
  change.Add(EmptyRecord(epoch_name, RecordType::kTxt, LDNS_RR_CLASS_ANY));
  change.Add(FullRecord(plan.name, address.is_v4() ? RecordType::kA : RecordType::kAaaa, plan.address, plan.ttl));
  change.Add(FullRecord(epoch_name, RecordType::kTxt, EpochValue(plan.epoch), plan.ttl));
  if (!require.complete() || !change.complete()) return Fail("an update of '" + plan.name + "' cannot be built");

  if (Result<Unit> done = Sign(*packet, key); !done) return done.error();
  Result<Bytes> bytes = ToBytes(*packet);
  if (!bytes) return bytes.error();
  return Request{ldns_pkt_id(packet.get()), std::move(bytes).value(), MacOf(*packet)};
}

std::optional<DnsAnswer> ParseAnswer(const Bytes& bytes, const Request& request, const std::string& name, RecordType type) {
  const Packet packet = MatchingAnswer(bytes, request.id, name, LdnsType(type), LDNS_PACKET_QUERY);
  if (!packet) return std::nullopt;
  DnsAnswer answer = AnswerFrom(*packet);
  answer.records.type = type;
  const Rdata owner = ParseName(name);
  const ldns_rr_list* list = ldns_pkt_answer(packet.get());
  for (std::size_t at = 0; at < ldns_rr_list_rr_count(list); ++at) {
    const ldns_rr* record = ldns_rr_list_rr(list, at);
    if (ldns_dname_compare(ldns_rr_owner(record), owner.get()) != 0) continue;
    if (ldns_rr_get_type(record) == LDNS_RR_TYPE_CNAME) answer.is_alias = true;
    if (ldns_rr_get_type(record) != LdnsType(type)) continue;
    answer.records.ttl = std::chrono::seconds(ldns_rr_ttl(record));
    answer.records.values.push_back(DataText(*record));
  }
  return answer;
}

std::optional<DnsAnswer> ParseUpdateAnswer(const Bytes& bytes, const Request& request, const std::string& zone) {
  const Packet packet = MatchingAnswer(bytes, request.id, zone, LDNS_RR_TYPE_SOA, LDNS_PACKET_UPDATE);
  if (!packet) return std::nullopt;
  return AnswerFrom(*packet);
}

bool VerifyAnswer(const Bytes& bytes, const Request& request, const TsigKey& key) {
  const Packet packet = ParsePacket(bytes);
  if (!packet || ldns_pkt_tsig(packet.get()) == nullptr || request.mac.empty()) return false;
  const Rdata mac(ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, request.mac.size(), request.mac.data()));
  return ldns_pkt_tsig_verify(packet.get(), bytes.data(), bytes.size(), Qualified(key.name).c_str(), key.secret.Reveal().c_str(),
                              mac.get());
}

}  // namespace lifeboat
