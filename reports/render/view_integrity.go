package render

import "plumbline/reports"

// integrityView groups devices by scenario with totals.
type integrityView struct {
	Groups []integrityGroup
	Fold   bool // too many rows to show unfolded
}

type integrityGroup struct {
	Scenario string
	Rows     []reports.Integrity
	Total    reports.Integrity
}

func groupIntegrity(rows []reports.Integrity) integrityView {
	v := integrityView{Fold: len(rows) > maxOpenDevices}
	index := map[string]int{}
	for _, row := range rows {
		i, known := index[row.Scenario]
		if !known {
			i = len(v.Groups)
			index[row.Scenario] = i
			v.Groups = append(v.Groups, integrityGroup{Scenario: row.Scenario})
		}
		v.Groups[i].Rows = append(v.Groups[i].Rows, row)
		v.Groups[i].Total = addIntegrity(v.Groups[i].Total, row)
	}
	return v
}

func addIntegrity(a, b reports.Integrity) reports.Integrity {
	a.Sent += b.Sent
	a.Acked += b.Acked
	a.Blocked += b.Blocked
	a.Witnessed += b.Witnessed
	a.Expected += b.Expected
	a.Delivered += b.Delivered
	a.Lost += b.Lost
	a.Duplicated += b.Duplicated
	a.Reordered += b.Reordered
	a.Corrupted += b.Corrupted
	a.Phantom += b.Phantom
	return a
}

// Trouble is the sum of everything that must not happen.
func (g integrityGroup) Trouble() int64 {
	t := g.Total
	return t.Lost + t.Duplicated + t.Reordered + t.Corrupted + t.Phantom
}
