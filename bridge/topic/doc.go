// Package topic knows MQTT topic names and topic filters: which are valid, which
// topic a filter matches, and which filter contains another.
//
// It holds no state and allocates nothing on the paths that a message takes.
// The rules are those of MQTT 5.0 section 4.7, which 3.1.1 shares.
package topic
