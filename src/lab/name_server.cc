#include "lab/name_server.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <vector>

#include "adapters/dns/knot_config.h"

namespace lifeboat::lab {

namespace {

Result<Secret> MakeKey() {
  std::array<unsigned char, 32> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return Fail("the kernel gives no random bytes");
  std::vector<unsigned char> text(4 * ((bytes.size() + 2) / 3) + 1);
  const int size = EVP_EncodeBlock(text.data(), bytes.data(), static_cast<int>(bytes.size()));
  return Secret(std::string(text.begin(), text.begin() + size));
}

}  // namespace

Result<Unit> WriteNameServer(const LabInfo& lab, const std::optional<RunAs>& owner) {
  const Result<Secret> key = MakeKey();
  if (!key) return key.error();
  const std::filesystem::path folder = lab.FolderOf(lab.Witness().name.text) / "knot";
  KnotSettings settings;
  settings.listen = lab.dns;
  settings.directory = folder.string();
  settings.zone = kDnsZone;
  settings.key_name = "lifeboat.";
  if (auto written = WriteOwned(folder / "knot.conf", KnotConfig(settings, *key), 0600, owner); !written) return written;
  if (auto written = WriteOwned(folder / settings.zone_file, KnotZone(settings, {}), 0600, owner); !written) return written;
  return WriteOwned(lab.KeyFile(), key->Reveal() + "\n", 0600, owner);
}

}  // namespace lifeboat::lab
