package dashboard_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// places is an expression: where the tiles of the page that is shown are.
const places = `JSON.stringify([...document.querySelectorAll(".page:not([hidden]) .cell")].map(c => ["--x", "--y", "--w", "--h"].map(n => Number(c.style.getPropertyValue(n)))))`

// TestEditedByKeyboard: a tile is moved, made wider and removed by keys alone, undone, and kept in the address.
func TestEditedByKeyboard(t *testing.T) {
	s := bridged(t)
	p := s.dashboardAt(t, packed(t, tile("note", 0, map[string]any{"text": "first", "title": "A"}), tile("note", 4, map[string]any{"text": "second", "title": "B"})), nil)
	p.key("e")
	p.says(".edit-bar", "Add tile")
	p.do(`document.querySelector(".cell").focus()`)
	for _, step := range []struct{ key, want string }{
		{"ArrowRight", "[[1,0,4,4],[4,4,4,4]]"}, {"ArrowDown", "[[1,1,4,4],[4,5,4,4]]"}, {"Shift+ArrowRight", "[[1,1,5,4],[4,5,4,4]]"}, {"Delete", "[[4,5,4,4]]"},
	} {
		p.key(step.key)
		p.waitFor(step.key, fmt.Sprintf(`%s === %q`, places, step.want))
	}
	p.key("Control+z")
	p.waitFor("the tile again", places+`.length > 20`)
	before := ask[string](p, "location.hash")
	p.press("Done")
	p.press("Keep in the address")
	p.waitFor("another address", fmt.Sprintf("location.hash !== %q", before))
	p.goTo(ask[string](p, "location.hash"))
	p.waitFor("the changed places after loading", places+` === "[[1,1,5,4],[4,5,4,4]]"`)
}

// TestFilterPageKeptInAddress: the page of a filter, edited and kept in the address, is there after a reload.
func TestFilterPageKeptInAddress(t *testing.T) {
	s := bridged(t)
	s.publish("t/a", "1")
	p := s.dashboardAt(t, "?filter=", nil)
	p.says("dialog h2", "The address holds no good filter")
	p.goTo("?filter=t/%23")
	p.says("tbody th", "t/a")
	p.key("e")
	p.do(`document.querySelector(".cell").focus()`)
	p.key("Delete")
	p.waitFor("one tile of two", `document.querySelectorAll(".cell").length === 1`)
	p.press("Done")
	p.press("Keep in the address")
	p.waitFor("an address without the filter", `location.search === "" && location.hash.startsWith("#packed=")`)
	packed := ask[string](p, "location.hash")
	p.goTo("?filter=t/%23" + packed) // an older address has both
	p.says(".state", "Live")
	if n := ask[int](p, `document.querySelectorAll(".cell").length`); n != 1 {
		t.Errorf("after a reload there are %d tiles, not one: the edited layout is lost", n)
	}
}

// TestRestartInMidDrag: while a tile is under way the bridge is killed and comes back. The tile is put where it is let go, and then lives.
func TestRestartInMidDrag(t *testing.T) {
	s := bridged(t)
	s.publish("t/a", "1")
	p := s.dashboardAt(t, packed(t, tile("value", 0, map[string]any{"filter": "t/a"})), nil)
	p.says(".tile-value .number", "1")
	p.key("e")
	p.waitFor("a tile that can be moved", `document.querySelector(".cover")`)
	at := ask[struct{ X, Y, Step float64 }](p, `(() => {
		const cell = document.querySelector(".cell"), grid = cell.parentElement, box = cell.getBoundingClientRect();
		return {X: box.x + 30, Y: box.y + box.height / 2, Step: (grid.clientWidth + parseFloat(getComputedStyle(grid).columnGap)) / 12};
	})()`)
	mouse := func(kind input.DispatchMouseEventType, columns float64) {
		t.Helper()
		if err := chromedp.Do(p.tab, command(input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: at.X + columns*at.Step, Y: at.Y, Button: input.MouseButtonLeft, Buttons: 1, ClickCount: 1})); err != nil {
			t.Fatal(err)
		}
	}
	mouse(input.DispatchMouseEventTypeMousePressed, 0)
	mouse(input.DispatchMouseEventTypeMouseMoved, 2)
	p.waitFor("the tile under way", places+` === "[[2,0,4,4]]" && document.querySelector(".cell[data-dragged]")`)
	s.Kill()
	p.waitFor("the break", `document.querySelector(".state").dataset.mood !== "live"`)
	mouse(input.DispatchMouseEventTypeMouseMoved, 3)
	s.Start()
	p.says(".state", "Live")
	mouse(input.DispatchMouseEventTypeMouseMoved, 4)
	mouse(input.DispatchMouseEventTypeMouseReleased, 4)
	p.waitFor("the tile where it was let go", places+` === "[[4,0,4,4]]" && !document.querySelector(".cell[data-dragged]")`)
	s.publish("t/a", "2")
	p.says(".tile-value .number", "2")
}
