// Package external takes messages from brokers of others: Mosquitto, EMQX, HiveMQ and whatever speaks MQTT 5. Each broker is
// one [Source] with a session that the broker keeps; a message is acknowledged after the journal has it, in the order of
// arrival, so that what the bridge did not store the broker still has. The package must not know viewers.
//
// # Why the codec of paho.golang and not its client
//
// Read in v0.23.0: with manual acknowledgement the client sends PUBACKs from a ticker, every 50 ms by default, so that a broker
// with a window of 20 delivers at most 400 messages a second; it empties its list of messages to acknowledge after it has begun
// to read, so that the first messages of a resumed session may never be acknowledged and keep their places in the window for
// good; it reads without a buffer, three system calls a packet, and reserves what a packet header announces, up to 256 MiB.
// What is needed here is smaller than what would have to be mended: one goroutine that reads, stores and acknowledges.
package external
