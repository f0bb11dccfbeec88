// Package generator puts everything that stamps a send of the harness into a
// process of its own, so that judging, viewers and recording cannot make it late:
// their garbage is not collected there and their goroutines do not run there.
//
// Start launches the generator, Open tells it what to be, and the methods of
// Generator drive it. Serve is the other side. The same protocol is spoken with
// a Serve in the own process, over pipes, when no command is given: that is for
// tests and for systems whose processes share no clock, and Report says so.
//
// On a machine of two CPUs at a load of 12 a harness that judged and recorded
// meanwhile made 1,000 messages a second late, at p99 and p99.9, by 13.1 and
// 48.3 ms from within, by 1.3 and 18.5 ms from a process of their own, in turns of
// four seconds (go test -run XXX -bench Lateness -benchtime 1x).
//
// A Team is several generators with a share of the fleet each: devices may then outnumber
// the descriptors of one process.
//
// # Protocol
//
// Package remote carries it, over the standard input and output of the process.
// The harness calls, in the words of wire.go:
//
//	open     what to be: clock, broker with its secrets, devices. Once, and first
//	clock    what the clock reads
//	connect  connect the devices
//	run      drive them for so long; cancelling ends it
//	health   the totals
//	settle   wait until everything sent is acknowledged
//	hand     connect a device that publishes when it is told to
//	line     register a topic of a hand
//	send     publish messages of a line, one right behind the other
//	waiting, counts, drop    of a hand
//	close    end everything and say how the process fared
//
// The generator casts what it records: "node" and "stream" when one is registered,
// numbered from 0 in the order of their casts, "records" (64 bytes each, as in a
// recording) and "events". It does so every 100 ms and before every answer, so
// that what an answer speaks of has been recorded when it is seen. The harness
// owns the recording and gives nodes and streams their numbers in it. What a
// generator had cast when it was killed stays in the recording, which is partial.
//
// # Life
//
// The end of its standard input ends the generator, whatever became of the
// harness. There is no death signal beside it (PR_SET_PDEATHSIG): that is tied to
// the thread that forked, and Go ends threads. A generator that ends by itself,
// falls silent or breaks the protocol is ErrDied.
package generator
