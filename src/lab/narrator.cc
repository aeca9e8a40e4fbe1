#include "lab/narrator.h"

#include "lab/interrupt.h"

namespace lifeboat::lab {

namespace {
constexpr Duration kQuietFor = 500ms;  // what passes sooner is not worth a line
constexpr Duration kRepeatAfter = 5s;
}  // namespace

void Narrator::Line(const std::string& text) {
  std::fprintf(out_, "  %6.1f s  %s\n", Seconds(AgeAt(began_, ReadClocks())), text.c_str());
  std::fflush(out_);
}

void Narrator::Title(const std::string& text) {
  std::fprintf(out_, "\n%s\n", text.c_str());
  std::fflush(out_);
}

void Narrator::Say(const std::string& text) {
  waiting_for_.clear();
  said_ = ReadClocks();
  Line(text);
}

void Narrator::Show(const std::string& text) {
  std::fputs(text.c_str(), out_);
  if (text.empty() || text.back() != '\n') std::fputc('\n', out_);
  std::fflush(out_);
}

Patience Narrator::Waiting() {
  said_ = ReadClocks();
  waiting_for_.clear();
  return [this](const std::string& waiting_for) {
    const Instant now = ReadClocks();
    const Duration quiet = waiting_for == waiting_for_ ? kRepeatAfter : kQuietFor;
    if (!waiting_for.empty() && AgeAt(said_, now) > quiet) {
      Line("waits: " + waiting_for);
      waiting_for_ = waiting_for;
      said_ = now;
    }
    return !Interrupt::Came();
  };
}

}  // namespace lifeboat::lab
