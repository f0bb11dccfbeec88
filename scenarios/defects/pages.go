package defects

// informed asks for the limit of a requirement that ci leaves out.
func informed(d Defect, limit string) Defect {
	d.Limits = map[string]string{d.Kills: limit}
	return d
}

// pages are defects that only a browser meets.
var pages = []Defect{
	{ID: "F80", Title: "stands still for 800 ms in every 2 s in the WebSockets of browsers, and of nobody else", Kills: "LAT-05", Scenario: "page", Param: "800ms/2s",
		Stimulus: "262 messages at one page"},
	{ID: "F80f", Title: "the same, seen at the frame", Kills: "LAT-06", Scenario: "page", Param: "800ms/2s",
		Stimulus: "262 frames", Limits: map[string]string{"LAT-06": "500 ms"}},
	seeded("F81", "writes what it is sent into its page as it comes", "SEC-12", "guests", "", "1 payload that is markup"),
	informed(seeded("F83", "says nothing for 6 s to a browser that is back", "REC-08", "hardships", "6s", "1 reload"), "2 s"),
	informed(seeded("F84", "has its page ask again as fast as it can while it has no network", "REC-09", "hardships", "", "1 loss of the network"), "20 connections"),
	informed(seeded("F85", "loses one message in 100 on the way to a browser, and to nobody else", "DEL-08", "page", "100", "459 messages"), "0 messages"),
	informed(seeded("F86", "looks at the expiry of a browser's cookie once, when it connects", "SEC-14", "expired", "", "1 session that ends"), "3 s"),
	seeded("F82", "takes whoever has a cookie for its own page, whatever the Origin", "SEC-13", "guests", "", "1 page of another origin"),
}
