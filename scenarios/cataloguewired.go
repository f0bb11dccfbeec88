package scenarios

import (
	"plumbline/harness/profile"
	"plumbline/reports"
)

// wired is asked of what lies between the wire of a sensor and the screen, with node
// twins that know what they said.
var wired = []profile.Known{
	counted("lines", "", reports.Requirement{
		ID: "HW-01", Title: "what a wire carries is shown", Class: reports.Optional, MinSamples: 100, Rule: zero,
		Measurand: "lines that serial devices, some with clocks that drift, said whole on their wires and that passed the broker, missing, doubled or out of order at a viewer, and lines shown that no wire carried",
		Text:      "Every line that a serial device says whole shall be shown by every viewer once, in order and as that of this device.",
		Source:    "from the sensor's wire to the screen; metrology 2.4", Faults: []string{"F01"},
	}),
	counted("lines", "", reports.Requirement{
		ID: "HW-02", Title: "damaged lines are counted and not shown", Class: reports.Optional, MinSamples: 20, Rule: zero,
		Measurand: "difference between the lines damaged on the wires and those that the drivers refused, and damaged lines that a viewer showed",
		Text:      "Every line that is damaged on its wire shall be counted as such by its driver and shown by no viewer.",
		Source:    "EN 50159 (corruption); one flipped bit in each line", Faults: []string{"F77"},
	}),
	timed("", reports.Requirement{
		ID: "HW-03", Title: "a serial device is shown again", Class: reports.Optional, MinSamples: 5, Rule: fixed,
		Measurand: "longest time from the replugging of a device, the return of its power, its start after a hang or within a line, or the end of a wrong speed, to its next line at a viewer",
		Text:      "What a serial device says after it was unplugged, hung, without power, misread or started anew shall be shown by every viewer within the limit.",
		Source:    "metrology 4 (reconnect gap), from the wire on", Faults: []string{"F75"},
	}),
	counted("lines", "", reports.Requirement{
		ID: "HW-04", Title: "no harm over the seam", Class: reports.Optional, MinSamples: 100, Rule: zero,
		Measurand: "lines around such seams that passed the broker, missing, doubled or out of order at a viewer, and parts of lines or misread ones that were shown",
		Text:      "No seam in the life of a serial device shall cost, double, damage or make up a line at a viewer.",
		Source:    "EN 50159 (repetition, deletion, insertion, corruption), from the wire on", Faults: []string{"F09"},
	}),
	counted("silences", "", reports.Requirement{
		ID: "HW-05", Title: "who is silent shows nothing new", Class: reports.Optional, MinSamples: 5, Rule: zero,
		Measurand: "times in which a device could say nothing and a viewer was shown something of it as new",
		Text:      "While a serial device says nothing no viewer shall be shown a value of it as new.",
		Source:    "EN 50159 (repetition); metrology 4 (staleness of the shown value)", Faults: []string{"F76"},
	}),
	counted("lines", "", reports.Requirement{
		ID: "HW-06", Title: "a serial device is shown as itself", Class: reports.Optional, MinSamples: 50, Rule: zero,
		Measurand: "lines of serial devices that exchange the names of their ports, that are alike or that stand in another's place, missing, doubled or out of order at a viewer, and lines shown as those of another device",
		Text:      "Whatever name its port has, the lines of a serial device shall be shown by every viewer once, in order and as those of this device.",
		Source:    "EN 50159 (masquerade, insertion), from the wire on", Faults: []string{"F78"},
	}),
	counted("cases", "", reports.Requirement{
		ID: "HW-07", Title: "another device is not taken for it", Class: reports.Optional, MinSamples: 3, Rule: zero,
		Measurand: "times in which another device was in the place of a serial device and a viewer was shown something of that device as new; a driver of the bench that does not say why, or does not refuse a selector of two, leaves it open",
		Text:      "Another device in the place of a serial device shall not be taken for it: its driver says so, and nothing is shown of the device meanwhile.",
		Source:    "EN 50159 (masquerade)", Faults: []string{"F76"},
	}),
	timed("", reports.Requirement{
		ID: "HW-08", Title: "a serial device is shown after an hour of its time away", Class: reports.Optional, MinSamples: 2, Rule: fixed,
		Measurand: "longest time from the return of the cable of a device that was out for an hour of the device's time, fast-forward, to its next line at a viewer",
		Text:      "What a serial device says after an hour without its cable shall be shown by every viewer within the limit.",
		Source:    "metrology 4 (reconnect gap), from the wire on", Faults: []string{"F75"},
	}),
	counted("lines", "", reports.Requirement{
		ID: "HW-09", Title: "an hour of a device's time away leaves no trace", Class: reports.Optional, MinSamples: 50, Rule: zero,
		Measurand: "lines before and after an hour without a cable, of the device's time, missing, doubled or out of order at a viewer, lines of that hour shown, and anything shown as new meanwhile",
		Text:      "Of an hour in which a serial device had no cable nothing shall be shown, and of what it said before and after nothing be lost, doubled or made up.",
		Source:    "EN 50159 (repetition, deletion, insertion, delay), from the wire on", Faults: []string{"F09"},
	}),
}
