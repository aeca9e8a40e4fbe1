#include "cli/version.h"

namespace lifeboat {

const char* ProgramVersion() { return LIFEBOAT_VERSION; }

}  // namespace lifeboat
