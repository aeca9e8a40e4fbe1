#include "adapters/backups/byte_stream.h"

#include <bzlib.h>
#include <fcntl.h>
#include <lz4frame.h>
#include <openssl/evp.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "adapters/backups/read_budget.h"
#include "base/check.h"

namespace lifeboat::backup {

namespace {

constexpr std::size_t kBuffer = 256U << 10;

class FileStream : public ByteStream {
 public:
  FileStream(std::filesystem::path file, std::uint64_t offset, std::optional<std::uint64_t> length)
      : file_(std::move(file)), at_(offset), left_(length) {}
  ~FileStream() override {
    if (fd_ >= 0) close(fd_);
  }
  FileStream(const FileStream&) = delete;
  FileStream& operator=(const FileStream&) = delete;

  std::optional<std::size_t> Read(std::span<char> into) override {
    if (fd_ < 0 && !Open()) return std::nullopt;
    const std::size_t room = left_ ? static_cast<std::size_t>(std::min<std::uint64_t>(*left_, into.size())) : into.size();
    if (room == 0) return 0;
    ssize_t got = 0;
    do {
      got = pread(fd_, into.data(), room, static_cast<off_t>(at_));
    } while (got < 0 && errno == EINTR);
    if (got < 0) return Fail(ReadProblem::kDevice, "'" + file_.string() + "': " + std::strerror(errno));
    if (got == 0 && left_) {
      return Fail(ReadProblem::kTruncated, "'" + file_.string() + "' ends " + std::to_string(*left_) + " bytes too early");
    }
    ReadBudget::OfProcess().Take(static_cast<std::uint64_t>(got));
    at_ += static_cast<std::uint64_t>(got);
    if (left_) *left_ -= static_cast<std::uint64_t>(got);
    return static_cast<std::size_t>(got);
  }

 private:
  bool Open() {
    fd_ = open(file_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) {
      (void)Fail(errno == ENOENT || errno == ENOTDIR ? ReadProblem::kGone : ReadProblem::kDevice,
                 "'" + file_.string() + "': " + std::strerror(errno));
      return false;
    }
    (void)posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
    return true;
  }

