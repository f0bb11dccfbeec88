// Package exact does things at instants, within 0.1 ms on Linux: the timers of the
// runtime wake up to 1 ms late there, because its poller counts milliseconds.
//
// All tasks of a process share one thread, which lives while there is any.
package exact
