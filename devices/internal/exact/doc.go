// Package exact sleeps on the calling thread until an instant, within 0.1 ms on
// Linux: the timers of the runtime wake up to 1 ms late there.
package exact
