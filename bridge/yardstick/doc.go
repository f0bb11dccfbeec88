// Package yardstick holds benchmarks that measure bridged as a process, beside other servers in the same run: fan-out beside
// nats-server and Mosquitto, the cost of stalled viewers, and what is left after SIGKILL. They need Linux and the Debian packages nats-server and mosquitto.
//
//	go test -run '^$' -bench . -benchtime 1x -timeout 30m ./bridge/yardstick
//
// The publisher and the viewers run in processes of their own. They speak MQTT 3.1.1 and WebSocket by a few hand-made packets, the
// same for every server, and look for a mark in the payload instead of decoding messages, so that what they cost is alike for all.
package yardstick
