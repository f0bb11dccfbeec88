// Package stats decides with statistics instead of luck. It holds the exact
// bounds, the variance inflation of dependent samples and the decision rule
// DR-2; everything is a pure function of its arguments.
//
// Values are in any one unit, +Inf stands for a message that never came, times
// are nanoseconds on the clock of the run.
package stats
