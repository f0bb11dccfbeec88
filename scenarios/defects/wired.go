package defects

// fleetOfWires is a load of as many lines as the limit of HW-01 asks for, within
// three seconds of noise.
var fleetOfWires = load("wires", "devices", 20, "rate", "500 /s", "viewers", 4, "window", "3 s", "drain", "5 s")

// manySeams is a load whose seams, lines and viewers come to as many samples as
// the limits of HW-03 to HW-05 ask for. Its devices are silent for long enough to
// be taken for gone.
var manySeams = load("seams", "devices", 10, "rate", "400 /s", "viewers", 8, "cycles", 4, "hold", "600 ms", "drain", "5 s")

// The limits of what serial devices bring out, which ci leaves out. Those of one
// scenario are judged together: one trial without a defect stands beside them all.
var (
	limitsOfWires = map[string]string{"HW-01": "0 lines", "HW-02": "0 lines"}
	limitsOfSeams = map[string]string{"HW-03": "5 s", "HW-04": "0 lines", "HW-05": "0 silences"}
)

// onWires is a defect among many wires, overSeams one that shows when something
// befalls a device.
func onWires(id, fault, title, kills, param, stimulus string) Defect {
	return Defect{
		ID: id, Fault: fault, Title: title, Kills: kills, Scenario: "wires", Param: param, Stimulus: stimulus,
		Loads: fleetOfWires, Limits: limitsOfWires,
	}
}

func overSeams(id, fault, title, kills, param, stimulus string) Defect {
	return Defect{
		ID: id, Fault: fault, Title: title, Kills: kills, Scenario: "seams", Param: param, Stimulus: stimulus,
		Loads: manySeams, Limits: limitsOfSeams,
	}
}

// exchanges is a load in which each of four devices is replaced once, and cables
// one in which all are pulled. Devices are silent for long enough in both.
var (
	exchanges = load("identity", "viewers", 2, "rate", "125 /s", "cycles", 4, "hold", "600 ms", "drain", "5 s")
	cables    = load("cable", "devices", 5, "rate", "50 /s", "viewers", 2, "hold", "600 ms", "drain", "5 s")
)

func inExchange(id, fault, title, kills, param, stimulus string) Defect {
	return Defect{
		ID: id, Fault: fault, Title: title, Kills: kills, Scenario: "identity", Param: param, Stimulus: stimulus,
		Loads: exchanges, Limits: map[string]string{"HW-06": "0 lines", "HW-07": "0 cases"},
	}
}

func onCables(id, fault, title, kills, param, stimulus string) Defect {
	return Defect{
		ID: id, Fault: fault, Title: title, Kills: kills, Scenario: "cable", Param: param, Stimulus: stimulus,
		Loads: cables, Limits: map[string]string{"HW-08": "5 s", "HW-09": "0 lines"},
	}
}

// wired are defects between the wire of a sensor and the screen.
var wired = []Defect{
	onWires("F01h", "F01", "drops a line in 200 at random", "HW-01", "200", "920 lines"),
	onWires("F77", "", "flips a bit in the serial number of a line in 200", "HW-02", "200", "920 lines"),
	overSeams("F75", "", "shows nothing more of a device that was silent for 400 ms", "HW-03", "400ms", "1 seam"),
	overSeams("F09h", "F09", "shows a line in 100 twice", "HW-04", "100", "460 lines"),
	overSeams("F76", "", "shows the last value of a device again that was silent for 300 ms", "HW-05", "300ms", "1 seam"),
	inExchange("F78", "", "shows two devices that were silent for 400 ms each under the name of the other", "HW-06", "400ms", "2 devices that come back"),
	inExchange("F76i", "F76", "shows the last value of a device again in whose place another one is", "HW-07", "300ms", "1 replacement"),
	onCables("F75c", "F75", "shows nothing more of a device that was out for an hour", "HW-08", "400ms", "1 cable"),
	onCables("F09c", "F09", "shows a line in 10 twice", "HW-09", "10", "44 lines"),
}

// inLoop is a defect on the way from a device's sensor to the screen or from there
// to its actuator: eight nodes, at each of which so many values are set.
func inLoop(id, fault, title, kills, param, stimulus string, cycles int) Defect {
	return Defect{
		ID: id, Fault: fault, Title: title, Kills: kills, Scenario: "loop", Param: param, Stimulus: stimulus, Nodes: 8,
		Loads: load("loop", "cycles", cycles, "viewers", 1, "drain", "5 s"),
	}
}

// looped are defects with hardware in the loop. Quantiles take ten blocks of a second,
// and a correct system is through with 40 values in three. A value that was shown is
// followed by the next: by a flush that comes in step with that each waits for nearly
// all of its time.
var looped = []Defect{
	inLoop("F20h", "F20", "flushes every 400 ms in place of 50, with nodes in the loop", "HIL-01", "400ms", "100 stimuli in 11 s", 160),
	inLoop("F24h", "F24", "delays 3 lines in 100 by 1.5 s, and what follows of that device behind it", "HIL-02", "0.03/1500ms", "299 stimuli in 11 s", 160),
	inLoop("F79", "", "confirms every fifth command of a viewer and swallows it", "HIL-03", "5", "5 commands", 40),
}
