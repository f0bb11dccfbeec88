// Package calibrate measures the rig with its own instruments against a bridge
// of known delay, R0, which runs as a process of its own, and keeps the
// measurements of a rig on a control chart.
//
// It measures near the limits that are to be judged: the way a thread is woken
// differs with how long it slept, so a calibration at no delay says little.
package calibrate
