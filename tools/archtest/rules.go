package main

import (
	"fmt"
	"slices"
	"strings"

	"basisdienste/tools/internal/gofiles"
)

// check returns one line per import of f that breaks a rule: where, what, and what to do.
func check(f gofiles.File) []string {
	var broken []string
	for _, spec := range f.AST.Imports {
		target, ours := strings.CutPrefix(gofiles.Literal(spec.Path), f.Module+"/")
		if !ours {
			continue
		}
		if rule := judge(f, target); rule != "" {
			broken = append(broken, fmt.Sprintf("%s:%d: imports %s: %s", f.Path, f.Line(spec), target, rule))
		}
	}
	return broken
}

// judge returns the rule that the import breaks, or "".
func judge(f gofiles.File, target string) string {
	from := f.Dir()
	area, name := split(from)
	targetArea, targetName := split(target)
	switch {
	case area == "loadtest" && target == "tools/cluster/local": // a whole installation to load
		return ""
	case (targetArea == "tools" || targetArea == "loadtest") && !within(target, area+"/"+name) && !within(target, area+"/internal"):
		return "nothing imports tools or loadtest"
	case isHelper(target) && !f.Test() && !isHelper(from):
		return "a test helper is imported by tests only"
	}
	switch area {
	case "services":
		return judgeService(f, name, target, targetArea, targetName)
	case "platform":
		return judgePlatform(f, strings.TrimPrefix(from, "platform/"), target, targetArea)
	case "contracts":
		if targetArea != "contracts" && !f.Test() {
			return "contracts import nothing of ours but contracts"
		}
	}
	return ""
}

func judgeService(f gofiles.File, service, target, targetArea, targetService string) string {
	switch targetArea {
	case "platform":
		return ""
	case "contracts":
		if within(target, "contracts/gen") || f.Test() {
			return ""
		}
		return "a service imports contracts/gen only"
	case "services":
		switch {
		case service == "basis" && f.AST.Name.Name == "main": // all of them in one process
			return ""
		case targetService != service:
			return "a service never imports another service; tell it by an event, ask it through contracts/gen"
		case f.Dir() == "services/"+service && target != f.Dir() && !f.Test() && !slices.Contains(below(), target):
			return "an adapter imports its service, not the reverse; main hands the adapter in"
		}
		return ""
	}
	return "a service imports its own packages, platform and contracts/gen"
}

func judgePlatform(f gofiles.File, pkg, target, targetArea string) string {
	if targetArea == "contracts" && (f.Test() || isHelper(f.Dir())) {
		return ""
	}
	if targetArea != "platform" {
		return "platform never imports services or contracts"
	}
	dep := strings.TrimPrefix(target, "platform/")
	if isHelper(f.Dir()) || isHelper(target) || pkg == dep || f.Test() {
		return ""
	}
	table := layers()
	own, known := table[pkg]
	if !known {
		return fmt.Sprintf("platform/%s has no level; give it one in tools/archtest/levels.go", pkg)
	}
	below, known := table[dep]
	switch {
	case !known:
		return fmt.Sprintf("platform/%s has no level; give it one in tools/archtest/levels.go", dep)
	case below.level > own.level:
		return fmt.Sprintf("platform imports go down only: %s is level %d, %s is level %d", pkg, own.level, dep, below.level)
	case below.level == own.level && !slices.Contains(own.beside, dep):
		return fmt.Sprintf("both are level %d, and %s may import beside it only %v", own.level, pkg, own.beside)
	}
	return ""
}

// split returns the first two parts of a folder: services/payment/sandbox → services, payment.
func split(dir string) (area, name string) {
	area, rest, _ := strings.Cut(dir, "/")
	name, _, _ = strings.Cut(rest, "/")
	return area, name
}

// within reports whether dir is base or below it.
func within(dir, base string) bool { return dir == base || strings.HasPrefix(dir, base+"/") }

// isHelper reports whether the package helps tests: platform/dbtest, platform/web/browsertest.
// Helpers may import all of platform, and only tests and other helpers may import them.
func isHelper(dir string) bool {
	parts := strings.Split(dir, "/")
	return parts[0] == "platform" && slices.ContainsFunc(parts, func(p string) bool { return strings.HasSuffix(p, "test") })
}
