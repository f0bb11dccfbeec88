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
	"plumbline/reports"
)

// listing is what list prints.
type listing struct {
	Profile      string              `json:"profile"`
	Scenarios    []listedScenario    `json:"scenarios"`
	Requirements []listedRequirement `json:"requirements"` // judged by the scenarios above
}

type listedScenario struct {
	ID           string   `json:"id"`
	Title        string   `json:"title"`
	Guarantee    string   `json:"guarantee"`
	Requirements []string `json:"requirements"`
	Labels       []string `json:"labels"`
}

type listedRequirement struct {
	reports.Requirement
	Limit string `json:"limit,omitempty"` // in the profile; "" when it has none
}

func newList(s streams) *cobra.Command {
	var filter, name string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List scenarios and requirements with their labels", Args: noArgs,
		Example: `plumbline list --label-filter "LAT || req:DEL-01"`,
		RunE: func(*cobra.Command, []string) error {
			found, err := collect(name, filter)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(s.out, found)
			}
			return found.print(s.out)
		},
	}
	addFilter(cmd, &filter)
	addProfile(cmd, &name)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func addFilter(cmd *cobra.Command, filter *string) {
	cmd.Flags().StringVar(filter, "label-filter", "", `choose by labels in Ginkgo's grammar, for example "LAT || req:DEL-01" or "!SEC"`)
}

func addProfile(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "profile", profile.Default,
		"limits and loads: "+strings.Join(profile.Names(), ", ")+" or a YAML file")
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return profile.Names(), cobra.ShellCompDirectiveDefault
	}
	_ = cmd.RegisterFlagCompletionFunc("profile", complete) // errs only without the flag, which is defined above
}

// loadProfile reads a profile by name or path; what is wrong with it is the user's.
func loadProfile(name string) (*profile.Profile, error) {
	p, err := spec.Catalogue().Load(name)
	return p, exit.Usage(err, "--profile takes "+strings.Join(profile.Names(), ", ")+" or the path of a YAML file")
}

// collect gathers what the filter selects.
func collect(profileName, filter string) (*listing, error) {
	p, err := loadProfile(profileName)
	if err != nil {
		return nil, err
	}
	scenarios, err := spec.List(p, filter)
	if err != nil {
		return nil, classify(err)
	}
	out := &listing{Profile: p.Name}
	judged := map[string]bool{}
	for _, sc := range scenarios {
		out.Scenarios = append(out.Scenarios, listedScenario{
			ID: sc.ID, Title: sc.Title, Guarantee: sc.Guarantee(), Labels: sc.AllLabels(),
			Requirements: asked(p, sc),
		})
		for _, id := range asked(p, sc) {
			judged[id] = true
		}
	}
	for _, known := range spec.Catalogue().Requirements {
		if r := known.Requirement; judged[r.ID] {
			out.Requirements = append(out.Requirements, listedRequirement{Requirement: r, Limit: limitText(p, r)})
		}
	}
	return out, nil
}

// asked returns what a profile asks for of the requirements that a scenario judges.
func asked(p *profile.Profile, sc spec.Scenario) []string {
	return slices.DeleteFunc(slices.Clone(sc.Requirements), func(id string) bool {
		known, _ := spec.Requirement(id) // the list holds no other
		return !p.Asks(known.Requirement)
	})
}

// limitText is the limit of a requirement as the profile's file writes it.
func limitText(p *profile.Profile, r reports.Requirement) string {
	limit, has := p.Limits[r.ID]
	if !has {
		return ""
	}
	text := limit.Value.String()
	if r.Quantile > 0 {
		text = fmt.Sprintf("%g %% within %s", r.Quantile*100, text)
	}
	return text
}

func (l *listing) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d scenarios\n", len(l.Scenarios))
	for _, sc := range l.Scenarios {
		fmt.Fprintf(&b, "  %-24s %s: %s\n", sc.ID, sc.Guarantee, sc.Title)
		fmt.Fprintf(&b, "  %-24s labels: %s\n", "", strings.Join(withoutSelf(sc), ", "))
	}
	fmt.Fprintf(&b, "%d requirements, limits of profile %s\n", len(l.Requirements), l.Profile)
	for _, r := range l.Requirements {
		fmt.Fprintf(&b, "  %-8s %-12s %s", r.ID, r.Class, r.Title)
		if r.Limit != "" {
			fmt.Fprintf(&b, " [%s]", r.Limit)
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// withoutSelf returns the labels but the one that repeats the id.
func withoutSelf(sc listedScenario) []string {
	return slices.DeleteFunc(slices.Clone(sc.Labels), func(label string) bool { return label == sc.ID })
}
