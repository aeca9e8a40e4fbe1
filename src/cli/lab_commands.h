#pragma once

// lifeboat lab and lifeboat demo: their options, and their words on the terminal.

#include <CLI/CLI.hpp>

namespace lifeboat {

/// Adds `lab` and `demo`; the chosen one leaves its exit code in `exit_code`.
void AddLabCommands(CLI::App& app, int& exit_code);

}  // namespace lifeboat
