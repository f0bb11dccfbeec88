package serialline_test

import (
	"context"
	"errors"
	"fmt"

	"plumbline/devices/codec"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
)

// A GNSS receiver on its port; here a pty twin stands in for it.
func ExampleOpen() {
	ctx := context.Background()
	twin, err := ptytwin.NewPair(ctx, ptytwin.Options{})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		fmt.Println("sentence GPHDT")
		fmt.Println("heading 274.07 deg")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = twin.Close() }()

	line, err := serialline.Open(ctx, serialline.Config{ID: "compass", Port: twin.Path(), Baud: 4800, Codec: codec.NMEA0183{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = line.Close() }()
	if _, err := twin.Write([]byte("$GPHDT,274.07,T*03\r\n")); err != nil {
		fmt.Println(err)
		return
	}
	sample, err := line.Read(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sample.Values[0].Name, sample.Values[0].Text)
	fmt.Println(sample.Values[1].Name, sample.Values[1].Number, sample.Values[1].Unit)
	// Output:
	// sentence GPHDT
	// heading 274.07 deg
}
