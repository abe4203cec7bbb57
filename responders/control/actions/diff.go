package actions

import (
	"fmt"
	"slices"
	"strings"
)

// DiffLines is how two texts differ, line by line, each change with the lines
// around it: "-" for what is only in the first, "+" for what is only in the second.
// Empty when they are equal. Long lines are cut.
func DiffLines(a, b string) []string {
	if a == b {
		return nil
	}
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for _, e := range script(x, y) {
		out = append(out, string(e.mark)+" "+clip(e.line))
	}
	return around(out)
}

// beside is how many equal lines are shown on each side of a change.
const beside = 2

// around leaves out equal lines that are far from any change.
func around(lines []string) []string {
	near := func(i int) bool {
		return slices.ContainsFunc(lines[max(0, i-beside):min(len(lines), i+beside+1)], func(l string) bool { return l[0] != ' ' })
	}
	var out []string
	for i, l := range lines {
		switch {
		case near(i):
			out = append(out, l)
		case len(out) > 0 && out[len(out)-1] != "  …":
			out = append(out, "  …")
		}
	}
	if n := len(out); n > 0 && out[n-1] == "  …" {
		out = out[:n-1]
	}
	return out
}

// maxShown is how much of one line is shown, in characters: lists of settings are
// long.
const maxShown = 160

func clip(line string) string {
	if r := []rune(line); len(r) > maxShown {
		return fmt.Sprintf("%s… (%d characters)", string(r[:maxShown]), len(r))
	}
	return line
}

type edit struct {
	mark byte // ' ', '-' or '+'
	line string
}

// script is a shortest way from x to y. Actions are a few hundred lines.
func script(x, y []string) []edit {
	common := make([][]int32, len(x)+1) // longest common part of what follows
	for i := range common {
		common[i] = make([]int32, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []edit
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			out = append(out, edit{' ', x[i]})
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			out = append(out, edit{'-', x[i]})
			i++
		default:
			out = append(out, edit{'+', y[j]})
			j++
		}
	}
	return out
}
