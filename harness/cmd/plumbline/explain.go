package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/strictyaml"
	"plumbline/reports"
)

func newExplain(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "explain ID", Short: "Explain a requirement: text, measurand, limits, rule, scenarios, source",
		Example: "plumbline explain LAT-02", Args: oneArg("a requirement id"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return requirementIDs(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			known, found := spec.Requirement(strings.ToUpper(args[0]))
			if !found {
				return unknownRequirement(args[0])
			}
			return explain(s.out, known.Requirement)
		},
	}
}

// requirementIDs lists the catalogue in its order.
func requirementIDs() []string {
	var ids []string
	for _, k := range spec.Catalogue().Requirements {
		ids = append(ids, k.Requirement.ID)
	}
	return ids
}

// unknownRequirement suggests the nearest ids, or the family's ids.
func unknownRequirement(id string) error {
	all, family := requirementIDs(), []string(nil)
	want := reports.Requirement{ID: strings.ToUpper(id)}.Family()
	for _, known := range all {
		if (reports.Requirement{ID: known}).Family() == want {
			family = append(family, known)
		}
	}
	mend := "plumbline list shows all of them"
	if near := strictyaml.Near(id, all); len(near) > 0 {
		mend = fmt.Sprintf("did you mean %s? %s", strings.Join(near, " or "), mend)
	} else if len(family) > 0 {
		mend = fmt.Sprintf("family %s holds %s; %s", want, strings.Join(family, ", "), mend)
	}
	return exit.Usage(fmt.Errorf("unknown requirement %q", id), mend)
}

func explain(w io.Writer, r reports.Requirement) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\n%s\n\n", r.ID, r.Title, r.Text)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-11s %s\n", name, value)
		}
	}
	class := string(r.Class)
	if r.Capability != "" {
		class += fmt.Sprintf(" (when the system declares %q)", r.Capability)
	}
	row("class", class)
	row("measurand", r.Measurand)
	row("rule", r.Rule)
	row("source", r.Source)
	row("faults", strings.Join(r.Faults, ", "))
	row("since", r.Since)
	asking, err := limits(&b, r)
	if err != nil {
		return err
	}
	if asking == nil {
		_, err := fmt.Fprintf(w, "%s\nno profile that comes with plumbline asks for it\n", b.String())
		return err
	}
	scenarios, err := spec.List(asking, "req:"+r.ID)
	if err != nil {
		return classify(err)
	}
	b.WriteString("\njudged by\n")
	for _, sc := range scenarios {
		fmt.Fprintf(&b, "  %-24s %s\n", sc.ID, sc.Title)
		if others := slices.DeleteFunc(slices.Clone(sc.Requirements), func(id string) bool { return id == r.ID }); len(others) > 0 {
			fmt.Fprintf(&b, "  %-24s judges %s too\n", "", strings.Join(others, ", "))
		}
	}
	with := ""
	if asking.Name != profile.Default {
		with = " --profile " + asking.Name
	}
	fmt.Fprintf(&b, "\nplumbline run%s --label-filter req:%s\n", with, r.ID)
	_, err = io.WriteString(w, b.String())
	return err
}

// limits prints the limit in every profile and returns one that asks for the
// requirement: the default profile, else the first, nil when none does.
func limits(b *strings.Builder, r reports.Requirement) (asking *profile.Profile, err error) {
	b.WriteString("\nlimit by profile\n")
	for _, name := range profile.Names() {
		p, err := loadProfile(name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(b, "  %-10s %s\n", p.Name, limitLine(p, r))
		if p.Asks(r) && (asking == nil || name == profile.Default) {
			asking = p
		}
	}
	return asking, nil
}

// limitLine is the limit with what else decides: sample count and origin.
func limitLine(p *profile.Profile, r reports.Requirement) string {
	limit, has := p.Limits[r.ID]
	if !has {
		return "not asked for"
	}
	text := limitText(p, r)
	if limit.Samples > 0 {
		text += fmt.Sprintf(", from %d effective samples on", limit.Samples)
	}
	if limit.Source != "" {
		text += fmt.Sprintf(" (%s)", limit.Source)
	}
	return text
}
