// Package lock keeps two programs from one device: a lock has an owner, a
// purpose and an expiry, and says them to whoever comes second.
//
// A lock is a file that its process holds by the system's own file lock, so it
// ends with the process, however that ends, at once. A process that lives but
// no longer renews its lock (stopped, hung) loses it after the expiry: who
// comes then takes over, and the old holder is told by [Lock.Lost] when it
// wakes. Every change is made under one short guard lock of the folder, so two
// cannot be granted the same.
//
// The folder must be on a local disk and the same for all who share a device.
package lock
