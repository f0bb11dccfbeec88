package ws

import "plumbline/harness/conform"

func always(id, section, text, empty string) conform.Standing {
	return conform.Standing{Rule: conform.Rule{ID: "WS-" + id, Section: section, Level: conform.Must, Text: text}, Empty: empty}
}

// standing are the rules that hold for every frame of a server in every case.
var standing = []conform.Standing{
	always("5.1-2", "5.1", "A server shall not mask any frame that it sends.", "the server sent no frame"),
	always("5.2-9", "5.2", "A server shall send no frame with a reserved opcode.", "the server sent no frame"),
	always("5.2-10", "5.2", "A server shall set no RSV bit that no negotiated extension defines.", "the server sent no frame"),
	always("5.2-11", "5.2", "A server shall encode each length in as few bytes as possible.", "the server sent no frame"),
	always("5.4-9", "5.4", "A server shall neither interleave its messages nor continue one that it did not begin.", "the server sent no data"),
	always("5.5-3", "5.5", "A server shall send control frames whole and with at most 125 bytes.", "the server sent no control frame"),
	always("5.5.1-7", "5.5.1", "A server shall send no frame after its close frame.", "the server sent no frame"),
	always("5.6-1", "5.6", "A server shall send text that is UTF-8.", "the server sent no text"),
	always("7.4-1", "7.4", "A server shall send close codes that may stand in a close frame, and reasons that are UTF-8.", "the server sent no close frame"),
	always("7692-6.1-2", "RFC 7692 6.1", "A compressed message of a server shall inflate.", "the server sent no compressed message"),
}
