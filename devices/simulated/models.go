package simulated

import (
	"math"
	"time"

	"plumbline/devices"
)

// turns is 2π times how often the period fits into t.
func turns(t, period float64) float64 { return 2 * math.Pi * math.Mod(t/period, 1) }

// climate is a room: a daily wave, the thermostat's saw, slow drift and the
// noise of a sensor with a resolution of 0.01 degrees (SHT3x class).
type climate struct {
	seed                               uint64
	mean, swing, dayPhase, cycle, ripp float64
	humidity                           float64
}

func newClimate(seed uint64) climate {
	d := newDraws(seed)
	return climate{seed: seed, mean: d.between(18, 24), swing: d.between(0.5, 3), dayPhase: d.between(0, 86400),
		cycle: d.between(600, 1800), ripp: d.between(0.1, 0.4), humidity: d.between(35, 60)}
}

func (c climate) values(seq uint64, due time.Duration) []devices.Value {
	t := due.Seconds()
	celsius := c.mean + c.swing*math.Sin(turns(t+c.dayPhase, 86400)) +
		c.ripp*math.Asin(math.Sin(turns(t, c.cycle))) + 0.2*drift(c.seed, 1, due, 5*time.Minute) + 0.02*noise(c.seed, seq, 2)
	// Warmer air of the same moisture is relatively drier: about 3 % a degree.
	humidity := c.humidity - 3*(celsius-c.mean) + drift(c.seed, 3, due, 10*time.Minute) + 0.1*noise(c.seed, seq, 4)
	return []devices.Value{
		value("temperature", "Cel", round(celsius, 2)),
		value("humidity", "%", round(min(max(humidity, 0), 100), 1)),
	}
}

// motor is a rotating machine: speed wanders under load, vibration grows with
// the square of the speed and with wear, and shocks come now and then.
type motor struct {
	seed            uint64
	hertz, rms, gap float64
}

func newMotor(seed uint64) motor {
	d := newDraws(seed)
	return motor{seed: seed, hertz: d.between(24, 50), rms: d.between(0.6, 2.5), gap: d.between(20, 90)}
}

func (m motor) values(seq uint64, due time.Duration) []devices.Value {
	t := due.Seconds()
	hertz := m.hertz * (1 + 0.01*drift(m.seed, 1, due, 3*time.Second))
	wear := 1 + t/(30*86400) // doubles in a month
	speed := hertz / m.hertz
	rms := m.rms * wear * speed * speed * (1 + 0.03*noise(m.seed, seq, 2))
	crest := 3 + 0.2*noise(m.seed, seq, 3)
	if math.Mod(t, m.gap) < 0.2 { // a shock rings for 0.2 s
		crest += 4
	}
	return []devices.Value{
		value("rms", "m/s2", round(rms, 3)),
		value("peak", "m/s2", round(rms*crest, 3)),
		value("frequency", "Hz", round(hertz, 2)),
	}
}

// course is a drive round a closed curve (two sines of different periods) near
// a starting point, with the slow wander of a fix and the speed and direction
// that follow from the curve's derivative.
type course struct {
	seed                               uint64
	lat, lon, north, east, lap, height float64
}

func newCourse(seed uint64) course {
	d := newDraws(seed)
	return course{seed: seed, lat: d.between(-60, 60), lon: d.between(-179, 179), north: d.between(150, 900),
		east: d.between(150, 900), lap: d.between(240, 900), height: d.between(5, 900)}
}

const metresPerDegree = 111_320 // of latitude, mean radius

func (c course) values(seq uint64, due time.Duration) []devices.Value {
	a := turns(due.Seconds(), c.lap)
	rate := 2 * math.Pi / c.lap
	// x east and y north of the start in metres, and their derivatives.
	x, y := c.east*math.Sin(a), c.north*math.Sin(2*a)
	vx, vy := c.east*rate*math.Cos(a), 2*c.north*rate*math.Cos(2*a)
	x += 1.5*drift(c.seed, 1, due, 30*time.Second) + 0.1*noise(c.seed, seq, 2)
	y += 1.5*drift(c.seed, 3, due, 30*time.Second) + 0.1*noise(c.seed, seq, 4)
	lat := c.lat + y/metresPerDegree
	lon := c.lon + x/(metresPerDegree*math.Cos(c.lat*math.Pi/180))
	heading := math.Mod(math.Atan2(vx, vy)*180/math.Pi+360, 360)
	return []devices.Value{
		value("lat", "deg", round(lat, 7)),
		value("lon", "deg", round(lon, 7)),
		value("altitude", "m", round(c.height+2*drift(c.seed, 5, due, time.Minute), 1)),
		value("speed", "m/s", round(math.Hypot(vx, vy), 2)),
		value("course", "deg", round(heading, 1)),
		value("satellites", "", 9+math.Round(drift(c.seed, 6, due, 2*time.Minute))),
	}
}

