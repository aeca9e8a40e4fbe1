#pragma once

// The pictures of a report as inline SVG: the timeline of the whole run, and one bar of phases a run. Colours come from the
// page's style sheet (report_html.cc), so that light, dark and print work; nothing is told by colour alone.
// Thread rule: pure functions.

#include <string>
#include <string_view>

#include "base/json.h"

namespace lifeboat {

/// Text made safe for HTML and SVG, also inside attributes. Control characters become spaces.
[[nodiscard]] std::string EscapeHtml(std::string_view text);

/// Regions by role, clients' committed rows a second, runs, and a flag for each event, over seconds from the start.
[[nodiscard]] std::string TimelinePicture(const Json& document);

/// The phases of one run to scale, named. Empty when no phase was measured.
[[nodiscard]] std::string PhasePicture(const Json& run);

/// The style class of a phase: a name has one colour in every run.
[[nodiscard]] std::string PhaseClass(std::string_view name);

}  // namespace lifeboat
