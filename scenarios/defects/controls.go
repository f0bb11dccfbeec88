package defects

// Control is a bridge that is right and looks wrong: nothing may say FAIL.
type Control struct {
	ID       string // as flawed knows it
	Title    string
	Param    string
	Scenario []string // empty: all
	Green    []string // requirements that count; empty: all
	Loads    map[string]map[string]any
}

// asked is what the profile of the control differs in.
func (c Control) asked() asks { return asks{loads: c.Loads, named: c.Green, extend: true} }

// Controls returns the negative controls of metrology section 5.
func Controls() []Control {
	return []Control{
		{ID: none, Title: "the relay without a defect, every scenario but that of the clock; sessions that end with their token among them"},
		{ID: "C-latency", Title: "every message 70 to 90 ms late: 0.8 of the limit of LAT-01", Param: "70ms/20ms", Scenario: []string{"steady"},
			Green: []string{"LAT-01", "LAT-02", "DEL-01", "DEL-05", "DEL-06", "ORD-01"}},
		{ID: "C-cross", Title: "neighbours of different topics change places", Scenario: []string{"steady"}, Loads: steady("4 s"), Green: []string{"ORD-01", "DEL-01", "DEL-05", "DEL-06"}},
		{ID: "C-conflate", Title: "of messages of one topic within 20 ms only the newest is sent", Param: "20ms", Scenario: []string{"live"}, Green: []string{"LAT-07", "STA-02", "STA-03"}},
		{ID: "C-qos0", Title: "every 3rd message of QoS 0 is lost", Param: "3", Scenario: []string{"mixed"}, Green: []string{"ORD-03"}},
		{ID: "C-dup", Title: "every 50th message comes twice from the device, with DUP", Param: "50", Scenario: []string{"load", "client"}, Loads: cuts(3, 3, "400 ms"),
			Green: []string{"DEL-01", "DEL-02", "DEL-05", "DEL-07", "ORD-01", "ORD-02"}},
		{ID: "C-gap", Title: "one interval in 100 is declared as a gap", Param: "100", Scenario: []string{"client"}, Loads: cuts(3, 3, "400 ms"), Green: []string{"DEL-07", "DEL-05", "ORD-02"}},
	}
}