  std::filesystem::path file_;
  std::uint64_t at_;
  std::optional<std::uint64_t> left_;
  int fd_ = -1;
};

class TextStream : public ByteStream {
 public:
  explicit TextStream(std::string text) : text_(std::move(text)) {}
  std::optional<std::size_t> Read(std::span<char> into) override {
    const std::size_t take = std::min(into.size(), text_.size() - at_);
    std::memcpy(into.data(), text_.data() + at_, take);
    at_ += take;
    return take;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

/// What the filters share: a buffer of the inner stream's bytes.
class Filter : public ByteStream {
 public:
  explicit Filter(StreamPtr inner) : inner_(std::move(inner)), buffer_(kBuffer) {}

 protected:
  /// Refills the input when it is used up. False: failed (error is set); `ended_` tells the inner stream's end.
  bool Refill() {
    if (from_ < to_ || ended_) return true;
    const std::optional<std::size_t> got = inner_->Read(buffer_);
    if (!got) {
      (void)Pass(*inner_);
      return false;
    }
    from_ = 0;
    to_ = *got;
    ended_ = *got == 0;
    return true;
  }
  [[nodiscard]] char* Input() { return buffer_.data() + from_; }
  [[nodiscard]] std::size_t InputSize() const { return to_ - from_; }
  void Used(std::size_t bytes) { from_ += bytes; }
  [[nodiscard]] bool InputEnded() const { return ended_ && from_ == to_; }

 private:
  StreamPtr inner_;
  std::vector<char> buffer_;
  std::size_t from_ = 0;
  std::size_t to_ = 0;
  bool ended_ = false;
};

class GzipStream : public Filter {
 public:
  /// @param wrapping  16: gzip's header and end, 0: zlib's
  GzipStream(StreamPtr inner, int wrapping, bool hashed) : Filter(std::move(inner)), hashed_(hashed) {
    LIFEBOAT_CHECK(inflateInit2(&z_, 15 + wrapping) == Z_OK, "zlib does not start");
    if (hashed_) (void)inflateValidate(&z_, 0);
  }
  ~GzipStream() override { inflateEnd(&z_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  std::optional<std::size_t> Read(std::span<char> into) override {
    while (true) {
      if (!Refill()) return std::nullopt;
      if (InputEnded()) {
        if (between_) return 0;
        return Fail(ReadProblem::kTruncated, "the gzip data end too early");
      }
      if (between_ && any_) {
        if (inflateReset(&z_) != Z_OK) return Fail(ReadProblem::kDamaged, "zlib");
        if (hashed_) (void)inflateValidate(&z_, 0);
      }
      between_ = false;
      any_ = true;
      z_.next_in = reinterpret_cast<Bytef*>(Input());
      z_.avail_in = static_cast<uInt>(InputSize());
      z_.next_out = reinterpret_cast<Bytef*>(into.data());
      z_.avail_out = static_cast<uInt>(into.size());
      const int said = inflate(&z_, Z_NO_FLUSH);
      Used(InputSize() - z_.avail_in);
      if (said != Z_OK && said != Z_STREAM_END && said != Z_BUF_ERROR) {
        return Fail(ReadProblem::kDamaged, std::string("gzip: ") + (z_.msg != nullptr ? z_.msg : "the data are damaged"));
      }
      between_ = said == Z_STREAM_END;
      const std::size_t got = into.size() - z_.avail_out;
      if (got > 0) return got;
    }
  }

 private:
  z_stream z_{};
  bool hashed_;
  bool between_ = true;  ///< no member is open
  bool any_ = false;
};

class Lz4Stream : public Filter {
 public:
  Lz4Stream(StreamPtr inner, bool hashed) : Filter(std::move(inner)), hashed_(hashed) {
    LIFEBOAT_CHECK(LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION)) == 0, "lz4 does not start");
  }
  ~Lz4Stream() override { LZ4F_freeDecompressionContext(context_); }
  Lz4Stream(const Lz4Stream&) = delete;
  Lz4Stream& operator=(const Lz4Stream&) = delete;

  std::optional<std::size_t> Read(std::span<char> into) override {
    while (true) {
      if (!Refill()) return std::nullopt;
      if (InputEnded() && hint_ == 0) return 0;
      std::size_t out = into.size();
      std::size_t in = InputSize();
      LZ4F_decompressOptions_t options{};
      options.skipChecksums = hashed_ ? 1 : 0;
      const std::size_t said = LZ4F_decompress(context_, into.data(), &out, Input(), &in, &options);
      if (LZ4F_isError(said) != 0) return Fail(ReadProblem::kDamaged, std::string("lz4: ") + LZ4F_getErrorName(said));
      const bool ended = InputEnded();
      Used(in);
      hint_ = said;
      if (out > 0) return out;
      if (ended && in == 0) return Fail(ReadProblem::kTruncated, "the lz4 data end too early");
    }
  }

 private:
  LZ4F_dctx* context_ = nullptr;
  bool hashed_;
  std::size_t hint_ = 1;  ///< bytes that are wanted next; 0: a frame has ended
};

class ZstdStream : public Filter {
 public:
  explicit ZstdStream(StreamPtr inner) : Filter(std::move(inner)), context_(ZSTD_createDStream()) {
    LIFEBOAT_CHECK(context_ != nullptr, "zstd does not start");
    // Bounds what a damaged header can make us allocate; the tools that are read here stay far below.
    (void)ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, 25);
  }
  ~ZstdStream() override { ZSTD_freeDStream(context_); }
  ZstdStream(const ZstdStream&) = delete;
  ZstdStream& operator=(const ZstdStream&) = delete;

  std::optional<std::size_t> Read(std::span<char> into) override {
    while (true) {
      if (!Refill()) return std::nullopt;
      if (InputEnded() && hint_ == 0) return 0;
      ZSTD_outBuffer out{into.data(), into.size(), 0};
      ZSTD_inBuffer in{Input(), InputSize(), 0};
      const std::size_t said = ZSTD_decompressStream(context_, &out, &in);
      if (ZSTD_isError(said) != 0) return Fail(ReadProblem::kDamaged, std::string("zstd: ") + ZSTD_getErrorName(said));
      const bool ended = InputEnded();
      Used(in.pos);
      hint_ = said;
      if (out.pos > 0) return out.pos;
      if (ended && in.pos == 0) return Fail(ReadProblem::kTruncated, "the zstd data end too early");
    }
  }

 private:
  ZSTD_DStream* context_;
  std::size_t hint_ = 1;
};

class Bzip2Stream : public Filter {
 public:
  explicit Bzip2Stream(StreamPtr inner) : Filter(std::move(inner)) { Start(); }
  ~Bzip2Stream() override { BZ2_bzDecompressEnd(&z_); }
  Bzip2Stream(const Bzip2Stream&) = delete;
  Bzip2Stream& operator=(const Bzip2Stream&) = delete;

