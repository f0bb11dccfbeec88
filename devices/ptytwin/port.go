package ptytwin

// Port is what a twin is plugged into where that is no pseudo terminal; see
// Options.Open. Its methods may be called by any goroutine.
type Port interface {
	// Path is how whoever reads the port finds it.
	Path() string
	// Framing returns the bits of one character on the wire and the bits per second,
	// as the reader set them.
	Framing() (bits, baud int)
	// Write hands over bytes that have come over the wire. It never blocks. What it
	// does not take is an overrun, but with devices.ErrUnplugged: then nobody is there.
	Write(p []byte) (int, error)
	// Unread is how many of them, counted from Write on, were not taken yet; -1 when
	// unknown.
	Unread() int
	// Read blocks for bytes from the reader until Close.
	Read(p []byte) (int, error)
	// Close is the unplugging. It ends a Read.
	Close() error
}

// outside makes a Port what a twin knows.
type outside struct{ Port }

func (o outside) path() string                { return o.Path() }
func (o outside) framing() (bits, baud int)   { return o.Framing() }
func (o outside) write(p []byte) (int, error) { return o.Write(p) }
func (o outside) unread() int                 { return o.Unread() }
func (o outside) settle()                     {} // Unread counts from Write on
func (o outside) read(p []byte) (int, error)  { return o.Read(p) }
func (o outside) close() error                { return o.Close() }
