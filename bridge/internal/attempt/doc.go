// Package attempt writes to sockets without waiting for room in them.
package attempt
