#pragma once

namespace lifeboat {

/// "0.1.0": of the program, as CMake has it.
[[nodiscard]] const char* ProgramVersion();

}  // namespace lifeboat
