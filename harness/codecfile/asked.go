package codecfile

import (
	"plumbline/devices/modbus"
	"plumbline/devices/polled"
	"plumbline/devices/scpi"
)

// modbusFile describes the registers of a unit.
type modbusFile struct {
	Unit      int            `yaml:"unit"`
	Period    string         `yaml:"period,omitempty"`
	Timeout   string         `yaml:"timeout,omitempty"`
	Retries   int            `yaml:"retries,omitempty"`
	Gap       int            `yaml:"gap,omitempty"`
	Registers []registerFile `yaml:"registers"`
	Writes    []writeFile    `yaml:"writes,omitempty"`
}

type registerFile struct {
	Name    string  `yaml:"name"`
	Unit    string  `yaml:"unit,omitempty"`
	Kind    string  `yaml:"kind,omitempty"`
	Address int     `yaml:"address"`
	Type    string  `yaml:"type,omitempty"`
	Order   string  `yaml:"order,omitempty"`
	Length  int     `yaml:"length,omitempty"`
	Bit     int     `yaml:"bit,omitempty"`
	Scale   float64 `yaml:"scale,omitempty"`
	Offset  float64 `yaml:"offset,omitempty"`
}

type writeFile struct {
	Unit    int    `yaml:"unit"`
	Kind    string `yaml:"kind,omitempty"`
	Address int    `yaml:"address"`
	Value   int    `yaml:"value"`
}

func (f modbusFile) protocol(name string) (Protocol, []any, error) {
	m := modbus.Map{Name: name, Unit: f.Unit, Retries: f.Retries, Gap: f.Gap}
	var err error
	if m.Period, err = duration(f.Period); err != nil {
		return Protocol{}, []any{"modbus", "period"}, err
	}
	if m.Timeout, err = duration(f.Timeout); err != nil {
		return Protocol{}, []any{"modbus", "timeout"}, err
	}
	for _, r := range f.Registers {
		m.Registers = append(m.Registers, modbus.Register{Name: r.Name, Unit: r.Unit, Kind: modbus.Kind(r.Kind), Address: r.Address, Type: r.Type,
			Order: modbus.Order(r.Order), Length: r.Length, Bit: r.Bit, Scale: r.Scale, Offset: r.Offset})
	}
	for _, w := range f.Writes {
		m.Writes = append(m.Writes, modbus.Write{Unit: w.Unit, Kind: modbus.Kind(w.Kind), Address: w.Address, Value: w.Value})
	}
	if key, err := m.Check(); err != nil {
		return Protocol{}, []any{"modbus", key}, err
	}
	return Protocol{modbus: &m, Poll: func(baud int) (polled.Protocol, polled.Options, error) {
		master, err := modbus.NewMaster(m)
		return master, m.Options(baud), err
	}}, nil, nil
}

// scpiFile describes the questions to an instrument.
type scpiFile struct {
	Period      string      `yaml:"period,omitempty"`
	Timeout     string      `yaml:"timeout,omitempty"`
	Start       []string    `yaml:"start,omitempty"`
	CheckErrors bool        `yaml:"checkErrors,omitempty"`
	Queries     []queryFile `yaml:"queries"`
}

type queryFile struct {
	Name string `yaml:"name"`
	Unit string `yaml:"unit,omitempty"`
	Ask  string `yaml:"ask"`
}

func (f scpiFile) protocol(name string) (Protocol, []any, error) {
	i := scpi.Instrument{Label: name, Start: f.Start, CheckErrors: f.CheckErrors}
	var err error
	if i.Period, err = duration(f.Period); err != nil {
		return Protocol{}, []any{"scpi", "period"}, err
	}
	if i.Timeout, err = duration(f.Timeout); err != nil {
		return Protocol{}, []any{"scpi", "timeout"}, err
	}
	for _, q := range f.Queries {
		i.Queries = append(i.Queries, scpi.Query(q))
	}
	if key, err := i.Check(); err != nil {
		return Protocol{}, []any{"scpi", key}, err
	}
	return Protocol{scpi: &i, Poll: func(int) (polled.Protocol, polled.Options, error) {
		client, err := scpi.NewClient(i)
		return client, i.Options(), err
	}}, nil, nil
}
