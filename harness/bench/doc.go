// Package bench is what a test bench has before anything is tested: the serial
// ports that are plugged in, a machine that is fit to measure, and a run
// directory that belongs to one run alone.
//
// It changes nothing on the machine; what has to be mended it says.
package bench
