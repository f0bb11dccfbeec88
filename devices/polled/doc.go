// Package polled drives devices that speak only when they are asked: it sends a
// protocol's requests by a period over a line, tells the answer to each from what
// came late, twice or for somebody else, and counts what did not come.
//
// It opens no ports: the line is a serialline.Line that was opened with
// codec.Chunks, which finds the port again after an unplug, or anything like it.
package polled