// meter is a household's meter: a base load, a daily wave and two appliances
// that switch on and off. Energy is the exact integral of the power without
// noise, so it never falls.
type meter struct {
	seed       uint64
	base, wave float64
	phase      float64
	appliances [2]appliance
	start      float64 // register at the epoch, kWh
}

// appliance draws watts for the first on seconds of each period.
type appliance struct{ watts, period, on, offset float64 }

func newMeter(seed uint64) meter {
	d := newDraws(seed)
	m := meter{seed: seed, base: d.between(120, 400), wave: d.between(20, 100), phase: d.between(0, 86400), start: math.Floor(d.between(1000, 30000))}
	for i := range m.appliances {
		period := d.between(40, 400)
		m.appliances[i] = appliance{watts: d.between(60, 2200), period: period, on: period * d.between(0.2, 0.7), offset: d.between(0, period)}
	}
	return m
}

// power is the draw at t, energy its integral from 0 to t in joules.
func (m meter) power(t float64) float64 {
	p := m.base + m.wave*math.Sin(turns(t+m.phase, 86400))
	for _, a := range m.appliances {
		if math.Mod(t+a.offset, a.period) < a.on {
			p += a.watts
		}
	}
	return p
}

func (m meter) energy(t float64) float64 {
	day := 86400 / (2 * math.Pi)
	e := m.base*t + m.wave*day*(math.Cos(m.phase/day)-math.Cos((t+m.phase)/day))
	for _, a := range m.appliances {
		e += a.watts * (a.onUntil(t+a.offset) - a.onUntil(a.offset))
	}
	return e
}

// onUntil is how long the appliance was on from 0 to t of its own time.
func (a appliance) onUntil(t float64) float64 {
	whole := math.Floor(t / a.period)
	return whole*a.on + min(t-whole*a.period, a.on)
}

func (m meter) values(seq uint64, due time.Duration) []devices.Value {
	t := due.Seconds()
	volts := 230 + 1.5*drift(m.seed, 1, due, 20*time.Second) + 0.1*noise(m.seed, seq, 2)
	watts := m.power(t) * (1 + 0.002*noise(m.seed, seq, 3))
	return []devices.Value{
		value("voltage", "V", round(volts, 1)),
		value("current", "A", round(watts/volts/0.97, 3)), // power factor 0.97
		value("power", "W", round(watts, 1)),
		value("energy", "kW.h", round(m.start+m.energy(t)/3.6e6, 5)),
	}
}

// door is a contact. Time is cut into slots; in each the door opens once, for a
// part of the slot that the seed and the slot's number decide, or not at all.
type door struct {
	seed uint64
	slot time.Duration
}

func newDoor(seed uint64) door {
	return door{seed: seed, slot: time.Duration(newDraws(seed).between(15, 60) * float64(time.Second))}
}

// opening tells when within slot k the door is open; never is from == to.
func (d door) opening(k uint64) (from, to time.Duration) {
	u := newDraws(devices.Mix(d.seed, k))
	if u.between(0, 1) < 0.25 {
		return 0, 0
	}
	start := u.between(0.05, 0.6)
	length := u.between(0.05, 0.35)
	return time.Duration(start * float64(d.slot)), time.Duration((start + length) * float64(d.slot))
}

func (d door) values(_ uint64, due time.Duration) []devices.Value {
	k := uint64(due / d.slot)
	at := due % d.slot
	from, to := d.opening(k)
	open := at >= from && at < to
	v := []devices.Value{
		{Name: "contact", Text: "closed", IsText: true},
		value("open_seconds", "s", 0),
	}
	if open {
		v[0].Text = "open"
		v[1].Number = round((at - from).Seconds(), 1)
	}
	return v
}

// haze is the dust of a room: a slow background, and now and then somebody cooks,
// which rises within a minute and settles over many.
type haze struct {
	seed                uint64
	base, meal, peak, n float64
}

func newHaze(seed uint64) haze {
	d := newDraws(seed)
	return haze{seed: seed, base: d.between(3, 15), meal: d.between(1800, 7200), peak: d.between(20, 180), n: d.between(0, 7200)}
}

func (h haze) values(seq uint64, due time.Duration) []devices.Value {
	since := math.Mod(due.Seconds()+h.n, h.meal)
	rise := 1 - math.Exp(-since/30)
	pm25 := h.base*(1+0.2*drift(h.seed, 1, due, 10*time.Minute)) + h.peak*rise*math.Exp(-since/600)
	pm25 = max(pm25*(1+0.03*noise(h.seed, seq, 2)), 0)
	return []devices.Value{
		value("pm1", "ug/m3", round(pm25*0.7, 1)),
		value("pm25", "ug/m3", round(pm25, 1)),
		value("pm10", "ug/m3", round(pm25*1.3, 1)),
	}
}
