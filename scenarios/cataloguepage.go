package scenarios

import (
	"plumbline/harness/profile"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// page is asked of systems whose descriptor names a page of their own, or asks for one of
// the harness in its place, with a real browser. Without a browser on the machine they are INCONCLUSIVE(ENV).
var page = []profile.Known{
	timed("page", reports.Requirement{
		ID: "LAT-05", Title: "99th percentile of latency to the page", Class: reports.Conditional, Capability: sut.CapBrowser, Quantile: 0.99, MinSamples: 299, Rule: dr2,
		Measurand: "time from the intended instant of a sample (t0i) until the script of the system's own page, or of one of the harness where it has none, has it, in a visible tab (t5)",
		Text:      "The 99th percentile of the time from the intended instant of a sample until the page has it, or where it conflates a newer one, shall not exceed the limit.",
		Source:    "metrology 1.3 (dashboards: t0i to t5), 1.4, 2.6; limits of the profile", Faults: []string{"F80"},
	}),
	timed("page", reports.Requirement{
		ID: "LAT-06", Title: "99th percentile of latency to the frame", Class: reports.Optional, Capability: sut.CapBrowser, Quantile: 0.99, MinSamples: 299, Rule: dr2,
		Measurand: "time from the intended instant of a sample (t0i) to the frame after the page had it (t6, ± 1 frame)",
		Text:      "The 99th percentile of the time from the intended instant of a sample until the frame after its message shall not exceed the limit.",
		Source:    "metrology 1.3 (t6 is informative), 2.6; limits of the profile", Faults: []string{"F80"},
	}),
}

// pageWhole is asked where a page is sent every message.
var pageWhole = []profile.Known{
	counted("messages", "page", reports.Requirement{
		ID: "DEL-08", Title: "no loss at the page", Class: reports.Optional, Capability: sut.CapBrowser, MinSamples: 1000, Rule: zero,
		Measurand: "acknowledged messages that the script of the page was never given, with a slower processor and network, too",
		Text:      "Every acknowledged QoS 1 message that a page shows shall reach its script.",
		Source:    "metrology 2.4, 4 (RPO 0)", Faults: []string{"F85"},
	}),
}

// pageSession is asked where a page's session ends with a token.
var pageSession = []profile.Known{
	timed("", reports.Requirement{
		ID: "SEC-14", Title: "a page ends with its session, and says so", Class: reports.Optional, Capability: sut.CapSession, MinSamples: 1, Rule: fixed,
		Measurand: "time from the expiry of the token that a page was opened with to the last message that it was given; beside it whether the page says anything that it did not say while it was live, and whether a new sign-in brings it back",
		Text:      "A page whose session has ended shall be given nothing more within the limit, say so, and come back after a new sign-in.",
		Source:    "RFC 8725 section 3.10; metrology 4 (mid-session cut)", Faults: []string{"F86"},
	}),
}

// hardshipsAsked are about what a page goes through; figures of a table, which decide nothing.
var hardshipsAsked = []profile.Known{
	timed("", reports.Requirement{
		ID: "REC-08", Title: "the page is there again", Class: reports.Optional, Capability: sut.CapPage, MinSamples: 4, Rule: fixed,
		Measurand: "time from the end of a hardship (hidden tab, sleep, no network, a network that swallows everything, connections that died without a word, reloads) to the first message at the page that was sampled after it",
		Text:      "After its tab was hidden, asleep, without a network, cut off without a word or reloaded the page shall be given fresh data within the limit.",
		Source:    "metrology 4 (reconnect gap client); Page Lifecycle", Faults: []string{"F83"},
	}),
	counted("connections", "", reports.Requirement{
		ID: "REC-09", Title: "the page makes no storm", Class: reports.Optional, Capability: sut.CapPage, MinSamples: 4, Rule: fixed,
		Measurand: "most connections and requests that the page asked for within a second, through all hardships",
		Text:      "Whatever befalls it, the page shall ask for no more connections within a second than the limit.",
		Source:    "metrology 5 F63; attack list N78, N79", Faults: []string{"F84"},
	}),
}

// guests are asked of the page, too.
var guests = []profile.Known{
	violation("SEC-12", "the page makes no markup of what is published", sut.CapPage,
		"The system's own page shall show every payload and topic as text and run nothing of it.",
		"scripts that ran and elements that came to be of payloads and topics that are markup", "OWASP cross-site scripting; CSP level 3", "F81"),
	violation("SEC-13", "pages of other origins get nothing by the cookie", sut.CapCookie,
		"The system shall give a page of another origin no data, whatever cookies the browser sends along.",
		"messages that a page of another origin on the same host got with the cookies of the one who is signed in", "RFC 6455 section 10.2; OWASP cross-site WebSocket hijacking", "F82"),
}