  std::optional<std::size_t> Read(std::span<char> into) override {
    while (true) {
      if (!Refill()) return std::nullopt;
      if (InputEnded()) {
        if (between_) return 0;
        return Fail(ReadProblem::kTruncated, "the bzip2 data end too early");
      }
      if (between_ && any_) {
        BZ2_bzDecompressEnd(&z_);
        Start();
      }
      between_ = false;
      any_ = true;
      z_.next_in = Input();
      z_.avail_in = static_cast<unsigned>(InputSize());
      z_.next_out = into.data();
      z_.avail_out = static_cast<unsigned>(into.size());
      const int said = BZ2_bzDecompress(&z_);
      Used(InputSize() - z_.avail_in);
      if (said != BZ_OK && said != BZ_STREAM_END) return Fail(ReadProblem::kDamaged, "bzip2: the data are damaged");
      between_ = said == BZ_STREAM_END;
      const std::size_t got = into.size() - z_.avail_out;
      if (got > 0) return got;
    }
  }

 private:
  void Start() {
    z_ = {};
    LIFEBOAT_CHECK(BZ2_bzDecompressInit(&z_, 0, 0) == BZ_OK, "bzip2 does not start");
  }
  bz_stream z_{};
  bool between_ = true;
  bool any_ = false;
};

class CbcStream : public Filter {
 public:
  CbcStream(StreamPtr inner, const Secret& pass, bool bare)
      : Filter(std::move(inner)), pass_(pass.Clone()), context_(EVP_CIPHER_CTX_new()), header_(bare ? kMagic : "") {
    LIFEBOAT_CHECK(context_ != nullptr, "OpenSSL does not start");
  }
  ~CbcStream() override { EVP_CIPHER_CTX_free(context_); }
  CbcStream(const CbcStream&) = delete;
  CbcStream& operator=(const CbcStream&) = delete;

  std::optional<std::size_t> Read(std::span<char> into) override {
    // A block may come out late: what is decrypted waits here until the caller has room.
    while (ready_from_ == ready_.size()) {
      if (done_) return 0;
      if (!Refill()) return std::nullopt;
      if (!begun_) {
        if (!TakeHeader()) return std::nullopt;
        continue;
      }
      ready_from_ = 0;
      ready_.resize(InputSize() + EVP_MAX_BLOCK_LENGTH);
      int got = 0;
      auto* out = reinterpret_cast<unsigned char*>(ready_.data());
      if (InputEnded()) {
        done_ = true;
        // Wrong padding is what a wrong key looks like, and a cut or damaged end too; the first bytes tell which, to the caller.
        if (EVP_DecryptFinal_ex(context_, out, &got) != 1)
          return Fail(ReadProblem::kKey, "it does not decrypt: a wrong key, or a damaged end");
      } else {
        const std::size_t size = InputSize();
        if (EVP_DecryptUpdate(context_, out, &got, reinterpret_cast<const unsigned char*>(Input()), static_cast<int>(size)) != 1) {
          return Fail(ReadProblem::kKey, "it does not decrypt");
        }
        Used(size);
      }
      ready_.resize(static_cast<std::size_t>(got));
    }
    const std::size_t take = std::min(into.size(), ready_.size() - ready_from_);
    std::memcpy(into.data(), ready_.data() + ready_from_, take);
    ready_from_ += take;
    return take;
  }

