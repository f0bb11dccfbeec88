// Package load makes open-loop load: a metronome that keeps a pure schedule on
// one locked thread, publishers that stamp what they write, and the measures of
// how good the equipment itself was.
//
// The schedule never waits for the system under test. What could not be written
// in its time is recorded as blocked, with its intended instant.
package load
