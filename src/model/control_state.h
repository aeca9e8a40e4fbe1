#pragma once

// Beside PostgreSQL's own words for a stopped cluster's state (ControlData::cluster_state), one of ours.

namespace lifeboat {

/// A rewind of the data directory was begun and not ended: its WAL and its history are no longer its own, and pg_control names
/// neither the old state nor the new one. It is never started; what it held was saved before.
inline constexpr const char* kHalfRewound = "half rewound";

}  // namespace lifeboat
