package scenarios

import (
	"plumbline/harness/profile"
	"plumbline/reports"
)

// compared is asked by the profile "approaches" alone: it makes sure that what is set side by
// side does the same. The figures themselves decide nothing.
var compared = []profile.Known{
	counted("readings", "", reports.Requirement{
		ID: "APP-01", Title: "every approach shows everything", Class: reports.Optional, MinSamples: 1000, Rule: zero,
		Measurand: "readings due within the windows that a viewer was not shown, was shown twice or damaged, whatever the approach, but for those that were declared to be left out for a newer one",
		Text:      "Every approach that a system offers shall show its viewers every reading once and as it was published.",
		Source:    "what does not do the same cannot be compared; metrology 2.4",
	}),
	counted("sessions", "multitude", reports.Requirement{
		ID: "APP-02", Title: "a multitude is served", Class: reports.Optional, MinSamples: 100, Rule: zero,
		Measurand: "sessions of a crowd, held at a time, that ended or were shown nothing meanwhile",
		Text:      "Every session of as many as the descriptors of a process allow shall live and be shown what it watches.",
		Source:    "judgement: what is held and not served is no connection", // a process may open 20 000 files where this was written
	}),
}
