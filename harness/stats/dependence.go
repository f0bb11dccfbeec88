package stats

import "time"

// Dependence is how far samples hang together, and what that costs.
type Dependence struct {
	VIF      float64       // variance inflation, at least 1
	Block    time.Duration // length of the time blocks it was taken over
	Blocks   int
	Enough   bool          // at least MinBlocks blocks
	Doubled  float64       // VIF over blocks of twice the length
	Lengthen bool          // Doubled is more than 20 % above VIF: the run is too short
	Tau      time.Duration // integrated autocorrelation time of log-latency
	Episodes int64         // runs of neighbouring samples above the guarded limit
}
