// Command crosstypes type-checks packages for several platforms from their source, without
// compiling or linking anything: it reads what the platform's build would read, other
// modules' and the standard library's function bodies left out. `make cross` builds in earnest.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	dir := flag.String("dir", ".", "root of the module")
	to := flag.String("platforms", "", "GOOS/GOARCH[/GOARM], separated by spaces")
	flag.Parse()
	if err := run(*dir, strings.Fields(*to), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "crosstypes:", err)
		os.Exit(1)
	}
}

func run(dir string, platforms, patterns []string) error {
	root, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if len(platforms) == 0 || len(patterns) == 0 {
		return errors.New("nothing to check: name --platforms and packages")
	}
	for _, p := range platforms {
		checked, err := check(root, p, patterns)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		fmt.Printf("cross: %s ok, %d packages of the module\n", p, checked)
	}
	return nil
}

// check returns how many packages of the module the patterns need on the platform, all without an error.
func check(root, platform string, patterns []string) (int, error) {
	part := strings.Split(platform+"//", "/")
	cfg := &packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps |
			packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedModule,
		Dir: root,
		Env: append(os.Environ(), "CGO_ENABLED=0", "GOOS="+part[0], "GOARCH="+part[1], "GOARM="+part[2]),
		ParseFile: func(set *token.FileSet, name string, src []byte) (*ast.File, error) {
			f, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution)
			if f != nil && !strings.HasPrefix(name, root+string(filepath.Separator)) {
				withoutBodies(f)
			}
			return f, err
		},
	}
	found, err := packages.Load(cfg, patterns...)
	if err != nil {
		return 0, err
	}
	var errs []error
	ours := 0
	packages.Visit(found, nil, func(p *packages.Package) {
		if p.Module != nil && p.Module.Main {
			ours++
		}
		for _, e := range p.Errors {
			// The type checker misses the bodies of others; that a package or file of theirs is not there counts.
			if e.Kind != packages.TypeError || p.Module != nil && p.Module.Main {
				errs = append(errs, e)
			}
		}
	})
	if ours == 0 {
		errs = append(errs, fmt.Errorf("no package of the module in %s matches %q", root, patterns))
	}
	return ours, errors.Join(errs...)
}

func withoutBodies(f *ast.File) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			fn.Body = nil
		}
	}
}
