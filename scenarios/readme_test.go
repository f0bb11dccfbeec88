package scenarios

import (
	"os"
	"strings"
	"testing"
)

// The recipe of the README is the file recipe_test.go, which TestScenarios runs
// like any other scenario.
func TestTheRecipeOfTheReadmeIsRun(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := os.ReadFile("recipe_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "\n## Write a scenario\n")
	_, rest, _ = strings.Cut(rest, "\n```go\n")
	code, _, found := strings.Cut(rest, "```\n")
	if !found || code != string(recipe) {
		t.Errorf("the recipe of the README is not the scenario of recipe_test.go:\n%s", code)
	}
}