 private:
  /// False: failed. Gathers the 16 bytes before the first block.
  bool TakeHeader() {
    if (InputEnded()) {
      (void)Fail(ReadProblem::kTruncated, "the encrypted data end within their header");
      return false;
    }
    const std::size_t take = std::min(InputSize(), 16 - header_.size());
    header_.append(Input(), take);
    Used(take);
    if (header_.size() < 16) return true;
    if (!header_.starts_with(kMagic)) {
      (void)Fail(ReadProblem::kKey, "it is not encrypted as the repository says");
      return false;
    }
    unsigned char key[EVP_MAX_KEY_LENGTH];
    unsigned char iv[EVP_MAX_IV_LENGTH];
    const std::string& pass = pass_.Reveal();
    const bool made =
        EVP_BytesToKey(EVP_aes_256_cbc(), EVP_sha1(), reinterpret_cast<const unsigned char*>(header_.data() + 8),
                       reinterpret_cast<const unsigned char*>(pass.data()), static_cast<int>(pass.size()), 1, key, iv) > 0 &&
        EVP_DecryptInit_ex(context_, EVP_aes_256_cbc(), nullptr, key, iv) == 1;
    LIFEBOAT_CHECK(made, "OpenSSL lacks aes-256-cbc");
    begun_ = true;
    return true;
  }

  static constexpr const char* kMagic = "Salted__";
  Secret pass_;
  EVP_CIPHER_CTX* context_;
  std::string header_;
  bool begun_ = false;
  bool done_ = false;
  std::string ready_;
  std::size_t ready_from_ = 0;
};

}  // namespace

StreamPtr OpenFile(const std::filesystem::path& file) { return std::make_unique<FileStream>(file, 0, std::nullopt); }

StreamPtr OpenFilePart(const std::filesystem::path& file, std::uint64_t offset, std::uint64_t length) {
  return std::make_unique<FileStream>(file, offset, length);
}

StreamPtr OpenText(std::string text) { return std::make_unique<TextStream>(std::move(text)); }

StreamPtr InflateZlib(StreamPtr inner) { return std::make_unique<GzipStream>(std::move(inner), 0, false); }

StreamPtr Decompress(StreamPtr inner, Compression compression, bool hashed) {
  switch (compression) {
    case Compression::kNone: return inner;
    case Compression::kGzip: return std::make_unique<GzipStream>(std::move(inner), 16, hashed);
    case Compression::kLz4: return std::make_unique<Lz4Stream>(std::move(inner), hashed);
    case Compression::kZstd: return std::make_unique<ZstdStream>(std::move(inner));
    case Compression::kBzip2: return std::make_unique<Bzip2Stream>(std::move(inner));
  }
  return inner;
}

StreamPtr DecryptCbc(StreamPtr inner, const Secret& pass, bool bare) {
  return std::make_unique<CbcStream>(std::move(inner), pass, bare);
}

std::optional<std::string> ReadAll(ByteStream& stream, std::size_t limit, ReadError& error) {
  std::string all;
  while (true) {
    const std::size_t before = all.size();
    if (before > limit) {
      error = {ReadProblem::kDamaged, "it is larger than " + FormatBytes(ByteCount{limit})};
      return std::nullopt;
    }
    const std::size_t step = std::min<std::size_t>(kBuffer, limit + 1 - before);
    all.resize(before + std::max<std::size_t>(step, 1));
    const std::optional<std::size_t> got = stream.Read({all.data() + before, all.size() - before});
    if (!got) {
      error = stream.error();
      return std::nullopt;
    }
    all.resize(before + *got);
    if (*got == 0) return all;
  }
}

}  // namespace lifeboat::backup
