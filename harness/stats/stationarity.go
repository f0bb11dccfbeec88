package stats

// Stationarity is the outcome of the test for drift inside a run.
type Stationarity struct {
	Tested     bool
	Stationary bool
	P          float64 // two-sided Mann–Whitney, first against last third
	Slope      float64 // Theil–Sen, per block
	SlopeLow   float64 // 95 % interval
	SlopeHigh  float64
	Drift      float64 // slope over the whole run, in the unit of the values
	Worst      int     // third with the largest quantile, 1…3
}
